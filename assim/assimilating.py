"""`assimilate`: a filter through a labelled record; what was believed before each reading and after it."""

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from assim.assimilation.augmenting import Drawn
from assim.assimilation.believing import (
    belief_dataset,
    belief_from,
    recent_from,
    require_same,
    run_attrs,
    sensors_of,
)
from assim.assimilation.doors import moment, require_filters, require_record
from assim.assimilation.labelling import Part, across, labelled, streamed, whole
from assim.assimilation.losing import LOST, Watch
from assim.assimilation.scene import Scene
from assim.assimilation.staging import PARAMETERS, STATE, staged
from assim.assimilation.telling import begun, stretch, stretches
from assim.data.clockwork import stamp
from assim.filters import Partial
from assim.filters.base import AbstractFilter, Belief
from assim.filters.gaussian import DRAWS
from assim.filters.robust import picking
from assim.inference.progress import Progress
from assim.model import AbstractModel
from assim.statespace import AbstractStateSpace
from assim.tree import Fitted, read_tree, require_key
from assim.types import Array, Key

CYCLES = 256
"""Cycles under one call, or the least power of two that holds them where there are fewer: so little is compiled."""
FEWEST = 16
"""Cycles under one call at least: a loop of one is compiled as none, and rounds otherwise."""
MOST_VALUES = 8_000_000
"""Values of members held on the device at once."""


@dataclass
class Running:
    """A record on its way through a filter.

    Args:
        scene: what is run.
        belief: after the cycles so far.
        key: of its cycles.
        steps: absolute number of the next cycle.
    """

    scene: Scene
    belief: Belief
    key: Key
    steps: int = 0

    def __post_init__(self) -> None:
        self.watch = Watch(self.scene.station)


def assimilate(
    model: AbstractStateSpace | AbstractModel | Fitted | xr.DataTree | str | Path,
    ds: xr.Dataset,
    chosen: AbstractFilter,
    *,
    key: Key,
    update: str | Sequence[str] = STATE,
    since: str | np.datetime64 | None = None,
    resume: xr.DataTree | None = None,
    members: int | None = None,
    to: str | Path | None = None,
    progress: bool = False,
) -> xr.DataTree:
    r"""Carry a belief through a record, $p(x_k \mid y_{<k})$ and $p(x_k \mid y_{\le k})$ at each of its times.

    Args:
        model: a known system, from `assim.systems` or your own; a posterior tree, its path, or what `assim.restore`
            makes of it, whose draws are the members; a `models.Mechanistic`, whose parameters are drawn from their
            priors.
        ds: the record, file units; NaN where missing, and rows without any reading are no more than that. Fields
            are read by sensors, each variable on (time, sensor), NaN where a sensor does not read that field.
        chosen: a filter from `assim.filters`. One without members runs once for each draw of a posterior.
        key: all randomness.
        update: what a reading corrects: "state"; names of parameters, beside the state and in unconstrained space;
            "both" for the state and all parameters, "parameters" for all of them and not the state.
        since: time of the state before the first reading, for a known system; None for as long before the first
            reading as the second comes after it.
        resume: what an earlier call returned, to go on from its last analysis: two calls give what one gives.
        members: how many members are kept, evenly spaced; None for all, 0 for means and standard deviations alone.
        to: Zarr store to write to, stretch by stretch, when the result outgrows memory; the readings stay in it.
        progress: whether to show a progress bar.

    Returns:
        A tree with `background` and `analysis` (each variable of the state: members on (chain, draw, time, ...),
        and `_mean` and `_sd` beside them), `innovation` (reading minus background, its `_sd` and `_log_score`,
        `_after`: reading minus analysis, `_error`: of the reading itself; by time `normalised`, the mean square of
        innovations, each in units of its own `_sd`, and `lost`), `observed_data` and `belief`; `log_likelihood`
        where each of several draws ran a filter of its own.

    Raises:
        ValueError: a record that the model cannot be seen in, times before the state's, more parameters than
            members.
        TypeError: a filter that cannot serve the model; a seed in place of a key.
    """
    require_key(key)
    require_filters(chosen)
    require_record(ds, members)
    model = read_tree(model) if isinstance(model, str | Path) else model
    k_stage, k_start, k_run = jax.random.split(key, 3)
    attrs = run_attrs(model, chosen, update, key)
    begin = moment(since)
    if resume is not None:
        require_same(resume, attrs)
        if begin is not None:
            raise ValueError(
                "since= and resume= both tell the time of the state: give resume= alone to go on from it."
            )
        begin = _last(resume)
        ds = _later(ds, begin)
    scenes = staged(
        model,
        ds,
        chosen.size,
        update=update,
        since=begin,
        resumed=resume is not None,
        whole=picking(chosen),
        key=k_stage,
    )
    attrs["sensors"] = sensors_of(scenes[0])
    name = type(chosen).__name__
    if update == PARAMETERS:
        chosen = Partial(chosen, _parameters_of(scenes[0]))
    running = [
        Running(scene, begun(chosen, scene, key=k_start), _own(k_run, scene)) for scene in scenes
    ]
    if resume is not None:
        require_same(resume, attrs, ("sensors",))
        for one in running:
            _go_on(one, resume["belief"].to_dataset())
    parts = _parts(running, chosen, members, progress=progress)
    tree = whole(parts, attrs) if to is None else streamed(parts, attrs, Path(to))
    for one in running:
        for sentence in one.watch.advice(name):
            warnings.warn(sentence, UserWarning, stacklevel=2)
    return tree


