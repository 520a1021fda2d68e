r"""The belief of filters that keep a mean and a root of the covariance, and how a reading conditions it.

$$\operatorname{tria}\begin{bmatrix} R^{1/2} & H L \\ 0 & L \end{bmatrix} =
\begin{bmatrix} S^{1/2} & 0 \\ K S^{1/2} & L^a \end{bmatrix}, \qquad m^a = m + K\,\big(y - h(m)\big)$$
"""

from typing import Self

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from numpyro.distributions import Distribution, MultivariateNormal

from assim.filters.base import Cycle, Innovation
from assim.linalg import gaussian_log_density, mask_observation, tria
from assim.types import Array, Float, Key

DRAWS = 100
"""A belief that is a Gaussian is told by so many draws beside its moments."""


class Gaussian(eqx.Module):
    """A mean and a root of the covariance.

    Args:
        mean: shape (state,), internal units.
        root: lower L with covariance L L^T, shape (state, state), internal units.
        log_density: log of the density of the readings of the last cycle, all channels together, shape ().
    """

    mean: Float[Array, " state"]
    root: Float[Array, "state state"]
    log_density: Float[Array, ""]

    @classmethod
    def of(cls, prior: Distribution) -> Self:
        """A distribution taken for a Gaussian by its mean and covariance.

        Args:
            prior: of the state, internal units.

        Returns:
            A belief that knows of no reading.
        """
        return cls(prior.mean, root_of(prior), jnp.zeros((), prior.mean.dtype))

    def moments(self) -> tuple[Float[Array, " state"], Float[Array, " state"]]:
        """Mean and standard deviation.

        Returns:
            Each shape (state,), internal units.
        """
        return self.mean, jnp.sqrt((self.root**2).sum(axis=-1))


def drawn(
    mean: Float[Array, " state"], root: Float[Array, "state control"], *, key: Key
) -> tuple[Float[Array, "draw state"], None]:
    """`DRAWS` draws of a Gaussian, all of one weight.

    Args:
        mean: shape (state,), internal units.
        root: a root of the covariance, shape (state, control), internal units.
        key: all randomness.

    Returns:
        Draws, shape (draw, state), internal units, and None for the weights.
    """
    noise = jax.random.normal(key, (DRAWS, root.shape[1]), mean.dtype)
    return mean + noise @ root.T, None


def root_of(distribution: Distribution) -> Float[Array, "state state"]:
    """A root of the covariance of a Gaussian, or of independent components.

    Args:
        distribution: of the state, or of what is added to it, internal units.

    Returns:
        Lower, shape (state, state), internal units.
    """
    if isinstance(distribution, MultivariateNormal):
        return distribution.scale_tril
    return jnp.diag(jnp.sqrt(distribution.variance))


def conditioned(
    belief: Gaussian,
    cycle: Cycle,
    foreseen: Float[Array, " channel"],
    h: Float[Array, "channel state"],
    error: Float[Array, "channel channel"],
) -> tuple[Gaussian, Innovation]:
    """The belief given the readings of a cycle; untouched where there are none.

    Args:
        belief: the background.
        cycle: what was read.
        foreseen: h(m), shape (channel,).
        h: its slope H, shape (channel, state).
        error: Cholesky factor of R, the file's own error included, shape (channel, channel).

    Returns:
        The belief after the readings, and the innovation, each channel scored by itself.
    """
    residual = cycle.y - foreseen
    sd = jnp.sqrt(((h @ belief.root) ** 2).sum(axis=1) + (error**2).sum(axis=1))
    score = jax.scipy.stats.norm.logpdf(residual, 0.0, sd)
    h, residual, error = mask_observation(h, residual, error, cycle.mask)
    channels, state = h.shape
    above = jnp.concatenate([error, h @ belief.root], axis=1)
    below = jnp.concatenate([jnp.zeros((state, channels), h.dtype), belief.root], axis=1)
    joint = tria(jnp.concatenate([above, below]))
    predicted, gain = joint[:channels, :channels], joint[channels:, :channels]
    mean = belief.mean + gain @ solve_triangular(predicted, residual, lower=True)
    seen = cycle.mask.any()
    after = Gaussian(
        jnp.where(seen, mean, belief.mean),
        jnp.where(seen, joint[channels:, channels:], belief.root),
        gaussian_log_density(residual, predicted, cycle.mask),
    )
    return after, Innovation(residual, sd, jnp.where(cycle.mask, score, 0.0))
