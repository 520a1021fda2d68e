r"""One step ahead, cell by cell: what ArviZ judges a posterior by.

$$\log p(y_{t+1,c} \mid y_{\le t}, \theta) = \log p(z) + \log\left|\frac{dz}{dy}\right|$$

Observed cells only, in file units. The cells are the newest of the training record, the same for every model of
the same file.
"""

from collections.abc import Callable
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from assim.data.framing import Frame
from assim.model import AbstractPointwise
from assim.problem import Problem, bind, prepare
from assim.series import Layout, Series, origins_with_truth
from assim.statespace import AbstractStateSpace
from assim.types import Array, Key, PyTree, Sites

TOGETHER = 50
"""Draws that are judged at once."""


@dataclass(frozen=True)
class Cells:
    """Which readings are judged.

    Args:
        pairs: (run, origin) of each window, shape (window, 2); the reading is one row later.
        window: window of each cell, shape (cell,).
        channel: channel of each cell, shape (cell,).
    """

    pairs: np.ndarray
    window: np.ndarray
    channel: np.ndarray

    @property
    def run(self) -> np.ndarray:
        """Run of each cell."""
        return self.pairs[self.window, 0]

    @property
    def row(self) -> np.ndarray:
        """Row of each cell on the clock of the frame."""
        return self.pairs[self.window, 1] + 1


def newest_cells(series: Series, layout: Layout, count: int) -> Cells:
    """The target readings at the newest `count` times of a series."""
    pairs = origins_with_truth(series, 1, 1)
    rows = np.unique(pairs[:, 1])[-count:]
    pairs = pairs[np.isin(pairs[:, 1], rows)]
    mask = np.asarray(series.main.mask)[pairs[:, 0], pairs[:, 1] + 1]
    window, channel = np.nonzero(mask & np.asarray(layout.is_target))
    return Cells(pairs, window, channel)


@dataclass(frozen=True)
class Judged:
    """What the posterior says of the judged readings, each shape (chain, draw, cell), file units."""

    log_likelihood: np.ndarray
    predictive: np.ndarray
    location: np.ndarray


def judge(
    model: AbstractPointwise,
    problem: Problem,
    series: Series,
    frame: Frame,
    cells: Cells,
    sites: Sites,
    centre: Sites | None,
    *,
    key: Key,
) -> Judged:
    """Log-likelihood, draws and location of each judged reading, for each posterior draw."""
    plain = model.undisturbed()
    k_prepare, k_draw = jax.random.split(key)
    fixed = (problem.layout, problem.constants, plain.needs())
    examples = prepare(plain, series, jnp.asarray(cells.pairs), *fixed, key=k_prepare)
    at = (jnp.asarray(cells.window), jnp.asarray(cells.channel))
    told = judged(_next, plain, problem, examples, sites, at, centre, key=k_draw)
    jacobian = frame.scaling.log_jacobian(frame.y)[cells.run, cells.row, cells.channel]
    return Judged(
        told.log_likelihood + jacobian.astype(told.log_likelihood.dtype),
        to_file_units(told.predictive, frame, cells),
        to_file_units(told.location, frame, cells),
    )


def judged(
    tell: Callable[..., tuple[Array, Array, Array]],
    model: AbstractPointwise,
    problem: Problem,
    examples: PyTree,
    sites: Sites,
    at: tuple[Array | int, ...],
    centre: Sites | None = None,
    *,
    key: Key,
    together: int | None = TOGETHER,
) -> Judged:
    """What each posterior draw says of some readings, internal units.

    Args:
        tell: log density, a draw and the location of every reading, of a model, its state space and the examples;
            a function of a module, so that it is compiled once.
        model: the model.
        problem: what it was fitted to.
        examples: what the readings are told from.
        sites: draws, each shape (chain, draw, ...).
        at: where the judged readings stand in what is told.
        centre: sites at which the network is linearised, or None.
        key: of the draws.
        together: posterior draws at once; None for one after the other.
    """
    chains, draws = next(iter(sites.values())).shape[:2]
    flat = {k: jnp.asarray(v).reshape(-1, *v.shape[2:]) for k, v in sites.items()}
    fixed = (problem.layout, problem.constants, centre)
    told = _judged(tell, model, fixed, examples, flat, at, key, together)
    return Judged(*(np.asarray(t).reshape(chains, draws, -1) for t in told))


def to_file_units(z: np.ndarray, frame: Frame, cells: Cells) -> np.ndarray:
    """Internal values (..., cell) in file units."""
    y = np.empty_like(z)
    for run in np.unique(cells.run):
        for channel in np.unique(cells.channel):
            at = (cells.run == run) & (cells.channel == channel)
            y[..., at] = frame.scaling.inverse(z[..., at], int(run), int(channel))
    return y


def on_cells(values: np.ndarray, frame: Frame, cells: Cells, dims: tuple[str, ...]) -> xr.DataArray:
    """Values (..., cell) along `obs_id`, with the time, variable and station of each cell."""
    coords = {
        "obs_id": np.arange(len(cells.channel)),
        "time": ("obs_id", frame.times[cells.row]),
        "variable": ("obs_id", np.array(frame.channels)[cells.channel]),
    }
    if frame.stations is not None:
        coords["station"] = ("obs_id", np.array(frame.stations)[cells.run])
    for dim, size in zip(dims, values.shape, strict=False):
        coords[dim] = np.arange(size)
    return xr.DataArray(values, dims=[*dims, "obs_id"], coords=coords)


@eqx.filter_jit
def _judged(
    tell: Callable[..., tuple[Array, Array, Array]],
    model: AbstractPointwise,
    fixed: tuple[Layout, Sites, Sites | None],
    examples: PyTree,
    sites: Sites,
    at: tuple[Array | int, ...],
    key: Key,
    together: int | None,
) -> tuple[Array, Array, Array]:
    def one(numbered: tuple[Array, Sites]) -> tuple[Array, Array, Array]:
        number, theta = numbered
        ssm = bind(model, theta, *fixed)
        told = tell(model, ssm, examples, key=jax.random.fold_in(key, number))
        return tuple(t[at] for t in told)  # type: ignore[return-value]

    count = next(iter(sites.values())).shape[0]
    batch = None if together is None else min(together, count)
    return jax.lax.map(one, (jnp.arange(count), sites), batch_size=batch)


def _next(
    model: AbstractPointwise, ssm: AbstractStateSpace, examples: PyTree, *, key: Key
) -> tuple[Array, Array, Array]:
    """Of the first reading after each window, each shape (window, channel)."""

    def of(example: PyTree, k: Key) -> tuple[Array, Array, Array]:
        density = model.density(ssm, example)
        y, _ = model.reading(example)
        return density.log_prob(y)[0], density.sample(k)[0], density.mean[0]

    keys = jax.random.split(key, jax.tree.leaves(examples)[0].shape[0])
    return jax.vmap(of)(examples, keys)
