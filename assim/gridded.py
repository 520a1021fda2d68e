r"""A model of fields meets a labelled dataset: the problem of fitting it, and what it says one step ahead.

$$\log p(D \mid \theta) = \sum_s \sum_{k \le H} \sum_x \log p\big(z_{s,k}(x) \mid z_{s,0}, \theta\big)$$

over stretches s of H steps that follow each other. Every place of a complete first field is needed, land apart;
what is missing later is left out. Units are those of the file, times those of the fields.
"""

import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from assim.data.calendar import CalendarFeatures
from assim.data.clockwork import JITTER, stamp
from assim.data.driving import Controls, controls_of, static_of
from assim.data.framing import Frame
from assim.data.gridding import Fields, fields_of, in_units_of
from assim.data.scaling import Scaling
from assim.model import AbstractDriven, AbstractGridded
from assim.pointwise import Cells, Judged, judged
from assim.problem import Problem
from assim.series import Layout, Stretch
from assim.statespace import AbstractStateSpace, Span
from assim.tree import Fitted
from assim.types import Array, Key, Sites

FEWEST = 10
"""Stretches that a fit needs."""
MOST_TIMES = 20
"""Newest times that are judged: each is a whole field."""
MOST_CELLS = 2000
"""Readings that are judged one step ahead, spread over the newest times."""


def pose_fields(
    model: AbstractGridded, ds: xr.Dataset, earlier: Fitted | None = None
) -> tuple[Problem, Frame]:
    """The problem of fitting a model to a record of fields, and the record with its labels.

    Args:
        model: the model.
        ds: fields on (time, ...) or (run, time, ...), file units.
        earlier: a fit whose numbers are kept.

    Raises:
        ValueError: a dataset without fields on one regular grid, or too few complete stretches.
    """
    known = None if earlier is None else earlier.layout.channels
    fields = fields_of(ds, model.fields or known)
    if earlier is not None:
        fields = in_units_of(fields, earlier.frame["attrs"])
    layout = layout_of(model, fields)
    if earlier is not None:
        layout = _at_step_of(earlier, layout, model.trusted())
    if earlier is not None and earlier.layout.grid != layout.grid:
        raise ValueError(
            f"The fields lie on another grid than those of init= ({_said(layout)} and {_said(earlier.layout)}): "
            "bring them to one grid, as ds.interp(...)."
        )
    sea = sea_of(fields) if earlier is None else np.asarray(earlier.constants["sea"])
    controls = controls_for(model, ds, None if earlier is None else earlier.frame)
    u = inputs_of(model, controls, fields.times, layout.step)
    origins = _origins(model, fields, layout.step, sea, u)
    stretches = stretches_of(model, fields, u, origins, model.horizon, sea)
    if earlier is None:
        names = model.static if isinstance(model, AbstractDriven) else ()
        static = static_of(ds, names, fields.grid, sea)
        constants = _with_static(model, model.counted(stretches, layout), static)
    else:
        constants = earlier.constants
    return Problem(model, constants, stretches, layout), _frame(fields, layout, controls, u)


def layout_of(model: AbstractGridded, fields: Fields) -> Layout:
    """What the fields of a record are to a model."""
    count = len(fields.names)
    controls = model.controls if isinstance(model, AbstractDriven) else ()
    inputs = (*controls, *CalendarFeatures(model.calendar).names)
    like = (("real",) * count, (True,) * count)
    return Layout(fields.names, *like, inputs, len(controls), fields.step, fields.grid)


def stretches_of(
    model: AbstractGridded,
    fields: Fields,
    u: np.ndarray,
    origins: np.ndarray,
    horizon: int,
    sea: np.ndarray,
) -> Stretch:
    """The fields at some (run, row) and what came of them, with inputs u, stacked on a leading axis."""
    dtype = jnp.zeros(0).dtype
    held = model.memory()
    run, rows = origins[:, 0, None], origins[:, 1, None] + np.arange(1 - held, horizon + 1)
    values = fields.values[run, rows]
    known = (np.isfinite(values) & sea).reshape(*values.shape[:2], -1)
    values = values.reshape(known.shape)
    values = np.where(known, values, 0.0)
    dt = np.diff(fields.times[rows[:, held - 1 :]], axis=1) / np.timedelta64(1, "ns") * 1e-9
    u = u[np.minimum(run, len(u) - 1), rows[:, held:]]
    return Stretch(
        first=jnp.asarray(_newest_first(values, held), dtype),
        told=jnp.asarray(_newest_first(known, held)),
        spans=Span(jnp.asarray(dt, dtype), jnp.zeros((*dt.shape, 0), dtype)),
        u=jnp.asarray(u, dtype),
        y=jnp.asarray(values[:, held:], dtype),
        mask=jnp.asarray(known[:, held:]),
        number=jnp.arange(len(origins)),
    )


