r"""What a record of fields tells without a fit: where each lies and how far it swings, where there is sea.

$$\bar z = \frac{1}{n} \sum_{i,x} z_i(x), \qquad \sigma^2 = \frac1n \sum_{i,x} (z_i(x) - \bar z)^2$$

over the complete first fields of all stretches, at sea.
"""

import jax
import jax.numpy as jnp

from assim.data.gridding import Grid
from assim.nn.interpolation import between
from assim.nn.openaxes import positions
from assim.series import Layout, Stretch
from assim.types import Array, Sites

STATES = 128
"""States of the record that are kept, in which an assimilation may begin."""


def counts(stretches: Stretch, layout: Layout, periodic: tuple[bool, ...]) -> Sites:
    """Mean and scale of each field, where there is sea, states of the record, and fields that stay.

    Args:
        stretches: of training (n, ...), file units.
        layout: what the fields are.
        periodic: whether each axis of their grid closes.

    Returns:
        `centre` and `scale` (field,), `sea` (place,), `states` (state, field * place) with land at the mean, and
        `fixed` (more, place): land, and a position along each axis that does not close. Behind these come what a
        record tells of fields that stay.
    """
    assert layout.grid is not None
    fields, places = len(layout.channels), layout.grid.places
    told = stretches.told.reshape(-1, fields, places)
    values = jnp.where(told, stretches.first.reshape(-1, fields, places), 0.0)
    count = jnp.maximum(told.sum(axis=(0, 2)), 1)
    centre = values.sum(axis=(0, 2)) / count
    apart = jnp.where(told, values - centre[:, None], 0.0)
    scale = jnp.sqrt((apart**2).sum(axis=(0, 2)) / count)
    sea = told.any(axis=0).all(axis=0)
    at = jnp.linspace(0, told.shape[0] - 1, min(STATES, told.shape[0])).round().astype(int)
    states = jnp.where(sea, values[at], centre[:, None])
    return {
        "centre": centre,
        "scale": jnp.where(scale > 0, scale, 1.0),
        "sea": sea,
        "states": states.reshape(at.size, -1),
        "fixed": _fixed(sea, layout.grid, periodic),
    }


def regridded(constants: Sites, layout: Layout, grid: Grid, periodic: tuple[bool, ...]) -> Sites:
    """The same on another grid of the same domain, states and fields that stay read between places.

    Args:
        constants: as `counts` gives them.
        layout: what the fields were there.
        grid: where they are to lie.
        periodic: whether each axis closes.
    """
    assert layout.grid is not None
    old, points = layout.grid, jnp.asarray(grid.points(), constants["states"].dtype)

    def read(field: Array, sea: Array | None) -> Array:
        return between(field, points, old.starts, old.steps, periodic, sea)

    wet = constants["sea"].reshape(old.sizes)
    sea = read(wet.astype(points.dtype), None) > 0.5
    fields = constants["states"].reshape(-1, *old.sizes)
    states = jax.vmap(lambda field: read(field, wet))(fields)
    states = states.reshape(-1, len(layout.channels), grid.places)
    states = jnp.where(sea, states, constants["centre"][:, None])
    own = _fixed(sea, grid, periodic)
    static = constants["fixed"][own.shape[0] :].reshape(-1, *old.sizes)
    static = jnp.where(sea, jax.vmap(lambda field: read(field, wet))(static), 0.0)
    return constants | {
        "sea": sea,
        "states": states.reshape(states.shape[0], -1),
        "fixed": jnp.concatenate([own, static]),
    }


def _fixed(sea: Array, grid: Grid, periodic: tuple[bool, ...]) -> Array:
    land = jnp.where(sea.all(), 0, 1) * (1.0 - sea)
    return jnp.concatenate([land[None], positions(grid, periodic)])
