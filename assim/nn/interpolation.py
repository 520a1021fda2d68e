"""A field on a regular grid read between its places, linearly along each axis."""

from itertools import product

import jax
import jax.numpy as jnp

from assim.types import Array, Bool, Float, Int


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


def read_fields(
    fields: Float[Array, "field ..."],
    where: Float[Array, "point coordinate"],
    starts: tuple[float, ...],
    steps: tuple[float, ...],
    periodic: tuple[bool, ...],
    sea: Bool[Array, "..."] | None = None,
) -> tuple[Float[Array, " point"], Int[Array, " point"] | int]:
    """Each point in the field that it reads, and the number of that.

    Args:
        fields: on one grid, one axis a coordinate behind the first.
        where: positions, shape (point, coordinate), and behind them the number of the field; without one all read
            the first.
        starts: as for `between`.
        steps: as for `between`.
        periodic: as for `between`.
        sea: as for `between`.

    Returns:
        Values and numbers, each shape (point,); one number where all read the first.
    """
    axes, grid = fields.ndim - 1, (starts, steps, periodic, sea)
    if where.shape[1] == axes:
        return between(fields[0], where, *grid), 0
    number = where[:, axes].astype(int)
    every = jax.vmap(lambda field: between(field, where[:, :axes], *grid))(fields)
    return every[number, jnp.arange(where.shape[0])], number