def _own(key: Key, scene: Scene) -> Key:
    """The key of a station, wherever it stands among others."""
    return key if scene.station is None else jax.random.fold_in(key, crc32(scene.station.encode()))


def _go_on(one: Running, held: xr.Dataset) -> None:
    """Put the belief of an earlier run in its place.

    Raises:
        ValueError: a station that it has not.
    """
    label = one.scene.station
    if label is not None:
        known = [str(name) for name in np.atleast_1d(held.get("station", []))]
        if label not in known:
            raise ValueError(
                f"resume= knows nothing of '{label}', only of {', '.join(known) or 'a single record'}: leave that "
                "station out, or start it anew."
            )
        held = held.isel(station=known.index(label))
    one.belief = belief_from(held, one.belief)
    one.steps = int(held.attrs["cycles"])
    one.watch.recent = recent_from(held)


def _last(resume: xr.DataTree) -> np.datetime64:
    """The time of the last analysis."""
    times = resume["belief"].to_dataset()["time"].values
    return times.astype("datetime64[ns]").ravel()[0]


def _later(ds: xr.Dataset, begin: np.datetime64) -> xr.Dataset:
    """The part of a record that comes after the last analysis."""
    if "time" not in ds.dims or ds.sizes["time"] == 0:
        raise ValueError("The record holds no time at all: check the file, or the split.")
    later = ds["time"].values > begin
    if not later.any():
        raise ValueError(
            f"The record ends at {stamp(ds['time'].values[-1])}, and the last analysis is of "
            f"{stamp(begin)}: give readings that come after it."
        )
    return ds.isel(time=later)


def _parameters_of(scene: Scene) -> Array:
    """Which components of the state are parameters, shape (state,)."""
    assert isinstance(scene.first, Drawn) and scene.shown.varying is not None
    size, count = scene.first.members.shape[1], scene.shown.varying.size
    return jnp.arange(size) >= size - count


def _parts(
    running: list[Running],
    chosen: AbstractFilter,
    members: int | None,
    *,
    progress: bool,
) -> Iterator[Part]:
    """The groups, a stretch at a time, and what a resume needs at the end."""
    total, size = len(running[0].scene.times), _stretch_size(running[0].scene, chosen)
    with Progress(progress, "assimilate", total) as bar:
        for start in range(0, total, size):
            rows = slice(start, min(start + size, total))
            yield across(
                [_part(one, chosen, rows, size, members) for one in running],
                [one.scene for one in running],
            )
            bar.advance(rows.stop - rows.start, {})
    last = running[0].scene.times[-1]
    held = [belief_dataset(one.belief, one.steps, last, one.watch.recent) for one in running]
    names = [one.scene.station for one in running]
    if names[0] is None:
        yield {"belief": held[0]}
    else:
        yield {"belief": xr.concat(held, "station").assign_coords(station=names)}


def _part(
    one: Running, chosen: AbstractFilter, rows: slice, size: int, members: int | None
) -> Part:
    """A stretch of one record, labelled; the record moves on."""
    scene, count = one.scene, rows.stop - rows.start
    at = np.minimum(rows.start + np.arange(size), rows.stop - 1)
    cycles = jax.tree.map(lambda leaf: leaf[at], scene.cycles)
    valid, step = jnp.arange(size) < count, jnp.asarray(one.steps)
    go = stretch if scene.several is None else stretches
    one.belief, kept = go(
        chosen, scene.dynamics, one.belief, cycles, valid, step, scene.shown, one.key
    )
    one.steps += count
    time = 0 if scene.several is None else 1
    cut = (slice(None),) * time + (slice(count),)
    part = labelled(scene, jax.tree.map(lambda leaf: np.asarray(leaf)[cut], kept), rows, members)
    told = part["innovation"]
    finite = np.isfinite(np.asarray(kept.analysis.members)[cut]).reshape(
        (-1, count, math.prod(kept.analysis.members.shape[time + 1 :]))
    )
    chi = (told["normalised"].values, told["normalised_after"].values)
    lost = one.watch(told["time"].values, *chi, finite.all(axis=(0, 2)))
    told["lost"] = ("time", lost.astype(np.int8), LOST)
    return part


def _stretch_size(scene: Scene, chosen: AbstractFilter) -> int:
    """Cycles under one call."""
    members = (chosen.size or DRAWS) * (1 if scene.several is None else math.prod(scene.several))
    held = members * scene.tables[-1].at.stop * 2
    fits = max(int(MOST_VALUES // held), 1)
    needed = max(2 ** math.ceil(math.log2(len(scene.times))), FEWEST)
    return min(CYCLES, needed, 2 ** int(math.log2(fits)))
