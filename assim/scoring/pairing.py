"""Put what happened beside what was foretold: a forecast tree's `predictions` and a truth dataset.

A forecast from origin ``t`` at lead ``h`` is paired with the truth at its ``valid_time``, ``t + h`` unless it says
another; a time that the truth does not hold, or holds as missing, stays NaN and is scored nowhere.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import xarray as xr

from assim.data.clockwork import JITTER, step_words
from assim.data.describing import holds_times, needs_aligning
from assim.data.gridding import folded
from assim.data.spreading import spread
from assim.data.units import agree, convert
from assim.scoring.leads import counted_as, require_one_clock, valid_times
from assim.scoring.snapping import snapped

MEMBERS = ("chain", "draw")
FORECAST = (*MEMBERS, "init_time", "lead_time")


def predictions(forecast: xr.DataTree) -> xr.Dataset:
    """Take the predictions out of a forecast tree, with the valid time of every cell.

    Args:
        forecast: a tree with the group `predictions` on (chain, draw, [station,] init_time,
            lead_time), such as `assim.forecast` returns.

    Returns:
        The group as a dataset; clocks in nanoseconds, `valid_time(init_time, lead_time)` present.

    Raises:
        ValueError: if this is not a forecast tree.
    """
    groups = list(forecast.children) if isinstance(forecast, xr.DataTree) else []
    if "predictions" not in groups:
        found = f"a tree with the groups {groups}" if groups else f"a {type(forecast).__name__}"
        raise ValueError(
            f"This is not a forecast: got {found}, expected a tree with the group 'predictions'; "
            "make one with assim.forecast(posterior, dataset, horizon=...)."
        )
    dataset = forecast["predictions"].to_dataset()
    lacking = [dim for dim in FORECAST if dim not in dataset.dims]
    if lacking:
        raise ValueError(
            f"The group 'predictions' has the dimensions {sorted(map(str, dataset.dims))} but "
            f"lacks {lacking}; a forecast needs {list(FORECAST)}, as assim.forecast writes them."
        )
    init = dataset["init_time"].values.astype("datetime64[ns]")
    lead = dataset["lead_time"].values.astype("timedelta64[ns]")
    attrs = {name: dict(dataset[name].attrs) for name in ("init_time", "lead_time")}
    dataset = dataset.assign_coords(
        init_time=("init_time", init, attrs["init_time"]),
        lead_time=("lead_time", lead, attrs["lead_time"]),
        valid_time=(("init_time", "lead_time"), valid_times(dataset)),
    )
    scaling = json.loads(forecast.attrs.get("scaling", "{}"))
    dataset.attrs |= {"step": scaling["step"]} if "step" in scaling else {}
    return dataset[[name for name in dataset.data_vars if set(FORECAST) <= set(dataset[name].dims)]]


def pair(predicted: xr.Dataset, truth: xr.Dataset) -> xr.Dataset:
    """Look up the truth of every channel at every origin and lead of a forecast.

    Args:
        predicted: a dataset as `predictions` gives it.
        truth: a dataset on `time` (and `station`, where the forecast has stations, and depth or
            other places that the forecast names), in the same units as the forecast.

    Returns:
        One variable per channel on ([station,] init_time, lead_time); NaN where the truth is
        missing.

    Raises:
        ValueError: if a channel is not in the truth, the units differ, the stations do not match,
            no valid time is in the truth, or means are to be paired with readings of a finer clock.
    """
    valid, truth = predicted["valid_time"], spread(truth)
    rows = _rows(truth, valid)
    _require_same_cells(predicted, truth)
    paired = {}
    for name in predicted.data_vars:
        if name not in truth.data_vars:
            near = difflib.get_close_matches(str(name), [str(v) for v in truth.data_vars], n=3)
            hint = f"did you mean {near}?" if near else f"it holds {list(truth.data_vars)}."
            raise ValueError(f"The truth has no variable '{name}', which the forecast has; {hint}")
        known = match_places(predicted[name], in_units_of(predicted[name], truth[name]))
        values = known.isel(time=rows.clip(min=0)).where(rows >= 0).reset_coords(drop=True)
        cells = [dim for dim in predicted[name].dims if dim not in MEMBERS]
        # rounded as the members are, so that equal values stay ties
        values = values.transpose(*cells).astype(predicted[name].dtype).astype(float).compute()
        paired[name] = values.assign_coords(
            {dim: predicted[dim] for dim in cells if dim in predicted.coords}
        ).assign_attrs(predicted[name].attrs)
    return xr.Dataset(paired).assign_coords(valid_time=valid)


def members(predicted: xr.DataArray) -> xr.DataArray:
    """Load the paths of one channel with chains and draws laid end to end.

    Args:
        predicted: one channel on (chain, draw, ...), in its own units.

    Returns:
        (..., member) in float64, with the name and attributes of the channel.
    """
    cells = [dim for dim in predicted.dims if dim not in MEMBERS]
    values = np.asarray(predicted.transpose(*cells, *MEMBERS).values, dtype=float)
    coords = {
        name: coord for name, coord in predicted.coords.items() if set(coord.dims) <= set(cells)
    }
    flat = values.reshape(*values.shape[:-2], -1)
    return xr.DataArray(flat, coords, [*cells, "member"], predicted.name, predicted.attrs)


def common(
    forecasts: Mapping[str, xr.DataTree], truth: xr.Dataset
) -> tuple[dict[str, xr.Dataset], xr.Dataset, list[str]]:
    """Cut several forecasts to the channels, places, origins and leads that all of them have.

    Args:
        forecasts: forecast trees by name.
        truth: a dataset on `time`.

    Returns:
        The predictions of each model on the same labels, the paired truth, and one sentence for
        everything that was left out.

    Raises:
        ValueError: if nothing is left in common, or as `pair` does.
    """
    if not forecasts:
        raise ValueError(
            "There is nothing to compare: got no forecast, expected at least one tree by name, "
            "as in compare({'ar': forecast}, truth)."
        )
    every, truth = {name: predictions(tree) for name, tree in forecasts.items()}, spread(truth)
    first = next(iter(every.values()))
    shared = [
        channel
        for channel in first.data_vars
        if channel in truth.data_vars
        and all(channel in other.data_vars for other in every.values())
    ]
    if not shared:
        listing = "; ".join(f"{name}: {list(ds.data_vars)}" for name, ds in every.items())
        raise ValueError(
            "The forecasts and the truth have no variable in common "
            f"({listing}; truth: {list(truth.data_vars)}); forecast the same channels."
        )
    said = [
        f"{name}: {channel} left out, since not all have it"
        for name, dataset in every.items()
        for channel in dataset.data_vars
        if channel not in shared
    ]
    near = (counted_as(snapped(ds[shared], first), first["lead_time"]) for ds in every.values())
    cut = xr.align(*near, join="inner", exclude=MEMBERS)
    for dim in (dim for dim in cut[0].dims if dim not in MEMBERS):
        if cut[0].sizes[dim] == 0:
            raise ValueError(
                f"The forecasts share no {dim}: {_spans(every, str(dim))}; "
                "forecast from the same origins to the same leads."
            )
        said += [
            f"{name}: {ds.sizes[dim] - cut[0].sizes[dim]} of {ds.sizes[dim]} values of {dim} "
            "left out, since not all have them"
            for name, ds in every.items()
            if ds.sizes.get(dim, 0) > cut[0].sizes[dim]
        ]
    for dataset in cut[1:]:
        for channel in shared:
            _require_same_units(dataset[channel], cut[0][channel])
    aligned = dict(zip(every, cut, strict=True))
    require_one_clock(aligned)
    return aligned, pair(cut[0], truth), said


def origin_blocks(
    datasets: Sequence[xr.Dataset], budget: int = 64 * 2**20
) -> Iterator[dict[str, slice]]:
    """Walk over the origins in blocks whose members fit a memory budget.

    Args:
        datasets: predictions on the same origins.
        budget: bytes of float64 members per block, for the largest forecast.

    Yields:
        Selections for `isel`.
    """
    count = datasets[0].sizes["init_time"]
    heaviest = max(sum(var.size for var in ds.data_vars.values()) for ds in datasets) * 8
    step = max(1, int(budget * count / max(heaviest, 1)))
    for start in range(0, count, step):
        yield {"init_time": slice(start, min(start + step, count))}


def in_units_of(
    predicted: xr.DataArray, truth: xr.DataArray, what: str = "forecast"
) -> xr.DataArray:
    """Give the truth in the units of a result.

    Args:
        predicted: one channel of a forecast or an assimilation.
        truth: the same channel, any units.
        what: the result, for the message.

    Returns:
        The truth in the units of the result, as it is where one of the two has none.

    Raises:
        ValueError: if one cannot be made of the other.
    """
    ours, theirs = predicted.attrs.get("units"), truth.attrs.get("units")
    if ours is None or theirs is None or agree(str(theirs), str(ours)):
        return truth
    try:
        return convert(truth, str(theirs), str(ours))
    except ValueError as error:
        raise ValueError(
            f"The {what} of '{predicted.name}' is in '{ours}' but the truth is in '{theirs}', and one cannot be "
            "made of the other: correct the attribute 'units'."
        ) from error


def match_places(
    predicted: xr.DataArray, truth: xr.DataArray, what: str = "forecast"
) -> xr.DataArray:
    """Bring the truth onto the stations (or other places) of a result.

    Args:
        predicted: one channel of a forecast or an assimilation.
        truth: the same channel on `time` and any places.
        what: the result, for the message.

    Returns:
        The truth on `time` and the places of the result.

    Raises:
        ValueError: if their places do not match.
    """
    places = [dim for dim in predicted.dims if dim not in (*FORECAST, "time")]
    truth = folded(truth) if {"place_0", "place_1"} <= set(places) else truth
    truth = snapped(truth, predicted)
    for dim in (dim for dim in truth.dims if dim not in ("time", *places)):
        if truth.sizes[dim] != 1:
            raise ValueError(
                f"The truth of '{predicted.name}' has {truth.sizes[dim]} values along '{dim}', "
                f"which the {what} does not have; select one, as in truth.isel({dim}=0)."
            )
        truth = truth.squeeze(dim, drop=True)
    for dim in places:
        if dim not in truth.dims and dim in truth.coords:  # a record of one station keeps its label
            truth = truth.expand_dims(dim)
        if dim not in truth.dims:
            raise ValueError(
                f"The {what} of '{predicted.name}' has the dimension '{dim}', but the truth has "
                f"only {list(truth.dims)}; give the truth of every {dim}."
            )
        if dim in predicted.indexes and dim in truth.indexes:
            if not len(predicted.indexes[dim].intersection(truth.indexes[dim])):
                raise ValueError(
                    f"No {dim} of the {what} of '{predicted.name}' is in the truth: "
                    f"{list(predicted[dim].values[:3])} against {list(truth[dim].values[:3])}."
                )
            truth = truth.reindex({dim: predicted[dim].values})
        elif predicted.sizes[dim] != truth.sizes[dim]:
            raise ValueError(
                f"The {what} of '{predicted.name}' has {predicted.sizes[dim]} values along "
                f"'{dim}' and the truth {truth.sizes[dim]}, without labels to match them; "
                f"give both a coordinate '{dim}'."
            )
    return truth


def _rows(truth: xr.Dataset, valid: xr.DataArray) -> xr.DataArray:
    """Find the row of the truth at each valid time, -1 where there is none."""
    if "time" not in truth.indexes or truth["time"].dtype.kind != "M":
        raise ValueError(
            f"The truth has the dimensions {sorted(map(str, truth.dims))}, but forecasts are "
            "paired along a datetime64 'time'; open it with assim.open_dataset."
        )
    clock = xr.DataArray(truth["time"].values.astype("datetime64[ns]"), dims="time").to_index()
    if not clock.is_unique:
        raise ValueError(
            f"The truth has {int(clock.duplicated().sum())} repeated time stamps, so that pairing "
            "is ambiguous; open it with assim.open_dataset, which resolves them."
        )
    lead = valid["lead_time"].values.astype("timedelta64[ns]")
    slack = np.diff(np.concatenate([[np.timedelta64(0, "ns")], np.sort(lead)])).min()
    near = (
        {"method": "nearest", "tolerance": slack * JITTER} if clock.is_monotonic_increasing else {}
    )
    rows = clock.get_indexer(valid.values.ravel(), **near).reshape(valid.shape)
    if not (rows >= 0).any():
        stamps = valid.values
        held = f"{clock.min()} to {clock.max()}" if len(clock) else "no time at all"
        raise ValueError(
            f"The truth ({held}) holds none of the forecast's valid times ({stamps.min()} to "
            f"{stamps.max()}); give the later part of the same record, on the clock that the "
            "forecast has (assim.align puts it there)."
        )
    return xr.DataArray(rows, dims=valid.dims)


def _require_same_cells(predicted: xr.Dataset, truth: xr.Dataset) -> None:
    """Refuse to judge forecasts of means by readings of a finer clock, which scatter more."""
    step, times = predicted.attrs.get("step"), truth["time"].values.astype("datetime64[ns]")
    means = [n for n, v in predicted.data_vars.items() if "time: mean" in _cells(v)]
    valid = predicted["valid_time"].values
    if means and step and needs_aligning(times, step) and not holds_times(times, valid, step):
        raise ValueError(
            f"The forecasts of {means} are of means over {step_words(step)}, and the truth is on a finer clock: "
            f"put it on theirs first, with assim.align(truth, '{step_words(step)}')."
        )


def _cells(channel: xr.DataArray) -> str:
    return str(channel.attrs.get("cell_methods", ""))


def _require_same_units(one: xr.DataArray, other: xr.DataArray) -> None:
    """Refuse to compare forecasts in different units: their log scores would differ by a constant."""
    ours, theirs = str(one.attrs.get("units", "")), str(other.attrs.get("units", ""))
    if ours and theirs and not agree(ours, theirs):
        raise ValueError(
            f"The forecasts of '{one.name}' are in '{theirs}' and in '{ours}': fit both to files in the same units."
        )


def _spans(datasets: Mapping[str, xr.Dataset], dim: str) -> str:
    """Say from where to where each dataset reaches along a dimension."""
    return "; ".join(
        f"{name} has {ds[dim].values.min()} to {ds[dim].values.max()}"
        if dim in ds.coords and ds.sizes.get(dim)
        else f"{name} has none"
        for name, ds in datasets.items()
    )
