"""`reconstruct`: every time given all readings, earlier and later: smoothing, and gaps filled."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from assim.assimilation.believing import run_attrs
from assim.assimilation.doors import moment, require_record, require_smoother
from assim.assimilation.labelling import Part, across, labelled_smooth, streamed, whole
from assim.assimilation.latent import is_latent
from assim.assimilation.losing import LOST, Watch
from assim.assimilation.scene import Scene
from assim.assimilation.spilling import Spill
from assim.assimilation.staging import STATE, staged
from assim.assimilation.telling import Sample, begun, forward, forward_each, told, told_each
from assim.filters import RTS, EnRTS
from assim.filters.base import Belief, Cycle
from assim.filters.smoother import AbstractSmoother
from assim.inference.progress import Progress
from assim.model import AbstractModel, AbstractWindowless
from assim.statespace import AbstractLinearGaussian, AbstractStateSpace
from assim.tree import Fitted, read_tree, require_key, restore
from assim.types import Key, PyTree

CYCLES = 256
"""Cycles under one call, or as many as the lag of the smoother where that is longer."""
type Smoothed = tuple[Sample, jax.Array, jax.Array]
"""Of the cycles of a stretch: the beliefs, and the mean squares of what lies between them and the readings."""
MEMBERS = 300
"""Of the ensemble where no smoother is given: fewer see correlations that are not there, and close gaps too far."""


def reconstruct(
    model: AbstractStateSpace | AbstractModel | Fitted | xr.DataTree | str | Path,
    ds: xr.Dataset,
    chosen: AbstractSmoother | None = None,
    *,
    key: Key,
    since: str | np.datetime64 | None = None,
    members: int | None = None,
    to: str | Path | None = None,
    progress: bool = False,
) -> xr.DataTree:
    r"""The state at every time given the whole record, $p(x_k \mid y_{1:K})$: smoothed, gaps filled.

    Args:
        model: a known system, a posterior tree or its path, or a `models.Mechanistic`, as for `assimilate`.
        ds: the record, file units; NaN where missing.
        chosen: a smoother from `assim.filters`; None for `RTS` where the state moves by a matrix, else an
            `EnRTS` of 300 members. Over a gap a smoother of few members is too sure of itself, an `EnKS` most.
        key: all randomness.
        since: time of the state before the first reading, for a known system.
        members: how many members are kept, evenly spaced; None for all, 0 for means and standard deviations alone.
        to: Zarr store to write to, when the result outgrows memory.
        progress: whether to show a progress bar.

    Returns:
        A tree with `smoothed` (each variable of the state: members on (chain, draw, time, ...), and `_mean` and
        `_sd` beside them; `lost`, whether the smoother follows, by time) and `observed_data`.

    Raises:
        ValueError: a record that the model cannot be seen in, times before the state's.
        TypeError: a smoother that cannot serve the model; a seed in place of a key.
    """
    require_key(key)
    require_smoother(chosen)
    require_record(ds, members)
    model = read_tree(model) if isinstance(model, str | Path) else model
    if chosen is None and isinstance(model, xr.DataTree):
        model = restore(model)
    k_stage, k_start, k_run = jax.random.split(key, 3)
    smoother = _default(model) if chosen is None else chosen
    begin = moment(since)
    scenes = staged(model, ds, smoother.size, since=begin, key=k_stage)
    attrs = run_attrs(model, smoother, STATE, key)
    ways = [Way(smoother, scene, begun(smoother, scene, key=k_start), k_run) for scene in scenes]
    beside = None if to is None else Path(to).parent
    with (
        Spill(beside=beside) as spill,
        Progress(progress, "reconstruct", len(scenes[0].times)) as bar,
    ):
        if smoother.reach is None:
            parts = _whole(ways, members, spill, bar)
        else:
            parts = _lagged(ways, smoother.reach, members, bar)
        parts = _spoken(ways, parts, type(smoother).__name__)
        return whole(parts, attrs) if to is None else streamed(parts, attrs, Path(to))


def _spoken(ways: list["Way"], parts: Iterator[Part], who: str) -> Iterator[Part]:
    """The parts as they are, and then a word where the state was lost."""
    yield from parts
    for sentence in [word for way in ways for word in way.watch.advice(who)]:
        warnings.warn(sentence, UserWarning, stacklevel=2)


def _default(model: object) -> AbstractSmoother:
    """The smoother where none is given."""
    exact = isinstance(model, AbstractLinearGaussian) or (
        isinstance(model, Fitted)
        and not isinstance(model.model, AbstractWindowless)
        and is_latent(model)
    )
    return RTS() if exact else EnRTS(size=MEMBERS)


class Way:
    """One record on its way forward, a stretch at a time."""

    def __init__(self, chosen: AbstractSmoother, scene: Scene, belief: Belief, key: Key) -> None:
        self.chosen, self.scene, self.belief = chosen, scene, belief
        label, self.watch = scene.station, Watch(scene.station)
        self.key = key if label is None else jax.random.fold_in(key, crc32(label.encode()))

    def on(self, rows: slice) -> PyTree:
        """What the way through a stretch leaves behind."""
        go = forward if self.scene.several is None else forward_each
        self.belief, passed = go(
            self.chosen,
            self.scene.dynamics,
            self.belief,
            self._cycles(rows),
            self._first(rows),
            self.key,
        )
        return passed

    def back(self, passed: PyTree, rows: slice, later: PyTree | None) -> tuple[PyTree, Smoothed]:
        """What the stretch before needs, and what is told of this one."""
        go = told if self.scene.several is None else told_each
        settings = (self.scene.shown, self._first(rows), jax.random.fold_in(self.key, 1))
        between, cycles = (passed, later), self._cycles(rows)
        return go(self.chosen, self.scene.dynamics, between, cycles, *settings)

    def part(self, smoothed: Smoothed, rows: slice, members: int | None) -> Part:
        """A stretch with its labels, and whether the state is lost; stretches come in the order of time."""
        sample, *squares = smoothed
        several = self.scene.several is not None
        chi = [np.mean(square, axis=0) if several else np.asarray(square) for square in squares]
        count = rows.stop - rows.start
        time = 1 if several else 0
        finite = np.moveaxis(np.isfinite(np.asarray(sample.members)), time, 0).reshape(count, -1)
        part = labelled_smooth(self.scene, sample, rows, members)
        lost = self.watch(self.scene.times[rows], chi[0], chi[1], finite.all(axis=1))
        part["smoothed"]["lost"] = ("time", lost.astype(np.int8), LOST)
        return part

    def _cycles(self, rows: slice) -> Cycle:
        return jax.tree.map(lambda leaf: leaf[rows], self.scene.cycles)

    def _first(self, rows: slice) -> jax.Array:
        return jnp.asarray(rows.start)


def _stretches(total: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, total)) for start in range(0, total, size)]


def _lagged(ways: list[Way], reach: int, members: int | None, bar: Progress) -> Iterator[Part]:
    """Stretch by stretch, each told once the next has been passed: memory does not grow with the record."""
    rows = _stretches(len(ways[0].scene.times), max(CYCLES, reach))
    before: list[PyTree] = []
    for number, here in enumerate(rows):
        passed = [way.on(here) for way in ways]
        if number:
            yield _told(ways, before, rows[number - 1], members, passed, here)
        before = passed
        bar.advance(here.stop - here.start, {})
    yield _told(ways, before, rows[-1], members, None, None)


def _told(
    ways: list[Way],
    passed: list[PyTree],
    rows: slice,
    members: int | None,
    following: list[PyTree] | None,
    after: slice | None,
) -> Part:
    parts = []
    for number, way in enumerate(ways):
        later = None
        if following is not None and after is not None:
            later = way.back(following[number], after, None)[0]
        parts.append(way.part(way.back(passed[number], rows, later)[1], rows, members))
    return across(parts, [way.scene for way in ways])


def _whole(ways: list[Way], members: int | None, spill: Spill, bar: Progress) -> Iterator[Part]:
    """All forward, then all back: what lies between is kept beside, and told from the first on."""
    rows = _stretches(len(ways[0].scene.times), CYCLES)
    for number, here in enumerate(rows):
        spill[number] = [way.on(here) for way in ways]
        bar.advance(here.stop - here.start, {})
    later: list[PyTree | None] = [None for _ in ways]
    for number in reversed(range(len(rows))):
        passed, samples = spill.pop(number), []
        for i, way in enumerate(ways):
            later[i], smoothed = way.back(passed[i], rows[number], later[i])
            samples.append(smoothed)
        spill[number] = samples
    for number, here in enumerate(rows):
        told = zip(ways, spill.pop(number), strict=True)
        parts = [way.part(smoothed, here, members) for way, smoothed in told]
        yield across(parts, [way.scene for way in ways])
