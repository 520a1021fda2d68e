r"""The equation of Kuramoto and Sivashinsky: a flame front, the simplest chaos that fills space.

$$\partial_t u = -u\,\partial_x u - \partial_x^2 u - \partial_x^4 u, \qquad u(x + L, t) = u(x, t)$$

(Kuramoto and Tsuzuki 1976; Sivashinsky 1977.) Long waves grow, short ones decay, and advection carries the one into
the other; the mean of u stays. In Fourier's space the linear part is diagonal, $\lambda_k = k^2 - k^4$, and taken
exactly: a span is cut into `substeps` steps of exponential time differencing (Kassam and Trefethen 2005); what is
random is added at its end.
"""

import math

import equinox as eqx
import jax.numpy as jnp
import numpyro.distributions as dist

from assim.integrators import etdrk4, walked
from assim.statespace import AbstractAdditiveNoise, AbstractField, AbstractNamed, Context, Span
from assim.systems.noising import independent
from assim.systems.seeing import at_sensors
from assim.types import Array, Float, Key

BURN_IN = 150.0


class KuramotoSivashinsky(AbstractAdditiveNoise, AbstractField, AbstractNamed):
    """The front on a periodic grid, each place seen with an error.

    Args:
        size: number of places n, even; place i is x = i L / n.
        length: L.
        noise: standard deviation of what a span adds, per square root of a unit of time.
        error: standard deviation of a sensor's error.
        begin: standard deviation of the first state around a state of the attractor.
        substeps: steps of the integrator in a span.
    """

    size: int = eqx.field(static=True, default=128)
    length: Float[Array, ""] | float = 32.0 * math.pi
    noise: Float[Array, ""] | float = 0.0
    error: Float[Array, ""] | float = 1.0
    begin: Float[Array, ""] | float = 0.001**0.5
    substeps: int = eqx.field(static=True, default=2)

    def init(self, context: Context | None = None, *, key: Key | None = None) -> dist.Distribution:
        """Around what becomes of cos(y) (1 + sin(y)), y = 2 pi x / L (Kassam and Trefethen), in `BURN_IN`."""
        y = 2.0 * jnp.pi * jnp.arange(self.size) / self.size
        x = self._walked(jnp.cos(y) * (1.0 + jnp.sin(y)), jnp.asarray(BURN_IN), 300)
        return dist.Normal(x, self.begin).to_event(1)

    def drift(self, x: Float[Array, " state"]) -> Float[Array, " state"]:
        """dx/dt, per unit of time."""
        v = jnp.fft.rfft(x)
        return jnp.fft.irfft(self._growth() * v + self._advection(v), self.size)

    def flow(self, x: Array, span: Span, u: Array | None = None) -> Array:
        """The state after `span` without noise."""
        return self._walked(x, span.dt, self.substeps)

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
        return ("u",)

    def channels(self) -> tuple[str, ...]:
        """The field."""
        return ("u",)

    def _wavenumbers(self) -> Float[Array, " wave"]:
        return 2.0 * jnp.pi / self.length * jnp.arange(self.size // 2 + 1)

    def _growth(self) -> Float[Array, " wave"]:
        k = self._wavenumbers()
        return k**2 - k**4

    def _advection(self, v: Array) -> Array:
        """- u du/dx = - d(u^2 / 2)/dx; the shortest wave of an even grid has no slope at its places."""
        slope = 1j * self._wavenumbers().at[-1].set(0.0)
        return -0.5 * slope * jnp.fft.rfft(jnp.fft.irfft(v, self.size) ** 2)

    def _walked(self, x: Array, dt: Array, steps: int) -> Array:
        growth = self._growth()
        v = walked(
            lambda drift, v, h: etdrk4(growth, drift, v, h),
            self._advection,
            jnp.fft.rfft(x),
            dt,
            steps,
        )
        return jnp.fft.irfft(v, self.size)


BOCQUET2019 = KuramotoSivashinsky()
"""L = 32 pi, 128 places, steps of 0.5, every place read each 1.0 with variance 1 (Bocquet and Farchi 2019)."""
BOCQUET2019_STEP = 1.0
