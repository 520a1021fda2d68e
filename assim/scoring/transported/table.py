"""The table of models of snapshots: every distance at every held-out time, with its floors beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from assim.scoring.transported.base import AbstractDistance, key_of, rng_of
from assim.scoring.transported.clouds import Cloud, Clouded, as_clouds
from assim.scoring.transported.energy import EnergyDistance
from assim.scoring.transported.floors import midpoint, persistence, split_half
from assim.scoring.transported.mmd import SquaredMMD
from assim.scoring.transported.sliced import SlicedWasserstein
from assim.scoring.transported.wasserstein import Wasserstein
from assim.types import Key

FLOORS = ("split_half", "persistence", "midpoint")


def transported(
    truth: Clouded,
    made: Mapping[str, Clouded],
    seen: Clouded,
    *,
    key: Key,
    scores: Sequence[AbstractDistance] | None = None,
    halves: int = 10,
    most: int = 1000,
) -> xr.Dataset:
    """Score the clouds of models against snapshots that were held out, beside what needs no model.

    Three rows are always there: "split_half", one half of the true snapshot against the other, an upper bound of
    what a perfect model scores; "persistence", the snapshot before; "midpoint", optimal transport from the snapshot
    before to the one after. Clouds may have any sizes and weights. More points score lower, whatever they are: give
    all models as many, or set `most`. Coordinates count as they are, in their units: where they differ in scale,
    divide them before.

    Args:
        truth: held-out snapshots: a variable for each coordinate on (time, sample), NaN for padding, and perhaps
            `weight`.
        made: the clouds of models by name, at these times and perhaps at others: as `truth`; or paths, on `time`
            and any dimensions of points such as `sample` and `draw`; or an array that has `coordinate` too.
        seen: the snapshots that models were fitted to. Floors are made of them, strictly before and after each
            time.
        key: splits into those of projections, halves and points: the same key gives the same table, bit for bit.
        scores: which; by default W2, W1, sliced W2, squared MMD and energy distance, all in full by their words.
        halves: how often a snapshot is halved.
        most: points of a model at one time that count, drawn where it has more.

    Returns:
        On (generator, time), each score, the lower the better, NaN for a floor without a neighbour; and `points`,
        the number of them.

    Raises:
        ValueError: clouds that cannot be read, or lack a time or coordinate of the snapshots; a snapshot of one
            point; a score twice; a model called as a floor is; no half.
    """
    taken = sorted({*made} & {*FLOORS})
    if taken or halves < 1 or most < 1:
        raise ValueError(
            f"Got halves={halves}, most={most} and models {list(made)}: give one or more of each, and other names "
            f"than {list(FLOORS)}, which are rows of every table."
        )
    asked = _usual() if scores is None else list(scores)
    names = [score.name for score in asked]
    if not names or len({*names}) < len(names):
        raise ValueError(f"The scores are {names}: give one or more, each once.")
    held = as_clouds(truth)
    if min(map(len, held.each)) < 2:
        raise ValueError(
            f"The snapshots have {[len(cloud) for cloud in held.each]} points: each needs two or more, for "
            "its halves."
        )
    known = as_clouds(seen, who="seen", like=held)
    rows: dict[str, list[Cloud | None]] = {
        "persistence": [persistence(known, time) for time in held.times],
        "midpoint": [midpoint(known, time) for time in held.times],
    }
    for name, given in made.items():
        rng = rng_of(key_of(key, name))
        clouds = as_clouds(given, who=name, like=held).along(held.times, who=name)
        rows[name] = [cloud.drawn(most, rng) for cloud in clouds]
    table = xr.Dataset(coords={"generator": [FLOORS[0], *rows], "time": held.times})
    for score in asked:
        own = key_of(key, score.name)
        floor = [split_half(score, cloud, halves, key=own) for cloud in held.each]
        told = [
            [
                np.nan if m is None else score(t, m, key=own)
                for t, m in zip(held.each, row, strict=True)
            ]
            for row in rows.values()
        ]
        units = _units(held.units, score.power)
        table[score.name] = (
            ("generator", "time"),
            [floor, *told],
            {"long_name": score.words} | units,
        )
    sizes = [[0 if m is None else len(m) for m in row] for row in rows.values()]
    table["points"] = (("generator", "time"), [[len(c) // 2 for c in held.each], *sizes])
    return table.assign_attrs(
        coordinates=list(held.coordinates),
        truth_points=[len(cloud) for cloud in held.each],
        halves=halves,
        most=most,
        settings=[repr(score) for score in asked],
    )


def _usual() -> list[AbstractDistance]:
    """All scores."""
    return [Wasserstein(2), Wasserstein(1), SlicedWasserstein(), SquaredMMD(), EnergyDistance()]


def _units(units: tuple[str, ...], power: int) -> dict[str, str]:
    """The units of a distance, where all coordinates share one."""
    if power == 0:
        return {"units": "1"}
    return {"units": units[0]} if units[0] and len({*units}) == 1 else {}
