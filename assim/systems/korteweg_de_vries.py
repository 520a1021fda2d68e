r"""The equation of Korteweg and de Vries: waves in shallow water, and solitons that pass through each other.

$$\partial_t u = -u\,\partial_x u - \delta^2\,\partial_x^3 u, \qquad u(x + L, t) = u(x, t)$$

(Zabusky and Kruskal 1965.) A soliton keeps its shape and travels at a third of its height,

$$u(x, t) = 3c\,\operatorname{sech}^2\!\Big(\frac{\sqrt c}{2\delta}\,(x - ct)\Big),$$

and mass $\int u\,dx$, momentum $\int u^2\,dx$ and energy $\int (u^3/3 - \delta^2 (\partial_x u)^2)\,dx$ stay. In
Fourier's space the linear part is diagonal, $\lambda_k = i\,\delta^2 k^3$, and taken exactly; the product is taken
of the lower two thirds of the waves, so that none is read as another and momentum is lost by the step alone. A span
is cut into `substeps` steps of exponential time differencing; what is random is added at its end.
"""

import equinox as eqx
import jax.numpy as jnp
import numpyro.distributions as dist

from assim.integrators import etdrk4, walked
from assim.statespace import AbstractAdditiveNoise, AbstractField, AbstractNamed, Context, Span
from assim.systems.noising import independent
from assim.systems.seeing import at_sensors
from assim.types import Array, Float, Key


class KortewegDeVries(AbstractAdditiveNoise, AbstractField, AbstractNamed):
    """The waves on a periodic grid, each place seen with an error.

    Args:
        size: number of places n, even; place i is x = i L / n.
        length: L.
        dispersion: delta.
        noise: standard deviation of what a span adds, per square root of a unit of time.
        error: standard deviation of a sensor's error.
        begin: standard deviation of the first state around a cosine.
        substeps: steps of the integrator in a span.
    """

    size: int = eqx.field(static=True, default=128)
    length: Float[Array, ""] | float = 2.0
    dispersion: Float[Array, ""] | float = 0.022
    noise: Float[Array, ""] | float = 0.0
    error: Float[Array, ""] | float = 0.1
    begin: Float[Array, ""] | float = 0.01
    substeps: int = eqx.field(static=True, default=20)

    def init(self, context: Context | None = None, *, key: Key | None = None) -> dist.Distribution:
        """Around one wave of height 1, cos(2 pi x / L)."""
        wave = jnp.cos(2.0 * jnp.pi * jnp.arange(self.size) / self.size)
        return dist.Normal(wave, self.begin).to_event(1)

    def soliton(self, speed: Array | float, centre: Array | float) -> Float[Array, " state"]:
        """A soliton of this speed around x = `centre`; its tails are taken to vanish within half a length."""
        x = self.length * jnp.arange(self.size) / self.size - centre
        x = x - self.length * jnp.round(x / self.length)
        return 3.0 * speed / jnp.cosh(0.5 * jnp.sqrt(speed) / self.dispersion * x) ** 2

    def drift(self, x: Float[Array, " state"]) -> Float[Array, " state"]:
        """dx/dt, per unit of time."""
        v = jnp.fft.rfft(x)
        return jnp.fft.irfft(self._turning() * v + self._advection(v), self.size)

    def flow(self, x: Array, span: Span, u: Array | None = None) -> Array:
        """The state after `span` without noise."""
        turning = self._turning()
        v = walked(
            lambda drift, v, h: etdrk4(turning, drift, v, h),
            self._advection,
            jnp.fft.rfft(x),
            span.dt,
            self.substeps,
        )
        return jnp.fft.irfft(v, self.size)

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
        """The shortest wave of an even grid has no slope at its places."""
        count = self.size // 2 + 1
        return 2.0 * jnp.pi / self.length * jnp.arange(count).at[-1].set(0)

    def _turning(self) -> Array:
        return 1j * jnp.square(self.dispersion) * self._wavenumbers() ** 3

    def _advection(self, v: Array) -> Array:
        """- u du/dx = - d(u^2 / 2)/dx, of the waves below two thirds of the shortest alone."""
        kept = jnp.arange(self.size // 2 + 1) < self.size / 3
        u = jnp.fft.irfft(v * kept, self.size)
        return -0.5j * self._wavenumbers() * kept * jnp.fft.rfft(u**2)


ZABUSKY1965 = KortewegDeVries()
"""L = 2, delta = 0.022, from cos(pi x), which breaks at time 1/pi into eight solitons (Zabusky and Kruskal 1965).
128 places and spans of 0.05 in twenty steps, read with a standard error of 0.1, are this package's choice."""
ZABUSKY1965_STEP = 0.05
