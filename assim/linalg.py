r"""Square roots and masked observations: the little linear algebra that filters and posteriors share.

Covariances travel as lower Cholesky factors L with $P = L L^\top$.
"""

import jax.numpy as jnp
from jax.scipy.linalg import cho_solve, solve_triangular

from assim.types import Array, Bool, Float


def tria(a: Float[Array, "n m"]) -> Float[Array, "n n"]:
    r"""The lower triangular L with non-negative diagonal and $L L^\top = A A^\top$ (a thin QR of $A^\top$).

    Args:
        a: any matrix, shape (n, m), m >= n; units of the square root of a covariance.

    Returns:
        L, shape (n, n).
    """
    r = jnp.linalg.qr(a.T, mode="r")
    return r.T * jnp.where(jnp.diagonal(r) < 0, -1.0, 1.0)


def mask_observation(
    h: Float[Array, "channel state"],
    residual: Float[Array, " channel"],
    chol_r: Float[Array, "channel channel"],
    mask: Bool[Array, " channel"],
) -> tuple[Array, Array, Array]:
    r"""Drop the missing rows of an observation exactly, with shapes kept.

    Missing rows are replaced by the observation of nothing: $H_i = 0$, $r_i = 0$, and unit noise
    independent of all else, so that gain and likelihood are those of the observed rows alone (the
    $-\tfrac12\log 2\pi$ of a missing row has to be left out by whoever sums the likelihood).

    Args:
        h: observation matrix, shape (channel, state).
        residual: innovation, shape (channel,), units of the observation.
        chol_r: Cholesky factor of the observation error covariance, shape (channel, channel).
        mask: True where observed, shape (channel,).

    Returns:
        The masked (h, residual, chol_r).
    """
    keep = mask.astype(h.dtype)
    return keep[:, None] * h, jnp.where(mask, residual, 0.0), mask_root(chol_r, mask)


def mask_root(
    chol_r: Float[Array, "channel channel"], mask: Bool[Array, " channel"]
) -> Float[Array, "channel channel"]:
    """The Cholesky factor of the observed rows' covariance; of the others, unit noise independent of all else."""
    keep = mask.astype(chol_r.dtype)
    return tria(jnp.concatenate([keep[:, None] * chol_r, jnp.diag(1.0 - keep)], axis=1))


def solve_psd(chol: Float[Array, "n n"], b: Array) -> Array:
    r"""$P^{-1} b$ from the Cholesky factor of $P$."""
    return cho_solve((chol, True), b)


def gaussian_log_density(
    residual: Float[Array, " n"], chol: Float[Array, "n n"], mask: Bool[Array, " n"]
) -> Float[Array, ""]:
    r"""$\log \mathcal N(r; 0, L L^\top)$ over the observed entries of a masked observation.

    Args:
        residual: shape (n,), 0 where missing.
        chol: Cholesky factor whose missing rows are those of the identity, shape (n, n).
        mask: True where observed, shape (n,).

    Returns:
        The log density, shape ().
    """
    white = solve_triangular(chol, residual, lower=True)
    log_det = jnp.sum(jnp.log(jnp.diagonal(chol)))
    return -0.5 * jnp.sum(white**2) - log_det - 0.5 * jnp.sum(mask) * jnp.log(2 * jnp.pi)
