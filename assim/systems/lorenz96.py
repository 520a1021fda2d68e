r"""Lorenz-96: a chaotic ring, the standard trial of ensemble filters.

$$\dot x_i = (x_{i+1} - x_{i-2})\,x_{i-1} - x_i + F, \qquad x_{i+n} = x_i$$

(Lorenz 1996.) With n = 40 and F = 8 it has 13 positive Lyapunov exponents, the first 1.67 per unit of time. A span
is cut into `substeps` steps of Runge and Kutta; what is random is added at its end.
"""

import equinox as eqx
import jax.numpy as jnp
import numpyro.distributions as dist

from assim.integrators import rk4, walked
from assim.statespace import AbstractAdditiveNoise, AbstractField, AbstractNamed, Context, Span
from assim.systems.noising import independent
from assim.systems.seeing import at_sensors
from assim.types import Array, Float, Key


class Lorenz96(AbstractAdditiveNoise, AbstractField, AbstractNamed):
    """The ring of Lorenz, each place seen with an error.

    Args:
        size: number of places n.
        forcing: F.
        noise: standard deviation of what a span adds, per square root of a unit of time.
        error: standard deviation of a sensor's error.
        begin: standard deviation of the first state around e_1.
        substeps: Runge-Kutta steps in a span.
    """

    size: int = eqx.field(static=True, default=40)
    forcing: Float[Array, ""] | float = 8.0
    noise: Float[Array, ""] | float = 0.0
    error: Float[Array, ""] | float = 1.0
    begin: Float[Array, ""] | float = 0.001**0.5
    substeps: int = eqx.field(static=True, default=1)

    def init(self, context: Context | None = None, *, key: Key | None = None) -> dist.Distribution:
        """Around the first unit vector."""
        first = jnp.zeros(self.size).at[0].set(1.0)
        return dist.Normal(first, self.begin).to_event(1)

    def drift(self, x: Float[Array, " state"]) -> Float[Array, " state"]:
        """dx/dt, per unit of time."""
        ahead, behind, further = jnp.roll(x, -1), jnp.roll(x, 1), jnp.roll(x, 2)
        return (ahead - further) * behind - x + self.forcing

    def flow(self, x: Array, span: Span, u: Array | None = None) -> Array:
        """The state after `span` without noise."""
        return walked(rk4, self.drift, x, span.dt, self.substeps)

    def process_noise(self, x: Array, span: Span) -> dist.Distribution:
        """Independent at each place, its variance in proportion to the span."""
        return independent(self.noise, span, jnp.ones(self.size))

    def observation(
        self,
        x: Array,
        span: Span,
        where: Array | None = None,
        sd: Array | None = None,
        u: Array | None = None,
    ) -> dist.Distribution:
        """Every place, or the places `where` (channel, 1) on the ring, between them by interpolation."""
        y = x if where is None else at_sensors(x, where)
        known = 0.0 if sd is None else sd
        return dist.Normal(y, jnp.sqrt(jnp.asarray(self.error) ** 2 + known**2))

    def places(self) -> Float[Array, "state 1"]:
        """Places on the ring, units of the grid."""
        return jnp.arange(self.size, dtype=float)[:, None]

    def sensors(self, where: Array | None = None) -> Float[Array, "channel 1"]:
        """Where the sensors are, units of the grid."""
        return self.places() if where is None else where

    def components(self) -> tuple[str, ...]:
        """The field."""
        return ("x",)

    def channels(self) -> tuple[str, ...]:
        """The field."""
        return ("x",)


SAKOV2008 = Lorenz96()
"""n = 40, F = 8, Runge-Kutta steps of 0.05, every place read each step with variance 1 (Sakov and Oke 2008)."""
SAKOV2008_STEP = 0.05
BOCQUET2010 = Lorenz96(size=10, error=1.5)
"""Ten places, every second of them read each 0.05 with variance 2.25 (Bocquet, Pires and Wu 2010)."""
BOCQUET2010_STEP = 0.05
MIYOSHI2011 = Lorenz96(substeps=10)
"""Steps of 0.005, the first twenty of 40 places (the land) read each 0.05 with variance 1 (Miyoshi 2011)."""
MIYOSHI2011_STEP = 0.05
SPANTINI2019 = Lorenz96(error=0.5**0.5, substeps=20)
"""Steps of 0.02, every second place read each 0.4 with variance 0.5 (Spantini, Baptista and Marzouk 2022, whose
preprint is of 2019)."""
SPANTINI2019_STEP = 0.4
