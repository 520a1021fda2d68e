r"""Fields rolled out from a complete field, or from the members of an analysis: one parameter draw for each path.

$$z_{k+1} = F_\theta(z_k, \Delta) + w_k, \qquad w_k \sim p_\theta(w \mid z_k), \quad \theta \sim p(\theta \mid D)$$
"""

from collections.abc import Iterator
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from assim.assimilation.drawing import spread_draws
from assim.data.gridding import Fields, fields_of, in_units_of, on_grid
from assim.gridded import calendar_of
from assim.inference.progress import Progress
from assim.model import AbstractGridded, bind
from assim.series import Layout
from assim.statespace import Span
from assim.tree import Fitted
from assim.types import Array, Float, Key, Keys, Sites

ABREAST = 16
"""Paths that step together: so many stay near the processor, and fit in memory on a large grid."""
PATHS = 50
"""Paths from each origin where a posterior has fewer draws: what a step leaves unknown differs between them."""


@dataclass(frozen=True)
class Begun:
    """Where fields are rolled out from.

    Args:
        times: when a field is known, shape (time,), datetime64[ns].
        values: shape (run, time, field, place), or (member, time, field, place) of an analysis; NaN where unknown.
        runs: label of each run, or None where there is one.
        members: whether the first axis counts members.
        whole: whether every place with sea is known, shape (time,).
    """

    times: np.ndarray
    values: np.ndarray
    runs: tuple | None
    members: bool
    whole: np.ndarray


def begin_of(fitted: Fitted, given: xr.Dataset | xr.DataTree | None) -> Begun:
    """The fields that a forecast may start from.

    Args:
        fitted: the posterior.
        given: fields on the grid of the fit, or what `assimilate` gave.

    Raises:
        ValueError: nothing, another grid, an analysis without members.
    """
    layout = fitted.layout
    if given is None:
        raise ValueError(
            "A model of fields is rolled out from a field: give a dataset of complete fields, or what "
            "assim.assimilate made of the readings of sensors."
        )
    if isinstance(given, xr.DataTree):
        return _from_analysis(fitted, given)
    fields = in_units_of(fields_of(given, layout.channels), fitted.frame["attrs"])
    _require_grid(layout, fields)
    known = np.isfinite(fields.values)[..., np.asarray(fitted.constants["sea"])]
    return Begun(fields.times, fields.values, fields.runs, False, known.all(axis=(0, 2, 3)))


def field_parts(
    fitted: Fitted,
    begun: Begun,
    rows: np.ndarray,
    leads: int,
    num_draws: int | None,
    *,
    key: Key,
    progress: bool,
) -> Iterator[dict[str, xr.Dataset]]:
    """The forecast, an origin at a time.

    Args:
        fitted: the posterior.
        begun: where from.
        rows: of the origins, on its clock.
        leads: steps ahead.
        num_draws: paths from each origin, at most one from each member of an analysis, and from a field one from
            each draw, or `PATHS` where there are fewer; None for as many.
        key: all randomness.
        progress: whether to show a progress bar.
    """
    model, layout = fitted.model, fitted.layout
    assert isinstance(model, AbstractGridded) and layout.grid is not None
    held = int(np.prod(next(iter(fitted.sites.values())).shape[:2]))
    most = begun.values.shape[0] if begun.members else max(held, PATHS)
    count = most if num_draws is None else min(num_draws, most)
    sites = spread_draws(fitted.sites, count)
    step = np.timedelta64(round(layout.step * 1e9), "ns")
    with Progress(progress, "forecast", len(rows)) as bar:
        for row in rows:
            init = begun.times[row]
            ahead = init + np.arange(1, leads + 1) * step
            u = jnp.asarray(calendar_of(model, ahead), jnp.zeros(0).dtype)
            k_here = jax.random.fold_in(key, int(init.astype("datetime64[us]").astype(np.uint32)))
            first = _first(begun, row, count)
            keys = jnp.stack(
                [
                    jax.random.split(jax.random.fold_in(k_here, run), count)
                    for run in range(len(first))
                ]
            )
            rolled = _rolled(
                model, layout, fitted.constants, sites, jnp.asarray(first, u.dtype), u, keys
            )
            paths = np.asarray(rolled)
            yield {"predictions": _labelled(layout, fitted, begun, paths, init, ahead - init)}
            bar.advance(1, {})


