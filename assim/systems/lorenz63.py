r"""Lorenz-63: three equations of convection.

$$\dot x = \sigma(y - x), \qquad \dot y = \rho x - y - x z, \qquad \dot z = x y - \beta z$$

(Lorenz 1963.) A span is cut into `substeps` steps of Runge and Kutta; what is random is added at its end.
"""

import equinox as eqx
import jax.numpy as jnp
import numpyro.distributions as dist

from assim.integrators import rk4, walked
from assim.statespace import AbstractAdditiveNoise, AbstractNamed, Context, Span
from assim.systems.noising import independent
from assim.types import Array, Float, Key

CENTRE = (1.509, -1.531, 25.46)


class Lorenz63(AbstractAdditiveNoise, AbstractNamed):
    """The convection of Lorenz, each coordinate seen with an error.

    Args:
        sigma: Prandtl number.
        rho: Rayleigh number over its critical value.
        beta: geometry.
        noise: standard deviation of what a span adds, per square root of a unit of time.
        error: standard deviation of a sensor's error.
        begin: standard deviation of the first state around `CENTRE`.
        substeps: Runge-Kutta steps in a span.
    """

    sigma: Float[Array, ""] | float = 10.0
    rho: Float[Array, ""] | float = 28.0
    beta: Float[Array, ""] | float = 8.0 / 3.0
    noise: Float[Array, ""] | float = 0.0
    error: Float[Array, ""] | float = 2.0**0.5
    begin: Float[Array, ""] | float = 2.0**0.5
    substeps: int = eqx.field(static=True, default=25)

    def init(self, context: Context | None = None, *, key: Key | None = None) -> dist.Distribution:
        """Around a point on the attractor."""
        return dist.Normal(jnp.array(CENTRE), self.begin).to_event(1)

    def drift(self, x: Float[Array, "3"]) -> Float[Array, "3"]:
        """dx/dt, per unit of time."""
        a, b, c = x
        return jnp.stack([self.sigma * (b - a), self.rho * a - b - a * c, a * b - self.beta * c])

    def flow(self, x: Array, span: Span, u: Array | None = None) -> Array:
        """The state after `span` without noise."""
        return walked(rk4, self.drift, x, span.dt, self.substeps)

    def process_noise(self, x: Array, span: Span) -> dist.Distribution:
        """Independent, its variance in proportion to the span."""
        return independent(self.noise, span, jnp.ones(3))

    def observation(
        self,
        x: Array,
        span: Span,
        where: Array | None = None,
        sd: Array | None = None,
        u: Array | None = None,
    ) -> dist.Distribution:
        """All three coordinates."""
        known = 0.0 if sd is None else sd
        return dist.Normal(x, jnp.sqrt(jnp.asarray(self.error) ** 2 + known**2))

    def components(self) -> tuple[str, ...]:
        """The three coordinates."""
        return ("x", "y", "z")

    def channels(self) -> tuple[str, ...]:
        """The three coordinates."""
        return ("x", "y", "z")


SAKOV2012 = Lorenz63()
"""Steps of 0.01, a reading of all three every 0.25 with variance 2 (Sakov, Oliver and Bertino 2012)."""
SAKOV2012_STEP = 0.25
ANDERSON2010 = Lorenz63(error=8.0**0.5, substeps=12)
"""A reading every 0.12 with variance 8, of all three (Anderson 2010) or of the first (de Wiljes, Reich and Stannat
2018)."""
ANDERSON2010_STEP = 0.12
BOCQUET2012 = Lorenz63(error=1.0)
"""A reading of all three every 0.25 with variance 1 (Bocquet and Sakov 2012)."""
BOCQUET2012_STEP = 0.25
