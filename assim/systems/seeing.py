"""What sensors between the places of a periodic grid read: the field interpolated linearly."""

import jax.numpy as jnp

from assim.types import Array, Float


def at_sensors(
    field: Float[Array, " place"], where: Float[Array, "channel 1"]
) -> Float[Array, " channel"]:
    """A ring read at any positions.

    Args:
        field: value at each place, shape (place,).
        where: positions in units of the grid, shape (channel, 1), periodic.

    Returns:
        Shape (channel,).
    """
    position = jnp.mod(where[:, 0], field.shape[0])
    left = jnp.floor(position).astype(int) % field.shape[0]
    share = position - jnp.floor(position)
    return (1.0 - share) * field[left] + share * field[(left + 1) % field.shape[0]]
