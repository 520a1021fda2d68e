r"""Joint paths from marginal densities: a Gaussian copula over leads, counted from the record.

$$y_h = \mu_h + s_h\,z_h, \qquad z \sim \mathcal N(0, R), \qquad
R_{hk} = \operatorname{corr}(y_{t+h}-y_t,\ y_{t+k}-y_t)$$

A direct forecast gives each lead its own density; sums, maxima and threshold passings need them together.
"""

import jax
import jax.numpy as jnp

from assim.nn.emission import Emission
from assim.types import Array, Bool, Float, Key


def correlated_path(
    density: Emission, root: Float[Array, "channel lead lead"], *, key: Key
) -> Float[Array, "lead channel"]:
    """One path with the given marginals.

    Args:
        density: batch shape (lead, channel).
        root: lower Cholesky factor of the correlation over leads of each channel.
        key: randomness of the path.
    """
    k_noise, k_tail = jax.random.split(key)
    leads, channels = density.loc.shape
    white = jax.random.normal(k_noise, (leads, channels), density.loc.dtype)
    z = jnp.einsum("chk,kc->hc", root[:, :leads, :leads], white)
    if density.df is not None:
        z = z / jnp.sqrt(jax.random.chisquare(k_tail, density.df, (channels,)) / density.df)
    return density.fold(density.loc + density.scale * z)


def lead_correlation_root(
    change: Float[Array, "n lead channel"], mask: Bool[Array, "n lead channel"]
) -> Float[Array, "channel lead lead"]:
    """Cholesky factor of the correlation between the changes at all leads, over what is observed.

    Args:
        change: reading less the newest level at the origin, internal units; anything where missing.
        mask: True where both are present.
    """
    z = jnp.where(mask, change, 0.0)
    both = jnp.einsum("nhc,nkc->chk", mask * 1.0, mask * 1.0)
    product = jnp.einsum("nhc,nkc->chk", z, z) / jnp.maximum(both, 1.0)
    sd = jnp.sqrt(jnp.maximum(jnp.diagonal(product, axis1=1, axis2=2), 1e-12))
    correlation = product / (sd[:, :, None] * sd[:, None, :])
    leads = change.shape[1]
    eye = jnp.eye(leads)
    correlation = jnp.where(both > 2 * leads, correlation, eye)
    values, vectors = jnp.linalg.eigh(0.99 * correlation + 0.01 * eye)
    mended = jnp.einsum("chi,ci,cki->chk", vectors, jnp.maximum(values, 1e-4), vectors)
    size = jnp.sqrt(jnp.diagonal(mended, axis1=1, axis2=2))
    return jnp.linalg.cholesky(mended / (size[:, :, None] * size[:, None, :]))
