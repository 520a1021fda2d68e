"""Axes that do not close: mirrored at their ends, so that waves become cosines, and told by position."""

import jax.numpy as jnp

from assim.data.gridding import Grid
from assim.types import Array, Float


def mirrored(z: Float[Array, "field ..."], periodic: tuple[bool, ...]) -> Float[Array, "field ..."]:
    """Fields of which every open axis is followed by its own mirror image.

    Args:
        z: fields on a grid, shape (field, *place).
        periodic: whether each axis closes.
    """
    for axis, closes in enumerate(periodic, start=1):
        z = z if closes else jnp.concatenate([z, jnp.flip(z, axis)], axis=axis)
    return z


def cropped(z: Float[Array, "field ..."], sizes: tuple[int, ...]) -> Float[Array, "field ..."]:
    """Fields without the mirror images: the inverse of `mirrored`.

    Args:
        z: fields, shape (field, *place).
        sizes: places along each axis.
    """
    return z[(slice(None), *(slice(0, n) for n in sizes))]


def positions(grid: Grid, periodic: tuple[bool, ...]) -> Float[Array, "axis place"]:
    """From -1 to 1 along each axis that does not close; the last axis of the grid fastest."""
    rows = [
        jnp.linspace(-1.0, 1.0, n).reshape(tuple(-1 if i == a else 1 for i in range(len(periodic))))
        for a, n in enumerate(grid.sizes)
        if not periodic[a]
    ]
    spread = [jnp.broadcast_to(row, grid.sizes).ravel() for row in rows]
    return jnp.stack(spread) if spread else jnp.zeros((0, grid.places))


def for_each[T](given: T | tuple[T, ...], axes: int) -> tuple[T, ...]:
    """A setting for each axis, from one for all or from one for each.

    Raises:
        ValueError: as many as the grid has not.
    """
    each = given if isinstance(given, tuple) else (given,) * axes
    if len(each) != axes:
        raise ValueError(
            f"{len(each)} values are given for a grid of {axes} axes ({given}): give one for all, or one for each."
        )
    return each


def require_closing(grid: Grid, periodic: tuple[bool, ...]) -> None:
    """Refuse a circle of latitude that ends at the poles, and one of longitude that does not come round.

    Raises:
        ValueError: an axis that is said to close and cannot.
    """
    axes = zip(grid.dims, grid.units, grid.lengths, periodic, strict=True)
    for dim, unit, length, closes in axes:
        pole = unit.startswith("degree") and unit.endswith(("north", "N"))
        short = unit.startswith("degree") and unit.endswith(("east", "E")) and abs(length - 360) > 1
        if closes and (pole or short):
            said = tuple(c and d != dim for d, c in zip(grid.dims, periodic, strict=True))
            raise ValueError(
                f"The axis '{dim}' ({unit}) spans {length:g} and does not close: say so, as periodic={said}."
            )