@eqx.filter_jit
def _rolled(
    model: AbstractGridded,
    layout: Layout,
    constants: Sites,
    sites: Sites,
    first: Float[Array, "run draw state"],
    u: Array,
    keys: Keys,
) -> Float[Array, "run draw lead state"]:
    span = Span(jnp.asarray(layout.step, u.dtype), jnp.zeros(0, u.dtype))

    def path(theta: Sites, x: Array, key: Key) -> Array:
        ssm = bind(model, theta, layout, constants)

        def move(x: Array, at: tuple[Array, Array]) -> tuple[Array, Array]:
            number, inputs = at
            x = ssm.transition(x, span, inputs, key=jax.random.fold_in(key, number))
            return x, x

        return jax.lax.scan(move, x, (jnp.arange(u.shape[0]), u))[1]

    def run(part: tuple[Array, Array]) -> Array:
        size = min(ABREAST, part[0].shape[0])
        paths: Array = jax.lax.map(lambda one: path(*one), (sites, *part), batch_size=size)
        return paths

    return jax.lax.map(run, (first, keys))


def _first(begun: Begun, row: int, count: int) -> np.ndarray:
    """The fields that each path starts from, shape (run, draw, state)."""
    values = np.nan_to_num(begun.values[:, row]).reshape(begun.values.shape[0], -1)
    if not begun.members:
        return np.repeat(values[:, None], count, axis=1)
    at = np.linspace(0, len(values) - 1, count).round().astype(int)
    return values[at][None]


def _labelled(
    layout: Layout,
    fitted: Fitted,
    begun: Begun,
    paths: np.ndarray,
    init: np.datetime64,
    leads: np.ndarray,
) -> xr.Dataset:
    grid = layout.grid
    assert grid is not None
    runs, draws, count = paths.shape[:3]
    told = paths.reshape(runs, draws, count, len(layout.channels), grid.places)
    told = np.where(np.asarray(fitted.constants["sea"]), told, np.asarray(np.nan, told.dtype))
    shaped = on_grid(told, grid)
    run = () if begun.runs is None else ("run",)
    dims = ("chain", "draw", *run, "init_time", "lead_time", *grid.dims)
    variables = {}
    for i, name in enumerate(layout.channels):
        values = np.moveaxis(shaped[:, :, :, i], 0, 1)  # draw, run, lead
        values = (values if run else values[:, 0])[None]
        at = 3 if run else 2
        variables[name] = (dims, np.expand_dims(values, at), fitted.frame["attrs"].get(name, {}))
    coords = {
        "chain": [0],
        "draw": np.arange(draws),
        "init_time": [init],
        "lead_time": leads,
        "valid_time": (("init_time", "lead_time"), (init + leads)[None]),
        **grid.coords(),
    }
    return xr.Dataset(variables, coords | ({"run": list(begun.runs)} if begun.runs else {}))


def _from_analysis(fitted: Fitted, tree: xr.DataTree) -> Begun:
    layout, sea = fitted.layout, np.asarray(fitted.constants["sea"])
    if "analysis" not in tree.children:
        raise ValueError(
            f"The tree has no group 'analysis' (it has {', '.join(tree.children) or 'none'}): give what "
            "assim.assimilate made."
        )
    grid, ds = layout.grid, tree["analysis"].to_dataset()
    assert grid is not None
    if lost := [n for n in layout.channels if n not in ds or "draw" not in ds[n].dims]:
        raise ValueError(
            f"The analysis holds no members of '{lost[0]}': assimilate again, without members=0."
        )
    if "log_weight" in ds:
        raise ValueError(
            "The members of the analysis have weights: roll out that of an ensemble filter, whose members weigh "
            "alike."
        )
    order = ("chain", "draw", "time", *grid.dims)
    if absent := [d for d in grid.dims if d not in ds.dims]:
        raise ValueError(f"The analysis has no axis '{absent[0]}': it is of another grid.")
    for axis, dim in enumerate(grid.dims):
        at = grid.axis(axis)
        if ds.sizes[dim] != at.size or not np.allclose(
            ds[dim], at, atol=1e-3 * abs(grid.steps[axis])
        ):
            raise ValueError(
                f"The analysis lies at other places along '{dim}' than the fields of the fit."
            )
    stacked = np.stack([ds[n].transpose(*order).values for n in layout.channels], axis=3)
    values = stacked.reshape(-1, stacked.shape[2], len(layout.channels), grid.places)
    whole = np.isfinite(values[..., sea]).all(axis=(0, 2, 3))
    return Begun(ds["time"].values.astype("datetime64[ns]"), values, None, True, whole)


def _require_grid(layout: Layout, fields: Fields) -> None:
    if fields.grid != layout.grid:
        assert layout.grid is not None
        raise ValueError(
            f"The fields lie on {fields.grid.sizes} places along {', '.join(fields.grid.dims)} that begin at "
            f"{fields.grid.starts}, and those of the fit on {layout.grid.sizes} along "
            f"{', '.join(layout.grid.dims)} that begin at {layout.grid.starts}: bring them to that grid, as "
            "ds.interp(...)."
        )
