"""What sensors between the places of a periodic grid read: the field interpolated linearly."""

from itertools import product

import jax.numpy as jnp

from assim.types import Array, Float


def at_sensors(
    field: Float[Array, "..."], where: Float[Array, "channel coordinate"]
) -> Float[Array, " channel"]:
    """A periodic grid read at any positions.

    Args:
        field: value at each place, one axis a coordinate.
        where: positions in units of the grid, shape (channel, coordinate), periodic.

    Returns:
        Shape (channel,).
    """
    size = jnp.array(field.shape)
    position = jnp.mod(where, size)
    left = jnp.floor(position).astype(int)
    share = position - jnp.floor(position)
    seen = jnp.zeros(where.shape[0], field.dtype)
    for corner in product((0, 1), repeat=field.ndim):
        step = jnp.array(corner)
        weight = jnp.where(step == 1, share, 1.0 - share).prod(axis=1)
        seen = seen + weight * field[tuple(((left + step) % size).T)]
    return seen
