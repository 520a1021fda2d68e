r"""The pendulum on a rigid rod, damped or not: the angle theta from hanging, and its rate.

$$\ddot\theta = -\omega^2 \sin\theta - c\,\dot\theta, \qquad
E = \tfrac12\dot\theta^2 + \omega^2\,(1 - \cos\theta), \qquad \dot E = -c\,\dot\theta^2$$

with $\omega^2 = g / l$ and E the energy for each unit of $m l^2$. Without damping, released at rest from the
amplitude A, it swings as

$$\theta(t) = 2 \arcsin\big(k\,\mathrm{cd}(\omega t, k)\big), \quad k = \sin\tfrac A2, \qquad
T = \frac{4 K(k)}{\omega} = \frac{2\pi}{\omega\,\mathrm{agm}(1, \cos\frac A2)},$$

where cd = cn / dn is of Jacobi and agm the arithmetic-geometric mean of Gauss (DLMF 22.19.1, 19.8.5). A span is cut
into `substeps` steps of Runge and Kutta; what is random is added at its end.
"""

import equinox as eqx
import jax.numpy as jnp
import numpyro.distributions as dist

from assim.integrators import rk4, walked
from assim.statespace import AbstractAdditiveNoise, AbstractNamed, Context, Span
from assim.systems.noising import independent
from assim.types import Array, Float, Key

MEANS = 6
"""Steps of the arithmetic-geometric mean, each of which doubles the digits."""


class Pendulum(AbstractAdditiveNoise, AbstractNamed):
    """The angle and its rate, both seen with an error; the defaults are a metre of rod.

    Args:
        omega: angular frequency of small swings, rad/s.
        damping: c, 0 or more, 1/s.
        noise: standard deviation of what a span adds to the angle, and omega of it to the rate, rad per square root
            of a second.
        error: standard deviation of a sensor's error, rad and rad/s.
        begin: standard deviation of the first angle, and omega of it of the first rate, rad.
        substeps: Runge-Kutta steps in a span.
    """

    omega: Float[Array, ""] | float = 9.8**0.5
    damping: Float[Array, ""] | float = 0.0
    noise: Float[Array, ""] | float = 0.0
    error: Float[Array, ""] | float = 0.03
    begin: Float[Array, ""] | float = 0.8
    substeps: int = eqx.field(static=True, default=10)

    def init(self, context: Context | None = None, *, key: Key | None = None) -> dist.Distribution:
        """Around hanging at rest."""
        return dist.Normal(jnp.zeros(2), self.begin * self._scales()).to_event(1)

    def drift(self, x: Float[Array, "2"]) -> Float[Array, "2"]:
        """dx/dt, per second."""
        angle, rate = x
        force = -jnp.square(self.omega) * jnp.sin(angle) - self.damping * rate
        return jnp.stack([rate, force])

    def flow(self, x: Array, span: Span, u: Array | None = None) -> Array:
        """The state after `span` without noise."""
        return walked(rk4, self.drift, x, span.dt, self.substeps)

    def process_noise(self, x: Array, span: Span) -> dist.Distribution:
        """Independent, its variance in proportion to the span."""
        return independent(self.noise, span, self._scales())

    def observation(
        self,
        x: Array,
        span: Span,
        where: Array | None = None,
        sd: Array | None = None,
        u: Array | None = None,
    ) -> dist.Distribution:
        """The angle and its rate."""
        known = 0.0 if sd is None else sd
        return dist.Normal(x, jnp.sqrt(jnp.asarray(self.error) ** 2 + known**2))

    def energy(self, x: Float[Array, "... 2"]) -> Float[Array, "..."]:
        r"""$\tfrac12\dot\theta^2 + \omega^2(1 - \cos\theta)$, 0 where it hangs at rest.

        Args:
            x: angle and rate, shape (..., 2), rad and rad/s.

        Returns:
            Shape (...), per squared second.
        """
        potential = 2.0 * jnp.square(self.omega * jnp.sin(x[..., 0] / 2.0))
        return 0.5 * jnp.square(x[..., 1]) + potential

    def period(self, amplitude: Float[Array, "..."] | float) -> Float[Array, "..."]:
        r"""$2\pi / \big(\omega\,\mathrm{agm}(1, \cos\frac A2)\big)$: of a swing without damping.

        Args:
            amplitude: A, shape (...), between -pi and pi, rad.

        Returns:
            T, shape (...), seconds.
        """
        low = jnp.cos(jnp.asarray(amplitude, float) / 2.0)
        high = jnp.ones_like(low)
        for _ in range(MEANS):
            high, low = 0.5 * (high + low), jnp.sqrt(high * low)
        return 2.0 * jnp.pi / (self.omega * high)

    def components(self) -> tuple[str, ...]:
        """The angle and its rate."""
        return ("angle", "rate")

    def channels(self) -> tuple[str, ...]:
        """The angle and its rate."""
        return ("angle", "rate")

    def _scales(self) -> Float[Array, "2"]:
        """One radian of swing, in the units of each component."""
        return jnp.stack([jnp.ones(()), jnp.asarray(self.omega, float)])
