"""Hand forecasts and what happened to ArviZ, and read off the probability of an event.

`verify` and `elpds` keep observed cells only, on one `obs_id` dimension with labels.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from assim import scoring
from assim.data.stepping import CALENDAR, whole_months
from assim.scoring.unseen import trained_range
from assim.scoring.watching import require_within, truth_of

if TYPE_CHECKING:
    from arviz_stats.utils import ELPDData


def verify(
    forecast: xr.DataTree,
    truth: xr.Dataset,
    variable: str | None = None,
    lead_time: str | None = None,
) -> xr.DataTree:
    """Pair a forecast with what happened, in the groups that ArviZ's predictive plots expect.

    A direction is cut open opposite to its mean, so that members and truth lie side by side.

    Args:
        forecast: a forecast tree.
        truth: the dataset that holds what happened.
        variable: one channel, for plots in its units; by default all of them.
        lead_time: one lead, such as "6h"; by default all of them.

    Returns:
        `posterior_predictive["y"]` (chain, draw, obs_id) and `observed_data["y"]` (obs_id) over
        the observed cells, `obs_id` with the coordinates `time` (valid), `init_time`,
        `lead_time`, `variable` and the station, where there is one.

    Raises:
        ValueError: if the channel or lead is not there, or nothing of the forecast was observed.
    """
    predicted = scoring.predictions(forecast)
    predicted = _choose(predicted, list(map(str, predicted.data_vars)), variable, lead_time)
    paired = scoring.pair(predicted, truth)
    drawn, observed, masks = [], [], []
    for name, channel in predicted.data_vars.items():
        paths, seen = _open_circle(scoring.members(channel), paired[name])
        mask = seen.notnull() & paths.notnull().all("member")
        drawn.append(paths.values[mask.values])
        observed.append(seen.values[mask.values])
        masks.append(mask.reset_coords(drop=True).expand_dims(variable=[str(name)]))
    points = xr.concat(masks, dim="variable")
    if not points.any():
        raise ValueError(
            f"Nothing of the forecast of {list(predicted.data_vars)} was observed: every value of "
            "the truth at its valid times is missing; forecast a part of the record with data."
        )
    coords = _labels(points, predicted["valid_time"])
    y = np.concatenate(drawn).T.reshape(
        predicted.sizes["chain"], predicted.sizes["draw"], points.values.sum()
    )
    coords_y = {"chain": predicted["chain"], "draw": predicted["draw"]} | coords
    known = {key: value for key, value in coords_y.items() if not _bare(predicted, key)}
    attrs = dict(predicted[variable].attrs) if variable is not None else {}
    return xr.DataTree.from_dict(
        {
            "/": xr.Dataset(attrs=forecast.attrs),
            "posterior_predictive": xr.Dataset(
                {"y": (("chain", "draw", "obs_id"), y, attrs)}, known
            ),
            "observed_data": xr.Dataset({"y": ("obs_id", np.concatenate(observed), attrs)}, coords),
        }
    )


def elpds(
    forecasts: Mapping[str, xr.DataTree],
    truth: xr.Dataset,
    variable: str | None = None,
    lead_time: str | None = None,
    *,
    in_sample: bool = False,
) -> dict[str, ELPDData]:
    """Give ArviZ the out-of-sample log scores of every model on the same points.

    `az.compare(elpds)` and `az.plot_compare` then rank them all. Points of neighbouring leads and
    origins are dependent, so that the standard errors are too small: choose one lead, or quote the
    interval of `log_score_gain` in `compare`.

    Args:
        forecasts: forecast trees by name, each with the group `log_score`.
        truth: the dataset that holds what happened.
        variable: one channel; by default the points of all of them.
        lead_time: one lead, such as "6h"; by default all of them.
        in_sample: whether forecasts of what their models were trained on are scored all the same.

    Returns:
        One `ELPDData` per model, pointwise on `obs_id` with the labels of every point.

    Raises:
        ValueError: if a forecast has no log score, the channel or lead is not there, or a model was trained
            on what it is judged by.
    """
    if not in_sample:
        scoring.require_unseen(forecasts)
    predicted, paired, _ = scoring.common(forecasts, truth)
    seen = paired.to_dataarray("variable").expand_dims(model=list(forecasts))
    points = scoring.gather_log_scores(forecasts, seen)
    points = _choose(points, list(map(str, paired.data_vars)), variable, lead_time)
    lacking = [model for model in forecasts if not points.sel(model=model).notnull().any()]
    if lacking:
        raise ValueError(
            f"The forecasts {lacking} hold no log score on the common points, so that they have no "
            "ELPD; forecast over a file that holds the truth, which writes the group 'log_score'."
        )
    mask = points.isel(model=0, drop=True).notnull()
    coords = _labels(mask, paired["valid_time"])
    return {
        model: scoring.elpd(
            xr.DataArray(points.sel(model=model).values[mask.values], coords, ["obs_id"]),
            predicted[model].sizes["chain"] * predicted[model].sizes["draw"],
            name=model,
        )
        for model in forecasts
    }


def exceedance(
    forecast: xr.DataTree,
    variable: str,
    threshold: float,
    side: str = "above",
    *,
    truth: xr.Dataset | None = None,
) -> xr.DataArray:
    """Give the probability that the path passes a threshold within each lead.

    A threshold outside the record that the model was trained on, as far as the forecast tells its range, is warned
    of: nothing there says how such values come about.

    Args:
        forecast: a forecast tree.
        variable: the channel.
        threshold: in the channel's units.
        side: "above" or "below".
        truth: the record that the event will be judged by, to be warned of a threshold outside it too.

    Returns:
        ([station,] init_time, lead_time), in [0, 1], non-decreasing in the lead; the attributes name the event.

    Raises:
        ValueError: if the channel is not in the forecast or is a direction, or the truth does not fit or is no
            longer than the leads.
    """
    predicted = scoring.predictions(forecast)
    chosen = _choose(predicted, list(map(str, predicted.data_vars)), variable, None)[variable]
    chance = scoring.probability(scoring.members(chosen), threshold, side)
    records = {
        "the record that the model was trained on": trained_range(dict(forecast.attrs), variable)
    }
    if truth is not None:
        known = truth_of(chance, truth)
        require_within(known, int(chance["lead_time"].values.max().astype(np.int64)))
        records["the truth"] = (float(known.min()), float(known.max()))
    for record, held in records.items():
        if held is not None and not _crossed(threshold, side, *held):
            units = chosen.attrs.get("units", "")
            warnings.warn(
                f"The threshold {threshold:g} of '{variable}' lies outside {record}, whose values are "
                f"{f'{held[0]:g} to {held[1]:g} {units}'.strip()}: nothing was learned or can be judged of passing "
                "it; ask for one within.",
                UserWarning,
                stacklevel=2,
            )
    return chance


def pick_lead(leads: xr.DataArray, wanted: str) -> np.timedelta64:
    """Find a lead time by its words.

    Args:
        leads: the lead times that there are.
        wanted: a span as pandas reads it, such as "6h" or "30min".

    Returns:
        The lead time.

    Raises:
        ValueError: if it is no span of time, or is not among them.
    """
    import pandas as pd

    held = [lead_words(lead) for lead in leads.values]
    try:
        span = pd.Timedelta(wanted).to_timedelta64().astype("timedelta64[ns]")
    except ValueError:
        raise ValueError(f"'{wanted}' is no lead time; say '6h' or '30min'.") from None
    if span not in leads.values and CALENDAR in leads.attrs:
        alike = whole_months(leads.values) == whole_months(np.array(span))
        span = leads.values[alike][0] if alike.any() else span
    if span not in leads.values:
        raise ValueError(f"There is no forecast at the lead time '{wanted}', only at {held}.")
    return span


def lead_words(lead: np.timedelta64) -> str:
    """Write a lead time as people say it: "30 min", "6 h", "14 d"."""
    minutes = float(lead / np.timedelta64(1, "m"))
    if minutes >= 48 * 60 and minutes % (24 * 60) == 0:
        return f"{minutes / (24 * 60):g} d"
    if minutes >= 60:
        return f"{minutes / 60:.4g} h"
    return f"{minutes:.4g} min" if minutes >= 1 else f"{minutes * 60:.4g} s"


def _choose[T: (xr.Dataset, xr.DataArray)](
    held: T, channels: Sequence[str], variable: str | None, lead_time: str | None
) -> T:
    """Narrow to one channel (kept as a dimension or a dataset) and one lead."""
    if variable is not None:
        if variable not in channels:
            raise ValueError(f"There is no forecast of '{variable}', only of {list(channels)}.")
        if isinstance(held, xr.Dataset):
            held = held[[variable]]
        else:
            held = held.sel(variable=[variable])
    if lead_time is not None:
        held = held.sel(lead_time=[pick_lead(held["lead_time"], lead_time)])
    return held


def _crossed(threshold: float, side: str, low: float, high: float) -> bool:
    """Whether values in a range lie on both sides of a threshold."""
    return low <= threshold < high if side == "above" else low < threshold <= high


def _labels(mask: xr.DataArray, valid: xr.DataArray) -> dict[str, xr.DataArray]:
    """Label every true cell on `obs_id`, its time that at which its lead ends."""
    at = dict(zip(mask.dims, np.nonzero(mask.values), strict=True))
    count = int(mask.values.sum())
    coords = {"obs_id": xr.DataArray(np.arange(count), dims="obs_id")}
    for dim, index in at.items():
        labels = mask[dim].values[index]
        labels = labels.astype(str) if labels.dtype.kind == "O" else labels
        coords[str(dim)] = xr.DataArray(labels, dims="obs_id")
    ends = valid.sel(lead_time=mask["lead_time"]).transpose("init_time", "lead_time").values
    time = ends[at["init_time"], at["lead_time"]]
    coords["time"] = xr.DataArray(time, dims="obs_id")
    return coords


def _open_circle(paths: xr.DataArray, seen: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """Cut a direction open opposite to the mean of its members; leave any other channel."""
    cycle = scoring.period(paths)
    if cycle is None:
        return paths, seen
    middle = scoring.mean_direction(paths.values, cycle)
    opened = middle[..., None] + scoring.wrap(paths.values - middle[..., None], cycle)
    return paths.copy(data=opened), seen.copy(
        data=middle + scoring.wrap(seen.values - middle, cycle)
    )


def _bare(predicted: xr.Dataset, name: str) -> bool:
    """Say whether a dimension carries no labels of its own."""
    return name in ("chain", "draw") and name not in predicted.coords
