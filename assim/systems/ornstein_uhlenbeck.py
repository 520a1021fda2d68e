r"""The Ornstein-Uhlenbeck process: what returns to its mean at its own rate, each component by itself.

$$dx = -\frac{x - \mu}{\tau}\,dt + \sigma\sqrt{\frac2\tau}\,dW, \qquad
x(t+\Delta) \mid x(t) \sim \mathcal N\big(\mu + e^{-\Delta/\tau}(x - \mu),\; \sigma^2(1 - e^{-2\Delta/\tau})\big)$$

(Uhlenbeck and Ornstein 1930.) $\sigma$ is the standard deviation of the stationary state, from which it starts.
No setting of a paper is named: its moments are exact for any.
"""

import jax.numpy as jnp
import numpyro.distributions as dist

from assim.statespace import (
    AbstractAdditiveNoise,
    AbstractLinearGaussian,
    AbstractNamed,
    Context,
    Span,
)
from assim.types import Array, Float, Key


class OrnsteinUhlenbeck(AbstractLinearGaussian, AbstractAdditiveNoise, AbstractNamed):
    """Independent processes, each component seen with an error.

    Args:
        mean: mu, shape (state,).
        sd: stationary sigma, shape (state,).
        tau: time of return, shape (state,), seconds.
        error: standard deviation of the sensor's error, shape (state,).
    """

    mean: Float[Array, " state"]
    sd: Float[Array, " state"]
    tau: Float[Array, " state"]
    error: Float[Array, " state"]

    def init(self, context: Context | None = None, *, key: Key | None = None) -> dist.Distribution:
        """The stationary distribution."""
        return dist.Normal(self.mean, self.sd).to_event(1)

    def matrices(self, span: Span, u: Array | None = None) -> tuple[Array, Array, Array]:
        """The multiplier, the offset, and a root of the covariance that the span adds."""
        kept = jnp.exp(-span.dt / self.tau)
        gained = self.sd * jnp.sqrt(-jnp.expm1(-2.0 * span.dt / self.tau))
        return jnp.diag(kept), (1.0 - kept) * self.mean, jnp.diag(gained)

    def emission(self, span: Span, where: Array | None = None) -> tuple[Array, Array, Array]:
        """Every component, with its error."""
        size = self.mean.shape[0]
        return jnp.eye(size), jnp.zeros(size), jnp.diag(self.error)

    def flow(self, x: Array, span: Span, u: Array | None = None) -> Array:
        """The mean after `span`."""
        return self.mean + jnp.exp(-span.dt / self.tau) * (x - self.mean)

    def process_noise(self, x: Array, span: Span) -> dist.Distribution:
        """What the span adds."""
        gained = self.sd * jnp.sqrt(-jnp.expm1(-2.0 * span.dt / self.tau))
        return dist.Normal(jnp.zeros_like(gained), gained).to_event(1)

    def observation(
        self,
        x: Array,
        span: Span,
        where: Array | None = None,
        sd: Array | None = None,
        u: Array | None = None,
    ) -> dist.Distribution:
        """Every component, with its error and the file's own."""
        known = 0.0 if sd is None else sd
        return dist.Normal(x, jnp.sqrt(self.error**2 + known**2))

    def components(self) -> tuple[str, ...]:
        """x0, x1 and so on."""
        return tuple(f"x{i}" for i in range(self.mean.shape[-1]))

    def channels(self) -> tuple[str, ...]:
        """Every component."""
        return self.components()
