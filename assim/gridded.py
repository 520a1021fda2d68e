r"""A model of fields meets a labelled dataset: the problem of fitting it, and what it says one step ahead.

$$\log p(D \mid \theta) = \sum_s \sum_{k \le H} \sum_x \log p\big(z_{s,k}(x) \mid z_{s,0}, \theta\big)$$

over stretches s of H steps that follow each other. Every place of a complete first field is needed, land apart;
what is missing later is left out. Units are those of the file, times those of the fields.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from assim.data.calendar import CalendarFeatures
from assim.data.framing import Frame
from assim.data.gridding import Fields, fields_of, in_units_of
from assim.data.scaling import Scaling
from assim.model import AbstractGridded, Problem
from assim.pointwise import Cells, Judged, judged
from assim.series import Layout, Stretch
from assim.statespace import AbstractStateSpace, Span
from assim.tree import Fitted
from assim.types import Array, Key, Sites

FEWEST = 10
"""Stretches that a fit needs."""
LONGER = 1.5
"""Nominal steps beyond which one step is neither learned from nor trusted."""
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
    if earlier is not None and earlier.layout.grid != layout.grid:
        raise ValueError(
            f"The fields lie on another grid than those of init= ({_said(layout)} and {_said(earlier.layout)}): "
            "bring them to one grid, as ds.interp(...)."
        )
    sea = sea_of(fields) if earlier is None else np.asarray(earlier.constants["sea"])
    origins = _origins(model, fields, sea)
    stretches = stretches_of(model, fields, origins, model.horizon, sea)
    constants = model.counted(stretches, layout) if earlier is None else earlier.constants
    return Problem(model, constants, stretches, layout), _frame(model, fields, layout)


def layout_of(model: AbstractGridded, fields: Fields) -> Layout:
    """What the fields of a record are to a model."""
    count = len(fields.names)
    inputs = CalendarFeatures(model.calendar).names
    real = ("real",) * count
    return Layout(fields.names, real, (True,) * count, inputs, 0, fields.step, fields.grid)


def stretches_of(
    model: AbstractGridded, fields: Fields, origins: np.ndarray, horizon: int, sea: np.ndarray
) -> Stretch:
    """The fields at some (run, row) and what came of them, stacked on a leading axis."""
    dtype = jnp.zeros(0).dtype
    held = model.memory()
    run, rows = origins[:, 0, None], origins[:, 1, None] + np.arange(1 - held, horizon + 1)
    values = fields.values[run, rows]
    known = (np.isfinite(values) & sea).reshape(*values.shape[:2], -1)
    values = values.reshape(known.shape)
    values = np.where(known, values, 0.0)
    dt = np.diff(fields.times[rows[:, held - 1 :]], axis=1) / np.timedelta64(1, "ns") * 1e-9
    u = calendar_of(model, fields.times)[rows[:, held:]]
    return Stretch(
        first=jnp.asarray(_newest_first(values, held), dtype),
        told=jnp.asarray(_newest_first(known, held)),
        spans=Span(jnp.asarray(dt, dtype), jnp.zeros((*dt.shape, 0), dtype)),
        u=jnp.asarray(u, dtype),
        y=jnp.asarray(values[:, held:], dtype),
        mask=jnp.asarray(known[:, held:]),
        number=jnp.arange(len(origins)),
    )


def calendar_of(model: AbstractGridded, times: np.ndarray) -> np.ndarray:
    """Inputs of a model at some times, shape (time, input)."""
    return CalendarFeatures(model.calendar)(times)


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
    rows = np.flatnonzero(whole[:-1] & mask[:, 1:].any(axis=(0, 2)))[-min(count, MOST_TIMES) :]
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
    examples = stretches_of(model, record, origins, 1, np.asarray(problem.constants["sea"]))
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


def _origins(model: AbstractGridded, fields: Fields, sea: np.ndarray) -> np.ndarray:
    """Where stretches begin, (run, row): one after the other, each at a complete field, none across a long gap."""
    horizon, before = model.horizon, model.memory() - 1
    whole = lasting(complete_rows(fields, sea), before + 1)
    whole = whole if model.complete() else np.ones_like(whole)
    dt = np.diff(fields.times) / np.timedelta64(1, "ns") * 1e-9
    even, found = dt <= LONGER * fields.step, []
    for run, told in enumerate(whole):
        row = 0
        while row + horizon < told.size:
            taken = told[row] and even[row - before : row + horizon].all()
            if taken:
                found.append((run, row))
            row += horizon if taken else 1
    if len(found) < FEWEST:
        raise ValueError(
            f"The record has {len(found)} stretches of {horizon} steps, without a gap, from a complete field "
            f"(of {whole.size} fields, {int(whole.sum())} are complete), and at least {FEWEST} are needed: give a "
            "longer record, a shorter horizon, fill in what is missing, or make land of every place that sometimes "
            "is, as ds.where(ds.notnull().all('time'))."
        )
    return np.array(found)


def _frame(model: AbstractGridded, fields: Fields, layout: Layout) -> Frame:
    """The record with its labels: a row for every place of every run."""
    runs, times, count, places = fields.values.shape
    y = fields.values.transpose(0, 3, 1, 2).reshape(runs * places, times, count)
    u = calendar_of(model, fields.times)
    scaling = Scaling(layout.supports, np.zeros((1, count)), np.ones((1, count)), np.ones(count))
    return Frame(
        times=fields.times,
        step=fields.step,
        channels=fields.names,
        is_target=(True,) * count,
        inputs=layout.inputs,
        y=y,
        sd=np.broadcast_to(0.0, y.shape),
        u=np.broadcast_to(u, (len(y), *u.shape)),
        scaling=scaling,
        control_scaling=np.zeros((2, 0)),
        stations=None,
        instance="run",
        attrs=fields.attrs,
    )


def _said(layout: Layout) -> str:
    assert layout.grid is not None
    sizes = " x ".join(map(str, layout.grid.sizes))
    return (
        f"{sizes} places along {', '.join(layout.grid.dims)}, {math.prod(layout.grid.sizes)} in all"
    )
