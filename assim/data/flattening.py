"""From a result tree to one flat dataset: quantiles over all draws, or the draws themselves as members.

A forecast from one origin lies along the time that it is for; forecasts from several lie along the time at which
they were made and the time ahead. A direction has no quantiles on the line: its draws are unrolled around their
circular mean.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from assim.data.placing import placed
from assim.data.spreading import INSTANCES
from assim.data.support import bounds_of, support_of

DRAWS = ("chain", "draw")
BELIEVED = {
    "smoothed": ("Reconstruction", "what was believed given all readings"),
    "analysis": ("Analysis", "what was believed after each reading"),
}
"""Groups of an assimilation, and what they are."""
RESULTS = {"predictions", "posterior", "observed_data", *BELIEVED}
"""Groups by which a tree is known to be a result, and no records by groups."""


def flattened(
    tree: xr.DataTree, quantiles: Sequence[float], members: bool
) -> tuple[xr.Dataset, dict[str, str]]:
    """A flat dataset, and what it is in words.

    Args:
        tree: a forecast, a posterior with `observed_data` and `posterior_predictive`, or an assimilation.
        quantiles: levels in (0, 1), increasing.
        members: whether to keep the draws.

    Raises:
        ValueError: a tree with neither.
    """
    if "predictions" in tree.children:
        ds, kind = _forecast(tree["predictions"].to_dataset()), "Forecast"
        drawn = {str(n): da for n, da in ds.data_vars.items() if set(DRAWS) <= set(da.dims)}
        out, words = ds.drop_vars([*drawn, *DRAWS], errors="ignore"), "the posterior predictive"
    elif {"observed_data", "posterior_predictive"} <= set(tree.children):
        drawn, out = _fitted(tree)
        kind, words = "Fit", "the one-step-ahead posterior predictive beside what was observed"
    elif stage := next((g for g in BELIEVED if g in tree.children), None):
        drawn, out = _believed(tree[stage].to_dataset())
        kind, words = BELIEVED[stage]
    else:
        raise ValueError(
            f"The tree has the groups {', '.join(tree.children) or 'none'}; a CF file can be written of a forecast "
            "(predictions), of a fit (observed_data and posterior_predictive), of an assimilation (analysis or "
            "smoothed), of a dataset, or of groups that each have a 'time', as assim.open_groups gives."
        )
    for name, da in drawn.items():
        attrs = da.attrs | {"coverage_content_type": "modelResult"}
        flat = _members(da) if members else _quantiles(da, quantiles)
        out[name] = flat.assign_attrs(attrs)
        if not members:
            out[f"{name}_sd"] = _spread(da)
            out[name].attrs["ancillary_variables"] = f"{name}_sd"
    place = json.loads(str(tree.attrs.get("scaling", "{}"))).get("place", {})
    names = list(drawn) or [str(n) for n in out.data_vars if not str(n).endswith("_sd")]
    shape = "draws (realization)" if members else "quantiles and standard deviation"
    shape = shape if drawn else "mean and standard deviation"
    return placed(out, place), _words(tree, kind, names, words, shape)


def _forecast(ds: xr.Dataset) -> xr.Dataset:
    """The clock of a forecast by CF: valid time, reference time and period."""
    init = ds["init_time"].values
    valid = init[:, None] + ds["lead_time"].values
    if "valid_time" in ds:  # months are not all of one length
        valid = ds["valid_time"].transpose("init_time", "lead_time").values
        ds = ds.drop_vars("valid_time")
    reference = {"standard_name": "forecast_reference_time", "long_name": "time of the forecast"}
    period = {"standard_name": "forecast_period", "long_name": "time ahead", "units": "s"}
    seconds = ds["lead_time"].values / np.timedelta64(1, "s")
    if len(init) == 1:
        ds = ds.isel(init_time=0, drop=True).rename(lead_time="time")
        ds = ds.assign_coords(time=valid[0])
        ds = ds.assign_coords(forecast_period=("time", seconds, period))
        return ds.assign_coords(forecast_reference_time=((), init[0], reference))
    dims = ("forecast_period", "forecast_reference_time")
    ds = ds.rename(lead_time=dims[0], init_time=dims[1]).transpose(..., *dims)
    ds = ds.assign_coords({dims[0]: (dims[0], seconds, period)})
    ds = ds.assign_coords({dims[1]: (dims[1], init, {**reference, "axis": "T"})})
    said = {"standard_name": "time", "long_name": "time that the forecast is for"}
    return ds.assign_coords(time=(dims, valid.T, said))


def _believed(ds: xr.Dataset) -> tuple[dict[str, xr.DataArray], xr.Dataset]:
    """The members of each variable of a state; its moments where members weigh differently or were not kept."""
    names = [str(n).removesuffix("_mean") for n in ds.data_vars if str(n).endswith("_mean")]
    if "log_weight" not in ds and all(name in ds for name in names):
        return {name: ds[name] for name in names}, xr.Dataset()
    out = {}
    for name in names:
        mean, sd = ds[f"{name}_mean"], ds[f"{name}_sd"]
        if set(DRAWS) <= set(mean.dims):  # a filter for each draw: their mixture
            sd = ((sd**2).mean(DRAWS) + mean.var(DRAWS)) ** 0.5
            mean = mean.mean(DRAWS, keep_attrs=True)
        told = {"coverage_content_type": "modelResult", "ancillary_variables": f"{name}_sd"}
        out[name] = mean.assign_attrs(ds[f"{name}_mean"].attrs | told)
        error = {"coverage_content_type": "qualityInformation"}
        out[f"{name}_sd"] = sd.assign_attrs(ds[f"{name}_sd"].attrs | error)
    return {}, xr.Dataset(out)


def _fitted(tree: xr.DataTree) -> tuple[dict[str, xr.DataArray], xr.Dataset]:
    """The predictive draws of each variable, and the observed readings, along time."""
    attrs = json.loads(str(tree.attrs.get("scaling", "{}"))).get("attrs", {})
    observed = tree["observed_data"].to_dataset()["y"]
    predicted = tree["posterior_predictive"].to_dataset()["y"]
    drawn, seen = {}, {}
    variables = observed.coords["variable"].values.astype(str)
    for name in dict.fromkeys(variables.tolist()):
        own = variables == name
        seen[name] = _unrolled(observed.isel(obs_id=own)).assign_attrs(attrs.get(name, {}))
        told = attrs.get(name, {}) | {"long_name": f"prediction of {name}"}
        drawn[f"{name}_predicted"] = _unrolled(predicted.isel(obs_id=own)).assign_attrs(told)
    return drawn, xr.Dataset(seen)


def _unrolled(da: xr.DataArray) -> xr.DataArray:
    """From observed cells along `obs_id` to time, by station where there are several."""
    keys = ["time", *(d for d in INSTANCES if d in da.coords)]
    times, row = np.unique(da["time"].values, return_inverse=True)
    coords: dict[str, Any] = {"time": times}
    places: tuple = (row,)
    for key in keys[1:]:
        labels, run = np.unique(da[key].values.astype(str), return_inverse=True)
        coords, places = {key: labels, **coords}, (run, *places)
    lead = [d for d in da.dims if d != "obs_id"]
    values = np.full((*(da.sizes[d] for d in lead), *(len(c) for c in coords.values())), np.nan)
    values[(..., *places)] = da.transpose(*lead, "obs_id").values
    return xr.DataArray(
        values, {**{d: da[d] for d in lead if d in da.coords}, **coords}, [*lead, *coords]
    )


def _members(da: xr.DataArray) -> xr.DataArray:
    flat = da.stack(realization=DRAWS, create_index=False).transpose("realization", ...)
    number = np.arange(flat.sizes["realization"], dtype=np.int32)
    said = {"standard_name": "realization", "long_name": "number of the draw", "units": "1"}
    return flat.drop_vars(DRAWS, errors="ignore").assign_coords(
        realization=("realization", number, said)
    )


def _quantiles(da: xr.DataArray, quantiles: Sequence[float]) -> xr.DataArray:
    whole = da.chunk(dict.fromkeys(DRAWS, -1)) if da.chunks is not None else da
    middle, turn = _middle(whole)
    flat = _about(whole, middle, turn).quantile(list(quantiles), DRAWS, skipna=False)
    flat = flat if turn is None else (flat + middle) % turn
    said = {"long_name": "probability that the value is not above", "units": "1"}
    flat = flat.assign_coords(quantile=("quantile", np.asarray(quantiles, float), said))
    return flat.transpose("quantile", ...).astype(da.dtype)


def _spread(da: xr.DataArray) -> xr.DataArray:
    """The standard deviation over the draws."""
    attrs = {k: v for k, v in da.attrs.items() if k not in ("valid_min", "valid_max", "support")}
    middle, turn = _middle(da)
    sd = _about(da, middle, turn).std(DRAWS).astype(da.dtype)
    if da.attrs.get("standard_name"):
        attrs["standard_name"] = f"{da.attrs['standard_name']} standard_error"
    said = {"long_name": f"standard deviation of {da.attrs.get('long_name', da.name)}"}
    return sd.assign_attrs(attrs | said | {"coverage_content_type": "qualityInformation"})


def _middle(da: xr.DataArray) -> tuple[xr.DataArray | float, float | None]:
    """The circular mean and the period of a direction; zero and None for what lies on the line."""
    if support_of(da) != "circle":
        return 0.0, None
    turn = bounds_of(da)[1]
    scale = 2 * np.pi / turn
    north, east = (
        xr.apply_ufunc(f, da * scale, dask="allowed").mean(DRAWS) for f in (np.sin, np.cos)
    )
    return xr.apply_ufunc(np.arctan2, north, east, dask="allowed") / scale, turn


def _about(da: xr.DataArray, middle: xr.DataArray | float, turn: float | None) -> xr.DataArray:
    return da if turn is None else (da - middle + turn / 2) % turn - turn / 2


def _words(tree: xr.DataTree, kind: str, names: list[str], what: str, shape: str) -> dict[str, str]:
    told = tree.attrs.get("model", tree.attrs.get("assimilated", "{}"))
    model = json.loads(str(told)).get("type", "a model")
    method = str(tree.attrs.get("method", tree.attrs.get("filter", ""))).strip() or "its prior"
    listed = ", ".join(names)
    return {
        "title": f"{kind} of {listed} by {model}",
        "summary": f"{shape.capitalize()} of {what} of {listed}.",
        "source": f"assim {tree.attrs.get('assim_version', '')}, {model}, {method}".replace(
            " ,", ","
        ),
        "processing_level": kind.lower(),
        "comment": "Where there are several reference times, time coverage is theirs; the variable time has the "
        "times that the forecasts are for.",
    }
