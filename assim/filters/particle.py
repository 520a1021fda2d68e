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

from assim.filters.base import AbstractEnsemble, Cycle, Dynamics, Innovation
from assim.types import Array, Float, Int, Key


class Particles(eqx.Module):
    """The belief of a particle filter.

    Args:
        members: shape (member, state), internal units.
        log_weight: normalised, shape (member,).
    """

    members: Float[Array, "member state"]
    log_weight: Float[Array, " member"]


class Particle(AbstractEnsemble):
    """The bootstrap particle filter.

    Args:
        size: particles.
        least: share of effective particles below which they are drawn again; 1 for always.
        jitter: what is added to particles drawn again, in bandwidths; 0 for none.
    """

    size: int = eqx.field(static=True, default=1000)
    least: Float[Array, ""] | float = 0.5
    jitter: Float[Array, ""] | float = 0.0

    def start(self, dynamics: Dynamics, prior: Distribution, *, key: Key) -> Particles:
        """Particles drawn from the prior, all of one weight."""
        members = prior.sample(key, (self.size,))
        return Particles(members, jnp.full(self.size, -jnp.log(self.size), members.dtype))

    def forecast(
        self, dynamics: Dynamics, belief: Particles, cycle: Cycle, *, key: Key
    ) -> Particles:
        """Every particle moved."""
        keys = jax.random.split(key, self.size)
        return Particles(dynamics.moved(belief.members, cycle, keys=keys), belief.log_weight)

    def analysis(
        self, dynamics: Dynamics, belief: Particles, cycle: Cycle, *, key: Key
    ) -> tuple[Particles, Innovation]:
        """Particles weighed by the readings, and drawn again where few are left."""
        k_again, k_jitter = jax.random.split(key)
        told = dynamics.log_likelihood(belief.members, cycle)
        innovation = _innovation(dynamics, belief, cycle, told)
        log_weight = jax.nn.log_softmax(belief.log_weight + told.sum(axis=1))
        weight = jnp.exp(log_weight)
        few = 1.0 / (weight**2).sum() < self.least * self.size

        def again(particles: Array) -> tuple[Array, Array]:
            chosen = systematic(weight, key=k_again)
            noise = _bandwidth(particles, weight) * self.jitter
            kick = jax.random.normal(k_jitter, particles.shape, particles.dtype)
            return particles[chosen] + kick @ noise.T, jnp.full_like(
                log_weight, -jnp.log(self.size)
            )

        seen = cycle.mask.any()
        drawn = jax.lax.cond(seen & few, again, lambda x: (x, log_weight), belief.members)
        return Particles(drawn[0], jnp.where(seen, drawn[1], belief.log_weight)), innovation

    def moments(self, belief: Particles) -> tuple[Float[Array, " state"], Float[Array, " state"]]:
        """Weighted mean and standard deviation."""
        weight = jnp.exp(belief.log_weight)
        mean = weight @ belief.members
        return mean, jnp.sqrt(weight @ (belief.members - mean) ** 2)

    def members(
        self, belief: Particles
    ) -> tuple[Float[Array, "member state"], Float[Array, " member"]]:
        """The particles, and the log of the weight of each."""
        return belief.members, belief.log_weight


def systematic(weight: Float[Array, " member"], *, key: Key) -> Int[Array, " member"]:
    """Numbers of the particles drawn again: each as often as its weight says, within one."""
    size = weight.shape[0]
    ticks = (jnp.arange(size) + jax.random.uniform(key, dtype=weight.dtype)) / size
    reached = jnp.cumsum(weight)
    return jnp.searchsorted(reached / reached[-1], ticks, method="scan_unrolled").clip(0, size - 1)


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
