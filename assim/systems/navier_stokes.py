r"""The equations of Navier and Stokes in two dimensions: vorticity on a periodic square.

$$\partial_t\omega = -v\cdot\nabla\omega + \nu\nabla^2\omega - \mu\,\omega - \chi\,m\cos(m y), \qquad
v = (\partial_y\psi,\, -\partial_x\psi), \quad \nabla^2\psi = -\omega$$

on $[0, 2\pi)^2$. The last term is the curl of the force $(\chi\sin m y, 0)$ of Kolmogorov, none where $\chi = 0$;
$\mu$ is drag on the ground. The vortices of Taylor and Green, $\omega = \cos(kx)\cos(ky)$, decay as
$e^{-2\nu k^2 t}$; without viscosity, drag and force, energy $\tfrac12\int v^2$ and enstrophy
$\tfrac12\int\omega^2$ stay.

The state is $\omega$ at x = 2 pi i / n and y = 2 pi j / n, as a vector by i and within it by j. In Fourier's space
the linear part is diagonal, $\lambda_k = -\nu k^2 - \mu$, and taken exactly; the product is taken of the lower two
thirds of the waves, so that none is read as another (Orszag 1971). A span is cut into `substeps` steps of
exponential time differencing; what is random is added at its end.
"""

import equinox as eqx
import jax.numpy as jnp
import numpyro.distributions as dist

from assim.integrators import etdrk4, walked
from assim.statespace import AbstractAdditiveNoise, AbstractField, AbstractNamed, Context, Span
from assim.systems.isotropic import Isotropic
from assim.systems.noising import independent
from assim.systems.seeing import at_sensors
from assim.types import Array, Float, Key


class NavierStokes2D(AbstractAdditiveNoise, AbstractField, AbstractNamed):
    """The vorticity of a flow on a periodic grid, each place seen with an error.

    Args:
        size: number of places n along each side, even.
        viscosity: nu.
        forcing: chi, amplitude of the force; 0 for none.
        bands: m, waves of the force across the square, below n / 3.
        drag: mu, per unit of time.
        noise: standard deviation of what a span adds to the vorticity, per square root of a unit of time.
        error: standard deviation of a sensor's error, units of vorticity.
        begin: standard deviation of the first vorticity, a smooth random field.
        waves: waves across the square beyond which the first vorticity is damped.
        substeps: steps of the integrator in a span.
    """

    size: int = eqx.field(static=True, default=64)
    viscosity: Float[Array, ""] | float = 1.0 / 40.0
    forcing: Float[Array, ""] | float = 0.0
    bands: int = eqx.field(static=True, default=4)
    drag: Float[Array, ""] | float = 0.0
    noise: Float[Array, ""] | float = 0.0
    error: Float[Array, ""] | float = 1.0
    begin: Float[Array, ""] | float = 3.0
    waves: Float[Array, ""] | float = 4.0
    substeps: int = eqx.field(static=True, default=10)

    def init(self, context: Context | None = None, *, key: Key | None = None) -> dist.Distribution:
        """A smooth random field of zero mean."""
        return Isotropic(self.size, self.begin, self.waves)

    def velocity(self, x: Float[Array, " state"]) -> Float[Array, "2 n n"]:
        """The flow along x and y at each place."""
        v = jnp.fft.rfft2(x.reshape(self.size, self.size))
        along_x, along_y = self._slopes()
        psi = v * self._inverse_laplacian()
        return jnp.fft.irfft2(jnp.stack([along_y * psi, -along_x * psi]), (self.size,) * 2)

    def drift(self, x: Float[Array, " state"]) -> Float[Array, " state"]:
        """dx/dt, per unit of time."""
        v = jnp.fft.rfft2(x.reshape(self.size, self.size))
        moved = self._decay() * v + self._driven(v)
        return jnp.fft.irfft2(moved, (self.size,) * 2).ravel()

    def flow(self, x: Array, span: Span, u: Array | None = None) -> Array:
        """The state after `span` without noise."""
        decay = self._decay()
        v = walked(
            lambda drift, v, h: etdrk4(decay, drift, v, h),
            self._driven,
            jnp.fft.rfft2(x.reshape(self.size, self.size)),
            span.dt,
            self.substeps,
        )
        return jnp.fft.irfft2(v, (self.size,) * 2).ravel()

    def process_noise(self, x: Array, span: Span) -> dist.Distribution:
        """Independent at each place, its variance in proportion to the span."""
        return independent(self.noise, span, jnp.ones(self.size**2))

    def observation(
        self,
        x: Array,
        span: Span,
        where: Array | None = None,
        sd: Array | None = None,
        u: Array | None = None,
    ) -> dist.Distribution:
        """Every place, or the places `where` (channel, 2) on the square, between them by interpolation."""
        y = x if where is None else at_sensors(x.reshape(self.size, self.size), where)
        known = 0.0 if sd is None else sd
        return dist.Normal(y, jnp.sqrt(jnp.asarray(self.error) ** 2 + known**2))

    def places(self) -> Float[Array, "state 2"]:
        """Places on the square, (i, j) in units of the grid."""
        side = jnp.arange(self.size, dtype=float)
        return jnp.stack(jnp.meshgrid(side, side, indexing="ij"), axis=-1).reshape(-1, 2)

    def sensors(self, where: Array | None = None) -> Float[Array, "channel 2"]:
        """Where the sensors are, units of the grid."""
        return self.places() if where is None else where

    def components(self) -> tuple[str, ...]:
        """The field."""
        return ("vorticity",)

    def channels(self) -> tuple[str, ...]:
        """The field."""
        return ("vorticity",)

    def _wavenumbers(self) -> tuple[Float[Array, "wave 1"], Float[Array, " half"]]:
        k = jnp.fft.fftfreq(self.size, 1.0 / self.size)
        return k[:, None], jnp.arange(self.size // 2 + 1, dtype=float)

    def _slopes(self) -> tuple[Array, Array]:
        """The derivatives, of the waves below two thirds of the shortest alone."""
        k, m = self._wavenumbers()
        kept = (jnp.abs(k) < self.size / 3) & (m < self.size / 3)
        return 1j * k * kept, 1j * m * kept

    def _inverse_laplacian(self) -> Float[Array, "wave half"]:
        """What makes the stream function of the vorticity; that of its mean is nothing."""
        k, m = self._wavenumbers()
        square = k**2 + m**2
        return jnp.where(square > 0, 1.0 / jnp.where(square > 0, square, 1.0), 0.0)

    def _decay(self) -> Float[Array, "wave half"]:
        k, m = self._wavenumbers()
        return -self.viscosity * (k**2 + m**2) - self.drag

    def _driven(self, v: Array) -> Array:
        """Advection and the curl of the force."""
        along_x, along_y = self._slopes()
        psi = v * self._inverse_laplacian()
        waves = jnp.stack([along_y * psi, -along_x * psi, along_x * v, along_y * v])
        right, up, by_x, by_y = jnp.fft.irfft2(waves, (self.size,) * 2)
        y = 2.0 * jnp.pi * jnp.arange(self.size) / self.size
        curl = -self.forcing * self.bands * jnp.cos(self.bands * y)
        kept = (along_x != 0) | (along_y != 0)
        return kept * jnp.fft.rfft2(curl - right * by_x - up * by_y)


CHANDLER2013 = NavierStokes2D(forcing=1.0)
"""Kolmogorov flow at Reynolds number 40: nu = 1/40, a force sin(4 y) (Chandler and Kerswell 2013). The grid of 64
by 64, spans of 0.2 in ten steps and readings of each place with a standard error of 1 are this package's choice."""
CHANDLER2013_STEP = 0.2
