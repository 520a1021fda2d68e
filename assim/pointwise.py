r"""One step ahead, cell by cell: what ArviZ judges a posterior by.

$$\log p(y_{t+1,c} \mid y_{\le t}, \theta) = \log p(z) + \log\left|\frac{dz}{dy}\right|$$

Observed cells only, in file units. The cells are the newest of the training record, the same for every model of
the same file.
"""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from assim.data.framing import Frame
from assim.model import AbstractPointwise, Problem, bind, prepare
from assim.series import Layout, Series, origins_with_truth
from assim.types import Array, Key, Sites


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
    examples = prepare(
        plain, series, jnp.asarray(cells.pairs), problem.layout, problem.constants, key=k_prepare
    )
    chains, draws = next(iter(sites.values())).shape[:2]
    flat = {k: jnp.asarray(v).reshape(-1, *v.shape[2:]) for k, v in sites.items()}
    log_p, drawn, loc = _judged(
        plain,
        problem.layout,
        problem.constants,
        centre,
        examples,
        flat,
        jnp.asarray(cells.window),
        jnp.asarray(cells.channel),
        k_draw,
    )
    y = frame.y[cells.run, cells.row, cells.channel]
    jacobian = frame.scaling.log_jacobian(frame.y)[cells.run, cells.row, cells.channel]
    shape = (chains, draws, len(y))
    return Judged(
        (np.asarray(log_p) + jacobian.astype(log_p.dtype)).reshape(shape),
        to_file_units(np.asarray(drawn), frame, cells).reshape(shape),
        to_file_units(np.asarray(loc), frame, cells).reshape(shape),
    )


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
    model: AbstractPointwise,
    layout: Layout,
    constants: Sites,
    centre: Sites | None,
    examples: Array,
    sites: Sites,
    window: Array,
    channel: Array,
    key: Key,
) -> tuple[Array, Array, Array]:
    def one(numbered: tuple[Array, Sites]) -> tuple[Array, Array, Array]:
        number, theta = numbered
        ssm = bind(model, theta, layout, constants, centre)
        k_draw = jax.random.fold_in(key, number)
        keys = jax.random.split(k_draw, jax.tree.leaves(examples)[0].shape[0])

        def of(example: Array, k: Key) -> tuple[Array, Array, Array]:
            density = model.density(ssm, example)
            y, _ = model.reading(example)
            return density.log_prob(y)[0], density.sample(k)[0], density.mean[0]

        told = jax.vmap(of)(examples, keys)
        return tuple(t[window, channel] for t in told)  # type: ignore[return-value]

    count = next(iter(sites.values())).shape[0]
    return jax.lax.map(one, (jnp.arange(count), sites), batch_size=min(50, count))
