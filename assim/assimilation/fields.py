"""A fitted model of fields and the readings of its sensors, ready for a filter: one draw for each member."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from assim.assimilation.augmenting import Drawn
from assim.assimilation.drawing import drawn, spread_draws
from assim.assimilation.scene import AsItIs, Scene, Table, Units
from assim.data.gridding import Grid
from assim.filters.base import Dynamics
from assim.gridded import calendar_of
from assim.model import AbstractGridded
from assim.observing import NOTHING, Columns, observe_system
from assim.tree import Fitted
from assim.types import Key


def of_fields(
    fitted: Fitted,
    ds: xr.Dataset,
    size: int | None,
    *,
    since: np.datetime64 | None,
    whole: bool,
    key: Key,
) -> Scene:
    """A posterior of a model of fields, and its record.

    Args:
        fitted: the posterior.
        ds: readings of its first field on (time, sensor), or of all places, file units.
        size: members of the filter, None where it has none.
        since: time of the state before the first reading.
        whole: whether the filter draws whole members again, whose parameters would have to go with them.
        key: of the first states.

    Raises:
        TypeError: a filter that cannot carry draws.
        ValueError: a filter that draws members again, of several draws; a record that the model cannot be seen in.
    """
    model, grid = fitted.model, fitted.layout.grid
    assert isinstance(model, AbstractGridded) and grid is not None
    if size is None:
        raise TypeError(
            f"A filter without members cannot carry the draws of a {type(model).__name__}: use ETKF, LETKF, "
            "EnKF or DEnKF."
        )
    count = int(np.prod(next(iter(fitted.sites.values())).shape[:2]))
    if whole and count > 1:
        raise ValueError(
            f"A particle filter draws whole members again, and a {type(model).__name__} has too many parameters to "
            f"go with them: use an ensemble filter, or a posterior of one draw (this one has {count})."
        )
    sites = spread_draws(fitted.sites, size)
    ssm, first = drawn(
        model, fitted.layout, fitted.constants, None, sites, None, None, NOTHING, key
    )
    one = jax.tree.map(lambda leaf: leaf[0] if eqx.is_array(leaf) else leaf, ssm)
    dynamics = Dynamics(ssm, each=True) if count > 1 else Dynamics(one)
    seen = observe_system(one, ds, since)
    inputs = jnp.asarray(calendar_of(model, seen.times), first.dtype)
    return Scene(
        dataclasses.replace(dynamics, where=seen.where),
        Drawn(first),
        seen.times,
        dataclasses.replace(seen.cycles, u=inputs),
        seen.y,
        seen.columns,
        AsItIs(size=first.shape[1]),
        _tables(fitted, grid),
    )


def _tables(fitted: Fitted, grid: Grid) -> tuple[Table, ...]:
    """Each field on its grid."""
    attrs, count = fitted.frame["attrs"], grid.places
    shape = tuple(zip(grid.dims, grid.sizes, strict=True))
    return tuple(
        Table(
            Columns((name,), "place", grid.coords(), {name: attrs.get(name, {})}, shape),
            slice(i * count, (i + 1) * count),
            Units(),
        )
        for i, name in enumerate(fitted.layout.channels)
    )
