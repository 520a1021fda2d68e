r"""The bootstrap particle filter (Gordon, Salmond and Smith 1993), resampled where its weights degenerate.

$$w_n \propto w_n\,p(y \mid x_n), \qquad N_{\text{eff}} = \Big(\sum_n w_n^2\Big)^{-1}$$

Below `least` of the members, particles are drawn again by one uniform number (Kitagawa 1996). A model without noise
of its own would move copies alike: `jitter` adds Gaussian noise of that many bandwidths of Silverman, in the
directions in which the weighted sample varies.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from numpyro.distributions import Distribution

from assim.filters.base import Cycle, Dynamics, Innovation
from assim.filters.checking import between
from assim.filters.weighing import (
    AbstractPicking,
    Particles,
    alike,
    few,
    reweighed,
    systematic,
    weighted_moments,
)
from assim.types import Array, Float, Key


class Particle(AbstractPicking):
    """The bootstrap particle filter.

    Args:
        size: particles.
        least: share of effective particles below which they are drawn again; 1 for always.
        jitter: what is added to particles drawn again, in bandwidths; 0 for none.

    Raises:
        ValueError: fewer than two particles, a share that is not from 0 to 1, or a negative jitter.
        TypeError: a setting that is no number.
    """

    size: int = eqx.field(static=True, default=1000)
    least: Float[Array, ""] | float = 0.5
    jitter: Float[Array, ""] | float = 0.0

    def __check_init__(self) -> None:
        between(self, 0.0, 1.0, least=self.least)
        between(self, jitter=self.jitter)

    def start(self, dynamics: Dynamics, prior: Distribution, *, key: Key) -> Particles:
        """Particles drawn from the prior, all of one weight."""
        members = prior.sample(key, (self.size,))
        return Particles(*alike(members), jnp.zeros((), members.dtype))

    def forecast(
        self, dynamics: Dynamics, belief: Particles, cycle: Cycle, *, key: Key
    ) -> Particles:
        """Every particle moved."""
        keys = jax.random.split(key, self.size)
        moved = dynamics.moved(belief.members, cycle, keys=keys)
        return Particles(moved, belief.log_weight, jnp.zeros_like(belief.log_density))

    def analysis(
        self, dynamics: Dynamics, belief: Particles, cycle: Cycle, *, key: Key
    ) -> tuple[Particles, Innovation]:
        """Particles weighed by the readings, and drawn again where few are left."""
        k_again, k_jitter = jax.random.split(key)
        told = dynamics.log_likelihood(belief.members, cycle)
        innovation = _innovation(dynamics, belief, cycle, told)
        together = dynamics.log_density(belief.members, cycle)
        log_weight, log_density = reweighed(belief.log_weight, together)
        weight = jnp.exp(log_weight)

        def again(particles: Array) -> tuple[Array, Array]:
            chosen = systematic(weight, key=k_again)
            noise = _bandwidth(particles, weight) * self.jitter
            kick = jax.random.normal(k_jitter, particles.shape, particles.dtype)
            return alike(particles[chosen] + kick @ noise.T)

        seen = cycle.mask.any()
        members, log_weight = jax.lax.cond(
            seen & few(log_weight, self.least), again, lambda x: (x, log_weight), belief.members
        )
        return Particles(
            members,
            jnp.where(seen, log_weight, belief.log_weight),
            jnp.where(seen, log_density, belief.log_density),
        ), innovation

    def moments(self, belief: Particles) -> tuple[Float[Array, " state"], Float[Array, " state"]]:
        """Weighted mean and standard deviation."""
        return weighted_moments(belief.members, belief.log_weight)

    def sample(
        self, belief: Particles, *, key: Key
    ) -> tuple[Float[Array, "member state"], Float[Array, " member"] | None]:
        """The particles, and the log of the weight of each."""
        return belief.members, belief.log_weight


def _bandwidth(particles: Array, weight: Array) -> Array:
    """A root of the covariance of Silverman's kernel, shape (state, state)."""
    size, state = particles.shape
    factor = (4.0 / (size * (state + 2.0))) ** (1.0 / (state + 4.0))
    apart = particles - weight @ particles
    covariance = (apart * weight[:, None]).T @ apart
    values, vectors = jnp.linalg.eigh(covariance)
    return factor * vectors * jnp.sqrt(jnp.maximum(values, 0.0))


def _innovation(dynamics: Dynamics, belief: Particles, cycle: Cycle, told: Array) -> Innovation:
    """Against the weighted mean; scored by the mixture over particles."""
    weight = jnp.exp(belief.log_weight)
    seen, variance = dynamics.seen(belief.members, cycle)
    mean = weight @ seen
    sd = jnp.sqrt(weight @ ((seen - mean) ** 2 + variance))
    score = jax.nn.logsumexp(belief.log_weight[:, None] + told, axis=0)
    residual = jnp.where(cycle.mask, cycle.y - mean, 0.0)
    return Innovation(residual, sd, jnp.where(cycle.mask, score, 0.0))
