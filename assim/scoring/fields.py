r"""Scores of forecasts of fields by lead time.

With the error $e$ of the mean, weights $w_s$ of the places (the cosine of a latitude, else 1) and $\sigma^2 =
\sum_s w_s \operatorname{var}_t y_s / \sum_s w_s$ of the truth,

$$\mathrm{RMSE}^2 = \frac{\sum w\,e^2}{\sum w}, \qquad
\mathrm{ACC} = \frac{\sum w\,f' y'}{\sqrt{\sum w\,f'^2 \sum w\,y'^2}}$$

with the anomalies $f', y'$ of mean and truth about the climate (Murphy & Epstein 1989, Mon. Wea. Rev. 117). The
valid prediction time of one origin is the first lead at which $\mathrm{RMSE} / \sigma$ exceeds a threshold (Pathak
et al. 2018, Phys. Rev. Lett. 120), in units of $1/\lambda_1$ where the largest Lyapunov exponent is given.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from assim.scoring.grids import area_weights, field_axes, grid_axes, laid_out
from assim.scoring.pairing import in_units_of, members, origin_blocks, pair, predictions
from assim.scoring.proper import crps, mean_error, variance

BUDGET = 2**25
WORDS = {
    "rmse": "root mean square error of the mean",
    "spread": "root mean ensemble variance, with the factor (M + 1) / M",
    "crps": "CRPS",
    "anomaly_correlation": "anomaly correlation",
    "n": "cells scored",
}


def error_by_lead(
    forecast: xr.DataTree,
    truth: xr.Dataset,
    variable: str | None = None,
    *,
    climate: xr.Dataset | None = None,
) -> xr.Dataset:
    """Score a forecast of a field by lead time, places weighted by their area (`assim.compare` counts them alike).

    Args:
        forecast: a forecast tree.
        truth: what happened, on `time` and the grid, in units of which those of the forecast can be made.
        variable: the field; by default the first.
        climate: what anomalies are taken about, on the grid and, where it changes, on the `time` of the truth; by
            default the mean of the truth over its times and runs, which flatters both.

    Returns:
        On `lead_time`, over origins, runs and places: `rmse`, `spread` and `crps` in units of the field,
        `anomaly_correlation`, and `n` cells. Attributes: `variable` and `climatological_sd`, what the error of the
        climate is.

    Raises:
        ValueError: if there is no such field, or the truth does not fit.
    """
    name = _field(forecast, variable)
    sums = _sums(forecast, truth, name, climate)
    weight = sums["weight"].where(sums["weight"] > 0)
    told = xr.Dataset(
        {
            "rmse": (sums["square"] / weight) ** 0.5,
            "spread": (sums["variance"] / weight) ** 0.5,
            "crps": sums["crps"] / weight,
            "anomaly_correlation": sums["product"] / (sums["told"] * sums["true"]) ** 0.5,
            "n": sums["n"],
        }
    )
    units = str(predictions(forecast)[name].attrs.get("units", ""))
    for key, score in told.data_vars.items():
        own = units if key in ("rmse", "spread", "crps") else "1"
        score.attrs = {"long_name": WORDS[str(key)], "units": own}
    sd = _climatological_sd(forecast, truth, name)
    return told.assign_attrs(variable=name, climatological_sd=sd)


def valid_prediction_time(
    forecast: xr.DataTree,
    truth: xr.Dataset,
    variable: str | None = None,
    *,
    threshold: float = 0.4,
    lyapunov: float | None = None,
    scale: float | None = None,
) -> xr.Dataset:
    """Find how long each forecast of a field is of use.

    Args:
        forecast: a forecast tree.
        truth: what happened, as in `error_by_lead`.
        variable: the field; by default the first.
        threshold: of the error of the mean, in standard deviations of the truth.
        lyapunov: the largest Lyapunov exponent, 1/s; where it is given, times are in its inverse.
        scale: that standard deviation, in units of the field; by default of the truth over its times and runs,
            which a short record tells badly.

    Returns:
        On ([run,] init_time): `prediction_time`, the first lead whose error exceeds the threshold, as timedelta64
        or in Lyapunov times; where none does, the last lead with a truth, and `exceeded` is False. NaT or NaN where
        nothing is known.

    Raises:
        ValueError: if a number is not positive, there is no such field, or the truth does not fit or never changes.
    """
    for words, number in (("threshold", threshold), ("lyapunov", lyapunov), ("scale", scale)):
        if number is not None and not number > 0:
            raise ValueError(f"{words}={number}: give a number above 0.")
    name = _field(forecast, variable)
    scale = _climatological_sd(forecast, truth, name) if scale is None else scale
    if not scale > 0:
        raise ValueError(
            f"The truth of '{name}' never changes, so that its error has no scale: give scale=, in its units."
        )
    parts = []
    for paths, y in _in_blocks(forecast, truth, name):
        square = mean_error(paths, y) ** 2
        parts.append(square.weighted(area_weights(square)).mean(grid_axes(square)))
    error = xr.concat(parts, "init_time").sortby("lead_time").transpose(..., "lead_time") ** 0.5
    error = error.reset_coords(drop=True) / scale
    above, known = (error > threshold).values, error.notnull().values
    last = known.shape[-1] - 1 - np.argmax(known[..., ::-1], axis=-1)
    at = np.where(above.any(-1), np.argmax(above, axis=-1), last)
    time = error["lead_time"].values[at].astype("timedelta64[ns]")
    time = np.where(known.any(-1), time, np.timedelta64("NaT", "ns"))
    told = {"long_name": "valid prediction time"}
    if lyapunov is not None:
        seconds = np.where(np.isnat(time), np.nan, time / np.timedelta64(1, "s"))
        time, told = seconds * lyapunov, told | {"units": "1", "comment": "in Lyapunov times"}
    cells = error.isel(lead_time=0, drop=True)
    found = {
        "prediction_time": (cells.dims, time, told),
        "exceeded": (cells.dims, above.any(-1), {"long_name": "whether the threshold is passed"}),
    }
    attrs = {"variable": name, "threshold": threshold, "scale": float(scale)}
    return xr.Dataset(found, cells.coords, attrs)


def _field(forecast: xr.DataTree, variable: str | None) -> str:
    """The field that is asked for, or the first."""
    predictions(forecast)
    held = field_axes(forecast)
    if variable is None and held:
        return next(iter(held))
    if variable not in held:
        named = "no field" if variable is None else f"no field '{variable}'"
        raise ValueError(
            f"The forecast has {named} on a grid, only {list(held) or 'channels of sensors'}: assim.compare scores "
            "any forecast."
        )
    return str(variable)


def _in_blocks(
    forecast: xr.DataTree, truth: xr.Dataset, name: str
) -> Iterator[tuple[xr.DataArray, xr.DataArray]]:
    """Members and truth, a few origins at a time."""
    predicted = predictions(forecast)[[name]]
    known = pair(predicted, truth)[name]
    for chosen in origin_blocks([predicted], BUDGET):
        yield members(predicted[name].isel(chosen)), known.isel(chosen)


def _sums(
    forecast: xr.DataTree, truth: xr.Dataset, name: str, climate: xr.Dataset | None
) -> xr.Dataset:
    """Weighted sums over runs, origins and places on `lead_time`."""
    usual = _usual(predictions(forecast)[[name]], truth, name, climate)
    sums = []
    for paths, y in _in_blocks(forecast, truth, name):
        weights, size, error = area_weights(y), paths.sizes["member"], mean_error(paths, y)
        away = y - usual.sel(init_time=y["init_time"])
        cells = {
            "square": error**2,
            "variance": (size + 1) / size * variance(paths),
            "crps": crps(paths, y),
            "product": (error + away) * away,
            "told": (error + away) ** 2,
            "true": away**2,
            "weight": xr.ones_like(error),
        }
        found = error.notnull() & away.notnull()
        over = [dim for dim in y.dims if dim != "lead_time"]
        summed = {k: (v * weights).where(found, 0.0).sum(over) for k, v in cells.items()}
        sums.append(xr.Dataset(summed).assign(n=found.sum(over)).drop_attrs())
    return xr.concat(sums, "block").sum("block")


def _climatological_sd(forecast: xr.DataTree, truth: xr.Dataset, name: str) -> float:
    """The standard deviation of the truth over times and runs, its square a mean over places by area."""
    whole = laid_out(in_units_of(predictions(forecast)[name], truth[name]))
    changes = whole.var([dim for dim in ("time", "run") if dim in whole.dims])
    return float(changes.weighted(area_weights(changes)).mean()) ** 0.5


def _usual(
    predicted: xr.Dataset, truth: xr.Dataset, name: str, climate: xr.Dataset | None
) -> xr.DataArray:
    """What is expected at every valid time."""
    given = truth if climate is None else climate
    if name not in given.data_vars:
        raise ValueError(f"The climate has no variable '{name}', only {list(given.data_vars)}.")
    usual = given[name]
    if climate is None:
        usual = usual.mean([d for d in ("time", "run") if d in usual.dims], keep_attrs=True)
    if "run" in predicted[name].dims and "run" not in usual.dims:
        usual = usual.expand_dims(run=predicted["run"].values)
    if "time" not in usual.dims:
        usual = usual.expand_dims(time=truth["time"].values)
    return pair(predicted, usual.rename(name).to_dataset())[name]
