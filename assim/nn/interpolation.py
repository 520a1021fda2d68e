"""A field on a regular grid read between its places, linearly along each axis."""

from itertools import product

import jax.numpy as jnp

from assim.types import Array, Bool, Float


def between(
    field: Float[Array, "..."],
    where: Float[Array, "point coordinate"],
    starts: tuple[float, ...],
    steps: tuple[float, ...],
    periodic: tuple[bool, ...],
    sea: Bool[Array, "..."] | None = None,
) -> Float[Array, " point"]:
    """The field at any points; beyond the end of an axis that does not close, its last value.

    Args:
        field: value at each place, one axis a coordinate.
        where: positions, shape (point, coordinate), units of the axes.
        starts: first coordinate of each axis.
        steps: from place to place along each axis.
        periodic: whether each axis closes.
        sea: True where the field is known, shape of the field; None for everywhere; elsewhere weighs nothing.

    Returns:
        Shape (point,).
    """
    size, closes = jnp.array(field.shape), jnp.array(periodic)
    position = (where - jnp.array(starts)) / jnp.array(steps)
    position = jnp.where(closes, jnp.mod(position, size), jnp.clip(position, 0, size - 1))
    left = jnp.floor(position).astype(int)
    share = position - left
    seen = total = jnp.zeros(where.shape[0], field.dtype)
    for corner in product((0, 1), repeat=field.ndim):
        step = jnp.array(corner)
        weight = jnp.where(step == 1, share, 1.0 - share).prod(axis=1)
        at = jnp.where(closes, (left + step) % size, jnp.minimum(left + step, size - 1))
        weight = weight if sea is None else weight * sea[tuple(at.T)]
        seen, total = seen + weight * field[tuple(at.T)], total + weight
    return seen / jnp.where(total > 0, total, 1.0)
