"""What a forecast or an assimilation says of one field: mean, spread, truth and error on the axes of its grid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr

from assim import scoring
from assim.plotting.style import at_place, choose, words_of
from assim.scoring.assimilated import members_in_pieces
from assim.scoring.pairing import in_units_of, match_places, origin_blocks

MOST = 100
"""Origins or times that a mean over all of them looks at."""


@dataclass(frozen=True)
class Belief:
    """One field as it is told, all parts on the same dimensions and in its units.

    Args:
        name: of the field.
        words: its long name.
        along: "lead_time" from one origin, or "time" of an assimilation.
        axes: of the grid.
        mean: (along, axes); of the anomaly where a climate was taken off.
        spread: standard deviation; None where it cannot be told.
        truth: or None.
        error: mean minus truth, or None.
        who: what the mean is of, in words.
        where: the origin and the place that were chosen, in words.
    """

    name: str
    words: str
    along: str
    axes: tuple[str, ...]
    mean: xr.DataArray
    spread: xr.DataArray | None
    truth: xr.DataArray | None
    error: xr.DataArray | None
    who: str
    where: tuple[str, ...]


def belief_of(
    tree: xr.DataTree,
    truth: xr.Dataset | None,
    name: str,
    *,
    init_time: str | np.datetime64 | None = None,
    stage: str | None = None,
    place: str | int = 0,
    climate: xr.Dataset | None = None,
    line: str | None = None,
) -> Belief:
    """Take a field out of a tree.

    Args:
        tree: a forecast or an assimilation.
        truth: what happened, in its units or others that they can be made of; or None.
        name: of the field.
        init_time: the origin of a forecast, to the nearest; by default the middle one.
        stage: of an assimilation; by default the last that there is.
        place: which run or station, by label or number.
        climate: whose mean over times and runs is taken off, or None.
        line: an axis over all others of which means are taken, by area; None for all axes.

    Raises:
        ValueError: if the stage or the place is not there, or truth or climate does not fit.
    """
    if "predictions" in tree.children:
        mean, spread, known, who, where = _of_origin(tree, truth, name, init_time, place, line)
        along = "lead_time"
    else:
        mean, spread, known, who, where = _of_stage(tree, truth, name, stage, place, line)
        along = "time"
    error = None if known is None else mean - known
    if climate is not None:
        usual, attrs = _usual(mean.rename(name), climate), mean.attrs
        mean = (mean - usual).assign_attrs(attrs)
        known = None if known is None else known - usual
    parts = [None if part is None else line_mean(part, line) for part in (mean, known, error)]
    axes = scoring.grid_axes(mean) if line is None else (line,)
    assert parts[0] is not None
    words = str(parts[0].attrs.get("long_name", name)).removeprefix(f"{who} mean of ")
    words = f"anomaly of {words}" if climate is not None else words
    return Belief(
        name, words.replace("_", " "), along, axes, parts[0], spread, parts[1], parts[2], who, where
    )


def field_named(tree: xr.DataTree, variable: str | None) -> str:
    """The field that is asked for, or the first."""
    return choose("field on a grid", list(scoring.field_axes(tree)), variable)


def stage_of(tree: xr.DataTree, stage: str | None) -> str:
    """The belief that is asked for; by default the last."""
    held = scoring.stages(tree)
    return held[-1] if stage is None else choose("belief", held, stage)


def line_mean(field: xr.DataArray, line: str | None) -> xr.DataArray:
    """Means over all axes of the grid but one, by area; the field itself where there is no other."""
    over = [dim for dim in scoring.grid_axes(field) if dim != line]
    if line is None or not over:
        return field
    return field.weighted(scoring.area_weights(field)).mean(over, keep_attrs=True)


def samples(
    tree: xr.DataTree,
    truth: xr.Dataset | None,
    name: str,
    *,
    stage: str | None = None,
    lead: np.timedelta64 | None = None,
) -> Iterator[tuple[xr.DataArray, xr.DataArray | None]]:
    """Members and truth of a field, some origins or times after the others; of many `MOST`, evenly spread.

    Args:
        tree: a forecast, or an assimilation that kept its members.
        truth: what happened, or None.
        name: of the field.
        stage: of an assimilation.
        lead: of a forecast.

    Yields:
        (..., member) with the axes of the grid among its dimensions, and the same without `member`.
    """
    if "predictions" in tree.children:
        predicted = scoring.predictions(tree)[[name]].sel(lead_time=[lead])
        predicted = predicted.isel(init_time=_spread_out(predicted.sizes["init_time"]))
        paired = None if truth is None else scoring.pair(predicted, truth)[name]
        for chosen in origin_blocks([predicted]):
            paths = scoring.members(predicted[name].isel(chosen))
            yield paths, None if paired is None else paired.isel(chosen)
        return
    stage = stage_of(tree, stage)
    known = None if truth is None else scoring.truth_of(tree, truth, name, stage)
    group = tree[stage].to_dataset()
    thin = {stage: group.isel(time=_spread_out(group.sizes["time"]))}
    for paths in members_in_pieces(xr.DataTree.from_dict(thin), stage, name):
        rows = None if known is None else known.sel(time=paths["time"])
        yield scoring.laid_out(paths), None if rows is None else scoring.laid_out(rows)


type Parts = tuple[xr.DataArray, xr.DataArray | None, xr.DataArray | None, str, tuple[str, ...]]


def _of_origin(
    tree: xr.DataTree,
    truth: xr.Dataset | None,
    name: str,
    init_time: str | np.datetime64 | None,
    place: str | int,
    line: str | None,
) -> Parts:
    """Mean, spread and truth from one origin."""
    predicted = scoring.predictions(tree)[[name]]
    origins = predicted.indexes["init_time"]
    row = len(origins) // 2
    if init_time is not None:
        row = int(origins.get_indexer([np.datetime64(init_time, "ns")], method="nearest")[0])
    part = predicted.isel(init_time=[row]).sortby("lead_time")
    kept = (*scoring.FORECAST, *scoring.grid_axes(part[name]))
    channel, where = at_place(part[name], place, kept)
    paths = scoring.members(channel.isel(init_time=0).reset_coords(drop=True))
    known = None
    if truth is not None:
        known, _ = at_place(scoring.pair(part, truth)[name].isel(init_time=0), place, kept)
        known = known.reset_coords(drop=True)
    mean = paths.mean("member", skipna=False).assign_attrs(channel.attrs)
    spread = scoring.variance(line_mean(paths, line)) ** 0.5
    return mean, spread, known, "forecast", (f"from {stamp(origins[row])}", *words_of(where))


def _of_stage(
    tree: xr.DataTree,
    truth: xr.Dataset | None,
    name: str,
    stage: str | None,
    place: str | int,
    line: str | None,
) -> Parts:
    """Mean, spread and truth at all times of one belief."""
    stage = stage_of(tree, stage)
    mean, sd = (scoring.laid_out(part) for part in scoring.moments(tree, stage, name))
    kept = ("time", *scoring.grid_axes(mean), "member")
    mean, where = at_place(mean, place, kept)
    spread: xr.DataArray | None = at_place(sd, place, kept)[0]
    if line is not None and len(scoring.grid_axes(mean)) > 1:
        spread = None
        if scoring.held_members(tree, stage, name):
            pieces = (
                at_place(scoring.laid_out(paths), place, kept)[0]
                for paths in members_in_pieces(tree, stage, name)
            )
            told = [scoring.variance(line_mean(piece, line)) ** 0.5 for piece in pieces]
            spread = xr.concat(told, "time")
    known = None
    if truth is not None:
        known = scoring.laid_out(scoring.truth_of(tree, truth, name, stage))
        known = at_place(known, place, kept)[0]
    return mean, spread, known, stage, tuple(words_of(where))


def _usual(mean: xr.DataArray, climate: xr.Dataset) -> xr.DataArray:
    """The mean of a climate over its times and runs, at the places of a field and in its units."""
    if mean.name not in climate.data_vars:
        raise ValueError(
            f"The climate has no variable '{mean.name}', only {list(climate.data_vars)}."
        )
    usual = climate[mean.name]
    usual = usual.mean([dim for dim in ("time", "run") if dim in usual.dims], keep_attrs=True)
    return match_places(mean, in_units_of(mean, usual, "result"), "result").reset_coords(drop=True)


def _spread_out(count: int) -> np.ndarray:
    """Numbers of some of so many, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, MOST)).round().astype(int))


def stamp(time: object) -> str:
    """Write a time without idle zeros."""
    return str(time).removesuffix(":00").removesuffix(" 00:00")
