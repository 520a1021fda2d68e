r"""The same filter and smoother with all rows at once, by an associative scan (Särkkä and García-Fernández 2021).

A row of the filter is the element $(A, b, C, \eta, J)$ of eq. (13)-(15), that of the smoother $(E, g, L)$ of
eq. (21); elements of neighbouring rows join to that of both by eqs. (16) and (22), in any order of joining, so that
the depth of the work grows with the logarithm of the record. It is several times the work of one row after the
other: it pays where there are cores to share it.
"""

import jax
import jax.numpy as jnp

from assim.linalg import tria
from assim.nn.kalman import AbstractSweep, Chain, Filtered, Readings, given_next, taken_up
from assim.types import Array


class Parallel(AbstractSweep):
    """All rows at once."""

    def filtered(self, chain: Chain, readings: Readings) -> Filtered:
        """Elements of all rows, joined; what was foreseen is then told of every row by itself."""
        elements = jax.vmap(_element, in_axes=(0, 0, 0, 0, 0, 0, None, None))(
            *(chain.move, chain.offset, chain.noise, readings.y, readings.mask, readings.sd),
            *(readings.h, readings.offset),
        )
        first = taken_up(
            *(chain.mean, chain.root, readings.y[0], readings.mask[0], readings.sd[0]),
            *(readings.h, readings.offset),
        )
        nothing = jnp.zeros_like(chain.root)
        start = (nothing, first[0], first[1] @ first[1].T, jnp.zeros_like(chain.mean), nothing)
        elements = jax.tree.map(lambda rows, row: rows.at[0].set(row), elements, start)
        _, mean, covariance, _, _ = jax.lax.associative_scan(jax.vmap(_joined), elements)
        root = jax.vmap(_root)(covariance)

        def told(
            mean: Array, root: Array, move: Array, offset: Array, noise: Array, *read: Array
        ) -> tuple[Array, ...]:
            y, mask, sd = read
            ahead = tria(jnp.concatenate([move @ root, jnp.diag(noise)], axis=1))
            return taken_up(move @ mean + offset, ahead, y, mask, sd, readings.h, readings.offset)

        moves = (chain.move[1:], chain.offset[1:], chain.noise[1:])
        read = (readings.y[1:], readings.mask[1:], readings.sd[1:])
        rest = jax.vmap(told)(mean[:-1], root[:-1], *moves, *read)
        return Filtered(*(jnp.concatenate([a[None], b]) for a, b in zip(first, rest, strict=True)))

    def smoothed(self, chain: Chain, filtered: Filtered) -> tuple[Array, Array]:
        """Elements of all rows, joined from the last on."""
        rows = (filtered.mean[:-1], filtered.root[:-1])
        moves = (chain.move[1:], chain.offset[1:], chain.noise[1:])
        mean, gain, root = jax.vmap(given_next)(*rows, *moves)
        last = filtered.root[-1] @ filtered.root[-1].T
        elements = (
            jnp.concatenate([gain, jnp.zeros_like(last)[None]]),
            jnp.concatenate([mean, filtered.mean[-1:]]),
            jnp.concatenate([root @ root.swapaxes(-1, -2), last[None]]),
        )
        _, mean, covariance = jax.lax.associative_scan(jax.vmap(_after), elements, reverse=True)
        return mean, jax.vmap(_root)(covariance)


def _element(
    move: Array,
    offset: Array,
    noise: Array,
    y: Array,
    mask: Array,
    sd: Array,
    h: Array,
    shift: Array,
) -> tuple[Array, Array, Array, Array, Array]:
    """What a row makes of the state before it, and what its readings say of that state."""
    size = offset.shape[0]
    none = jnp.zeros_like(offset)
    weight = jnp.where(mask, 1.0 / sd**2, 0.0)
    mean, root, _, _ = taken_up(
        none, jnp.diag(noise), y - h @ offset - shift, mask, sd, h, jnp.zeros_like(y)
    )
    covariance = root @ root.T
    kept = jnp.eye(size, dtype=move.dtype) - covariance @ (h.T * weight) @ h  # I - K H
    # H^T S^-1 = (I - K H)^T H^T R^-1
    told = kept.T @ (h.T * weight)
    slope = kept @ move
    eta = move.T @ told @ jnp.where(mask, y - h @ offset - shift, 0.0)
    return slope, offset + mean, covariance, eta, move.T @ told @ h @ move


def _joined(
    one: tuple[Array, Array, Array, Array, Array], other: tuple[Array, Array, Array, Array, Array]
) -> tuple[Array, Array, Array, Array, Array]:
    """Two neighbouring rows as one."""
    (a, b, c, eta, j), (a2, b2, c2, eta2, j2) = one, other
    unit = jnp.eye(a.shape[-1], dtype=a.dtype)
    left = jnp.linalg.solve((unit + c @ j2).T, a2.T).T
    right = jnp.linalg.solve((unit + j2 @ c).T, a).T
    return (
        left @ a,
        left @ (b + c @ eta2) + b2,
        left @ c @ a2.T + c2,
        right @ (eta2 - j2 @ b) + eta,
        right @ j2 @ a + j,
    )


def _after(
    later: tuple[Array, Array, Array], here: tuple[Array, Array, Array]
) -> tuple[Array, Array, Array]:
    """Two neighbouring rows as one; the later comes first in a scan from the end."""
    (gain2, mean2, covariance2), (gain, mean, covariance) = later, here
    return (
        gain @ gain2,
        gain @ mean2 + mean,
        gain @ covariance2 @ gain.T + covariance,
    )


def _root(covariance: Array) -> Array:
    """A root of what may be singular, or have lost its definiteness to rounding."""
    values, vectors = jnp.linalg.eigh(0.5 * (covariance + covariance.swapaxes(-1, -2)))
    return tria(vectors * jnp.sqrt(jnp.maximum(values, 0.0)))