def controls_for(
    model: AbstractGridded, ds: xr.Dataset | None, like: dict | None = None
) -> Controls:
    """The series of a dataset that drive a model, as `controls_of`; none where nothing does."""
    return controls_of(ds, model.controls if isinstance(model, AbstractDriven) else (), like)


def inputs_of(
    model: AbstractGridded, controls: Controls, times: np.ndarray, step: float
) -> np.ndarray:
    """Inputs of a model at some times, shape (run, time, input), one run where all have the same.

    Args:
        model: the model.
        controls: what drives it; NaN where that is not known.
        times: shape (time,), datetime64[ns].
        step: nominal step, seconds.
    """
    known, cycles = controls.at(times, JITTER * step), CalendarFeatures(model.calendar)(times)
    return np.concatenate([known, np.broadcast_to(cycles, (len(known), *cycles.shape))], axis=-1)


def require_known(u: np.ndarray, controls: Controls, times: np.ndarray) -> None:
    """Refuse inputs, shape (run, time, input), that are not known at some time.

    Raises:
        ValueError: there is one.
    """
    if (lost := ~np.isfinite(u)).any():
        names = [n for n, gone in zip(controls.names, lost.any(axis=(0, 1)), strict=False) if gone]
        first = times[lost.any(axis=(0, 2))][0]
        raise ValueError(
            f"The controls {', '.join(names)} are not known at {stamp(first)}, where a step needs them: fill them "
            "in, give their plan, or cut the record."
        )


def sea_of(fields: Fields) -> np.ndarray:
    """Where every field is known at some time, shape (place,): elsewhere is land."""
    sea: np.ndarray = np.isfinite(fields.values).any(axis=(0, 1)).all(axis=0)
    return sea


def complete_rows(fields: Fields, sea: np.ndarray) -> np.ndarray:
    """Which fields are known wherever there is sea, shape (run, time)."""
    whole: np.ndarray = np.isfinite(fields.values[..., sea]).all(axis=(2, 3))
    return whole


def lasting(whole: np.ndarray, count: int) -> np.ndarray:
    """Where the last `count` rows are all whole, shape (..., time)."""
    padded = np.concatenate([np.zeros((*whole.shape[:-1], count - 1), bool), whole], axis=-1)
    held: np.ndarray = np.lib.stride_tricks.sliding_window_view(padded, count, axis=-1).all(axis=-1)
    return held


def newest_places(problem: Problem, frame: Frame, count: int) -> Cells:
    """Readings one step after complete fields, at the newest `count` times; a place counts as a run."""
    assert problem.layout.grid is not None and isinstance(problem.model, AbstractGridded)
    places = problem.layout.grid.places
    sea = np.asarray(problem.constants["sea"])
    mask = np.isfinite(frame.y[:places]) & sea[:, None, None]
    whole = lasting(mask[sea].all(axis=(0, 2)), problem.model.memory())
    told = mask[:, 1:].any(axis=(0, 2)) & np.isfinite(frame.u[0, 1:]).all(axis=-1)
    told &= _no_gap(problem.model, frame.times, problem.layout.step)
    rows = np.flatnonzero(whole[:-1] & told)[-min(count, MOST_TIMES) :]
    row, place, channel = np.nonzero(mask[:, rows + 1].transpose(1, 0, 2))
    kept = np.linspace(0, row.size - 1, min(MOST_CELLS, row.size)).round().astype(int)
    pairs = np.stack([place[kept], rows[row[kept]]], axis=1)
    return Cells(pairs, np.arange(kept.size), channel[kept])


def with_places(group: xr.Dataset, cells: Cells, layout: Layout) -> xr.Dataset:
    """A group along `obs_id` with the coordinates of the place of each cell."""
    if "obs_id" not in group.dims or layout.grid is None:
        return group
    points = layout.grid.points()[cells.run]
    coords = {dim: ("obs_id", points[:, i]) for i, dim in enumerate(layout.grid.dims)}
    return group.assign_coords(coords)


def judge_fields(
    model: AbstractGridded, problem: Problem, frame: Frame, cells: Cells, sites: Sites, *, key: Key
) -> Judged:
    """Log-likelihood, draws and location of each judged reading, for each posterior draw; file units."""
    assert problem.layout.grid is not None
    plain, places = model.undisturbed(), problem.layout.grid.places
    rows, window = np.unique(cells.pairs[:, 1], return_inverse=True)
    record = Fields(
        frame.times,
        frame.channels,
        problem.layout.grid,
        frame.y[:places].transpose(1, 2, 0)[None],
        {},
    )
    origins = np.stack([np.zeros_like(rows), rows], axis=1)
    sea = np.asarray(problem.constants["sea"])
    examples = stretches_of(model, record, frame.u[:1], origins, 1, sea)
    at = (jnp.asarray(window), 0, jnp.asarray(cells.channel * places + cells.run))
    return judged(_told, plain, problem, examples, sites, at, key=key, together=None)


