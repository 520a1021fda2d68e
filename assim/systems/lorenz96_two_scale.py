r"""Lorenz-96 in two scales: a slow ring, each place of which drives and feels fast places of its own.

$$\dot X_k = (X_{k+1} - X_{k-2})\,X_{k-1} - X_k + F - \frac{hc}{b}\sum_{j=1}^{J} Y_{j,k}, \qquad
\dot Y_{j,k} = -cb\,(Y_{j+2,k} - Y_{j-1,k})\,Y_{j+1,k} - c\,Y_{j,k} + \frac{hc}{b}\,X_k$$

(Lorenz 1996.) The fast places of all slow ones are one ring, $Y_{J+1,k} = Y_{1,k+1}$, turning the other way; they
move c times as fast and b times as little. The state is X, then Y by k and within it by j. A span is cut into
`substeps` steps of Runge and Kutta; what is random is added at its end. The slow variables alone are seen.
"""

import equinox as eqx
import jax.numpy as jnp
import numpyro.distributions as dist

from assim.integrators import rk4, walked
from assim.statespace import AbstractAdditiveNoise, AbstractField, AbstractNamed, Context, Span
from assim.systems.noising import independent
from assim.systems.seeing import at_sensors
from assim.types import Array, Float, Key


class TwoScaleLorenz96(AbstractAdditiveNoise, AbstractField, AbstractNamed):
    """The rings of Lorenz, each slow place seen with an error.

    Args:
        size: number of slow places K.
        fast: number of fast places J of each.
        forcing: F.
        coupling: h.
        amplitude: b, the amplitude of the slow over that of the fast.
        speed: c, the speed of the fast over that of the slow.
        noise: standard deviation of what a span adds to X, and 1 / b of it to Y, per square root of a unit of time.
        error: standard deviation of a sensor's error.
        begin: standard deviation of the first state around e_1.
        substeps: Runge-Kutta steps in a span.
    """

    size: int = eqx.field(static=True, default=8)
    fast: int = eqx.field(static=True, default=32)
    forcing: Float[Array, ""] | float = 20.0
    coupling: Float[Array, ""] | float = 1.0
    amplitude: Float[Array, ""] | float = 10.0
    speed: Float[Array, ""] | float = 10.0
    noise: Float[Array, ""] | float = 0.0
    error: Float[Array, ""] | float = 0.1**0.5
    begin: Float[Array, ""] | float = 0.1
    substeps: int = eqx.field(static=True, default=10)

    def init(self, context: Context | None = None, *, key: Key | None = None) -> dist.Distribution:
        """Around the first unit vector."""
        first = jnp.zeros(self.size * (1 + self.fast)).at[0].set(1.0)
        return dist.Normal(first, self.begin).to_event(1)

    def drift(self, x: Float[Array, " state"]) -> Float[Array, " state"]:
        """dx/dt, per unit of time."""
        slow, fast = x[: self.size], x[self.size :]
        b, c, exchange = self.amplitude, self.speed, self.coupling * self.speed / self.amplitude
        felt = fast.reshape(self.size, self.fast).sum(axis=1)
        ahead, behind, further = jnp.roll(slow, -1), jnp.roll(slow, 1), jnp.roll(slow, 2)
        by_slow = (ahead - further) * behind - slow + self.forcing - exchange * felt
        ahead, behind, further = jnp.roll(fast, -1), jnp.roll(fast, 1), jnp.roll(fast, -2)
        by_fast = -c * b * (further - behind) * ahead - c * fast
        return jnp.concatenate([by_slow, by_fast + exchange * jnp.repeat(slow, self.fast)])

    def flow(self, x: Array, span: Span, u: Array | None = None) -> Array:
        """The state after `span` without noise."""
        return walked(rk4, self.drift, x, span.dt, self.substeps)

    def process_noise(self, x: Array, span: Span) -> dist.Distribution:
        """Independent at each place, its variance in proportion to the span; 1 / b as large at the fast ones."""
        fast = jnp.full(self.size * self.fast, 1.0 / jnp.asarray(self.amplitude))
        return independent(self.noise, span, jnp.concatenate([jnp.ones(self.size), fast]))

    def observation(
        self,
        x: Array,
        span: Span,
        where: Array | None = None,
        sd: Array | None = None,
        u: Array | None = None,
    ) -> dist.Distribution:
        """Every slow place, or the places `where` (channel, 1) on their ring, between them by interpolation."""
        slow = x[: self.size]
        y = slow if where is None else at_sensors(slow, where)
        known = 0.0 if sd is None else sd
        return dist.Normal(y, jnp.sqrt(jnp.asarray(self.error) ** 2 + known**2))

    def places(self) -> Float[Array, "state 1"]:
        """Places on the ring, units of the slow grid; the fast ones lie evenly around their own."""
        slow = jnp.arange(self.size, dtype=float)
        around = (jnp.arange(self.fast) + 0.5) / self.fast - 0.5
        return jnp.concatenate([slow, (slow[:, None] + around).ravel()])[:, None]

    def sensors(self, where: Array | None = None) -> Float[Array, "channel 1"]:
        """Where the sensors are, units of the slow grid."""
        return self.places()[: self.size] if where is None else where

    def components(self) -> tuple[str, ...]:
        """The field, slow and fast."""
        return ("x",)

    def channels(self) -> tuple[str, ...]:
        """The slow field."""
        return ("x",)


LORENZ1996 = TwoScaleLorenz96(size=36, fast=10, forcing=10.0)
"""K = 36, J = 10, F = b = c = 10, h = 1 (Lorenz 1996)."""
WILKS2005 = TwoScaleLorenz96()
"""K = 8, J = 32, F = 20, b = c = 10, h = 1 (Wilks 2005), Runge-Kutta steps of 0.005 (his are of 0.0001). Every slow
place read each 0.05 with variance 0.1 is the setting of DAPPER."""
WILKS2005_STEP = 0.05
