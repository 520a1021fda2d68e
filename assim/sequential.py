r"""A model of whole records meets a labelled dataset: the problem of fitting it, and what it says one time ahead.

$$\log p(y_{1:T} \mid \theta) = \sum_{k,c} \log p(y_{k,c} \mid y_{<k}, y_{k,<c}, \theta)$$

Each reading is told given those of earlier times and of the earlier channels of its own, so that the terms sum to
the likelihood. What is drawn is drawn for all channels of a time together, given earlier times alone. Units are
those of the file, times those of the readings.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from assim.data.framing import Frame
from assim.data.scaling import Scaling
from assim.inference import SVI, AbstractMethod
from assim.model import AbstractSequential
from assim.observing import Observed, observe_system
from assim.pointwise import Cells, Judged, judged
from assim.problem import Problem
from assim.series import Layout
from assim.statespace import AbstractStateSpace
from assim.types import Array, Key, PyTree, Sites


def pose_record(model: AbstractSequential, ds: xr.Dataset) -> tuple[Problem, Frame]:
    """The problem of fitting a model to a record, and the labels of its readings.

    Args:
        model: the model.
        ds: readings of its system along `time`, units of the system.

    Raises:
        ValueError: a record that the system cannot have made, or one without a reading.
    """
    observed = observe_system(model.system, ds)
    cycles = observed.cycles
    if not np.asarray(cycles.mask).any():
        raise ValueError("The record holds no reading at all: check the file, or the split.")
    if observed.where is not None:
        where = jnp.broadcast_to(observed.where, (len(observed.times), *observed.where.shape))
        cycles = dataclasses.replace(cycles, where=where)
    frame = _frame(observed)
    examples = jax.tree.map(lambda leaf: leaf[None], cycles)
    return Problem(model, {}, examples, Layout.of(frame)), frame


def require_whole(method: AbstractMethod | None) -> None:
    """Refuse a method that keeps a part of the record back.

    Args:
        method: the one that is asked for, or None.

    Raises:
        ValueError: windows are kept back.
    """
    if isinstance(method, SVI) and method.held_out > 0:
        raise ValueError(
            f"SVI(held_out={method.held_out}) keeps windows back, and a model of one whole record has none to "
            "spare: use held_out=0."
        )


def newest_readings(frame: Frame, count: int) -> Cells:
    """The readings at the newest `count` times of a record that have any."""
    seen = np.isfinite(frame.y[0])
    rows = np.flatnonzero(seen.any(axis=1))[-count:]
    window, channel = np.nonzero(seen[rows])
    return Cells(np.stack([np.zeros_like(rows), rows - 1], axis=1), window, channel)


def with_sensors(group: xr.Dataset, cells: Cells) -> xr.Dataset:
    """A group along `obs_id` with the number of the sensor of each cell, and fields by their own name."""
    if "obs_id" not in group.dims:
        return group
    names = [str(name).partition("@")[0] for name in group["variable"].values]
    return group.assign_coords(
        variable=("obs_id", np.array(names)), sensor=("obs_id", cells.channel)
    )


def judge_record(
    model: AbstractSequential, problem: Problem, cells: Cells, sites: Sites, *, key: Key
) -> Judged:
    """Log-likelihood, draws and location of each judged reading, for each posterior draw; file units."""
    at = (jnp.asarray(cells.row), jnp.asarray(cells.channel))
    example = jax.tree.map(lambda leaf: leaf[0], problem.examples)
    return judged(_told, model, problem, example, sites, at, key=key)


def _told(
    model: AbstractSequential, ssm: AbstractStateSpace, example: PyTree, *, key: Key
) -> tuple[Array, Array, Array]:
    """Of every reading of a record, each shape (time, channel)."""
    density = model.density(ssm, example)
    y, _ = model.reading(example)
    return density.log_prob(y), model.ahead(ssm, example, key=key), density.mean


def _frame(observed: Observed) -> Frame:
    """The readings as a frame of one run at its own times, each channel on the scale of the file."""
    y, columns = observed.y, observed.columns
    count = y.shape[1]
    name = columns.names[0]
    alone = columns.dim is None
    channels = columns.names if alone else tuple(f"{name}@{c}" for c in range(count))
    attrs = {c: columns.attrs.get(c if alone else name, {}) for c in channels}
    scaling = Scaling(("real",) * count, np.zeros((1, count)), np.ones((1, count)), np.ones(count))
    return Frame(
        times=observed.times,
        step=float(np.median(np.asarray(observed.cycles.span.dt, float))),
        channels=channels,
        is_target=(True,) * count,
        inputs=(),
        y=y[None],
        sd=np.asarray(observed.cycles.sd, float)[None],
        u=np.zeros((1, len(observed.times), 0)),
        scaling=scaling,
        control_scaling=np.zeros((2, 0)),
        stations=None,
        instance="station",
        attrs=attrs,
    )