def _told(
    model: AbstractGridded, ssm: AbstractStateSpace, examples: Stretch, *, key: Key
) -> tuple[Array, Array, Array]:
    """Of every place of some stretches, each shape (stretch, lead, place of each field)."""
    density = jax.vmap(lambda example: model.density(ssm, example))(examples)
    return density.log_prob(examples.y), density.sample(key), density.mean


def _newest_first(values: np.ndarray, held: int) -> np.ndarray:
    """The first `held` fields of each stretch (n, time, place), newest first, as one vector."""
    return values[:, held - 1 :: -1].reshape(len(values), -1)


def _with_static(model: AbstractGridded, constants: Sites, static: np.ndarray) -> Sites:
    if not isinstance(model, AbstractDriven):
        return constants
    return model.placed(constants, jnp.asarray(static, jnp.zeros(0).dtype))


def _origins(
    model: AbstractGridded, fields: Fields, nominal: float, sea: np.ndarray, u: np.ndarray
) -> np.ndarray:
    """Where stretches begin, (run, row): one after the other, each at a complete field, none across a long gap.

    The inputs u, shape (run, time, input), have to be known at every step.
    """
    horizon, before = model.horizon, model.memory() - 1
    whole = lasting(complete_rows(fields, sea), before + 1)
    whole = whole if model.complete() else np.ones_like(whole)
    even, found = _no_gap(model, fields.times, nominal), []
    step = np.broadcast_to(np.isfinite(u).all(axis=-1)[:, 1:] & even, (len(whole), even.size))
    for run, told in enumerate(whole):
        row = 0
        while row + horizon < told.size:
            here, after = slice(row - before, row), slice(row, row + horizon)
            taken = told[row] and even[here].all() and step[run, after].all()
            if taken:
                found.append((run, row))
            row += horizon if taken else 1
    if len(found) < FEWEST:
        driven = "" if np.isfinite(u).all() else ", with the controls known"
        raise ValueError(
            f"The record has {len(found)} stretches of {horizon} steps (of {nominal:g} s as a rule), without a "
            f"gap{driven}, from a complete "
            f"field (of {whole.size}, {int(whole.sum())} are complete), and at least {FEWEST} are needed: give a "
            "longer record, a shorter horizon, fill in what is missing, or make land of every place that sometimes "
            "is, as ds.where(ds.notnull().all('time'))."
        )
    return np.array(found)


def _no_gap(model: AbstractGridded, times: np.ndarray, nominal: float) -> np.ndarray:
    """Which spans between times are no longer than a model trusts, shape (time - 1,)."""
    dt = np.diff(times) / np.timedelta64(1, "ns") * 1e-9
    short: np.ndarray = dt <= (1.0 + JITTER) * model.trusted()[1] * nominal
    return short


def _at_step_of(earlier: Fitted, layout: Layout, trusted: tuple[float, float]) -> Layout:
    """A layout in nominal steps of an earlier fit, which its parameters are told in."""
    step, least, most = earlier.layout.step, *trusted
    if not (1.0 - JITTER) * least <= layout.step / step <= (1.0 + JITTER) * most:
        raise ValueError(
            f"The fields are {layout.step:g} s apart as a rule, and those of init= {step:g} s, in which its "
            "parameters are told: bring the record to that clock, or fit it anew."
        )
    return replace(layout, step=step)


def _frame(fields: Fields, layout: Layout, controls: Controls, u: np.ndarray) -> Frame:
    """The record with its labels: a row for every place of every run."""
    runs, times, count, places = fields.values.shape
    y = fields.values.transpose(0, 3, 1, 2).reshape(runs * places, times, count)
    u = np.broadcast_to(u, (len(y), *u.shape[1:])) if len(u) == 1 else np.repeat(u, places, axis=0)
    scaling = Scaling(layout.supports, np.zeros((1, count)), np.ones((1, count)), np.ones(count))
    return Frame(
        times=fields.times,
        step=layout.step,
        channels=fields.names,
        is_target=(True,) * count,
        inputs=layout.inputs,
        y=y,
        sd=np.broadcast_to(0.0, y.shape),
        u=u,
        scaling=scaling,
        control_scaling=controls.scaling,
        stations=None,
        instance="run",
        attrs=fields.attrs | {str(n): dict(v.attrs) for n, v in controls.record.items()},
    )


def _said(layout: Layout) -> str:
    assert layout.grid is not None
    sizes = " x ".join(map(str, layout.grid.sizes))
    return (
        f"{sizes} places along {', '.join(layout.grid.dims)}, {math.prod(layout.grid.sizes)} in all"
    )
