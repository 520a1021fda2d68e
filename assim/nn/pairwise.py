r"""The density of each of many readings under each of many Gaussians.

$$\ell_{ij} = \log \mathcal N\big(M_j y_j;\ M_j m_i,\ M_j (S_i + E_j) M_j^\top\big)$$

$M_j$ keeps the coordinates that were read. Few coordinates are factorised entry by entry, all pairs at once, which
is many times faster than so many small matrices one by one.
"""

import jax
import jax.numpy as jnp
import numpy as np

from assim.types import Array, Bool, Float

FEW = 8
"""Coordinates that are factorised entry by entry."""


def log_densities(
    mean: Float[Array, "n coordinate"],
    cov: Float[Array, "n coordinate coordinate"],
    y: Float[Array, "m coordinate"],
    mask: Bool[Array, "m coordinate"],
    error: Float[Array, "m coordinate"],
) -> Float[Array, "n m"]:
    """Log densities of readings under Gaussians, each by each.

    Args:
        mean: of the Gaussians, shape (n, coordinate), units of the coordinates.
        cov: their covariances, shape (n, coordinate, coordinate).
        y: readings, shape (m, coordinate); anything where missing.
        mask: True where read, shape (m, coordinate); a reading of nothing has the log density 0.
        error: variance of the error of each reading, shape (m, coordinate).

    Returns:
        Shape (n, m), nats.
    """
    there = mask.astype(y.dtype)
    apart = jnp.where(mask[None], y[None] - mean[:, None], 0.0)
    square = _white if y.shape[1] <= FEW else _factorised
    distance, volume = square(apart, cov, there, error)
    known = there.sum(axis=1)[None]
    return -0.5 * (distance + volume + known * np.log(2.0 * np.pi))


def _white(apart: Array, cov: Array, there: Array, error: Array) -> tuple[Array, Array]:
    """Squared distance and log determinant, each shape (n, m), entry by entry."""
    size = cov.shape[-1]
    root: list[list[Array]] = []
    white: list[Array] = []
    for a in range(size):
        row: list[Array] = []
        for b in range(a):
            entry = cov[:, a, b][:, None] * (there[:, a] * there[:, b])[None]
            entry -= sum((row[c] * root[b][c] for c in range(b)), jnp.zeros_like(entry))
            row.append(entry / root[b][b])
        whole = cov[:, a, a][:, None] + error[:, a][None]
        whole = jnp.where(there[:, a][None] > 0, whole, 1.0)
        left = whole - sum((entry**2 for entry in row), jnp.zeros_like(whole))
        # rounding alone makes a variance none
        row.append(jnp.sqrt(jnp.maximum(left, jnp.finfo(left.dtype).eps * whole)))
        told = sum((row[c] * white[c] for c in range(a)), jnp.zeros_like(whole))
        white.append((apart[..., a] - told) / row[a])
        root.append(row)
    distance = sum((z**2 for z in white[1:]), white[0] ** 2)
    volume = sum((2.0 * jnp.log(root[a][a]) for a in range(1, size)), 2.0 * jnp.log(root[0][0]))
    return distance, volume


def _factorised(apart: Array, cov: Array, there: Array, error: Array) -> tuple[Array, Array]:
    """The same, one matrix for each pair."""

    def pair(apart: Array, cov: Array, there: Array, error: Array) -> tuple[Array, Array]:
        whole = there[:, None] * cov * there + jnp.diag(jnp.where(there > 0, error, 1.0))
        root = jnp.linalg.cholesky(whole)
        white = jax.scipy.linalg.solve_triangular(root, apart, lower=True)
        return (white**2).sum(), 2.0 * jnp.log(jnp.diagonal(root)).sum()

    by_reading = jax.vmap(pair, in_axes=(0, None, 0, 0))
    return jax.vmap(by_reading, in_axes=(0, 0, None, None))(apart, cov, there, error)
