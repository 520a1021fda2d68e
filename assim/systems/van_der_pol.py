r"""The stochastic Van der Pol oscillator: one thermoacoustic mode near its Hopf bifurcation.

$$\ddot\eta + \omega_0^2 \eta = (2\nu - \kappa\eta^2)\,\dot\eta + \xi, \qquad
\langle \xi(t)\,\xi(t')\rangle = \Gamma\,\delta(t - t')$$

(Noiray and Schuermans 2013, Int. J. Non-Linear Mech. 50, 152; Boujo and Noiray 2016, arXiv:1612.02579.) Averaged
over a period, the amplitude $A^2 = \eta^2 + (\dot\eta/\omega_0)^2$ has the stationary density

$$P(A) \propto A \exp\Big[\frac{4\omega_0^2}{\Gamma}\Big(\frac{\nu A^2}{2} - \frac{\kappa A^4}{32}\Big)\Big],$$

so $A^2$ is a Normal of mean $8\nu/\kappa$ and variance $4\Gamma/(\kappa\omega_0^2)$ cut at zero, and the phase
is uniform. Without noise the oscillation grows to the limit cycle $A = \sqrt{8\nu/\kappa}$ where $\nu > 0$.

A span is walked by the semi-implicit Euler step, velocity first, in substeps of at most `substep`:

$$\dot\eta' = \dot\eta + h\,[(2\nu - \kappa\eta^2)\dot\eta - \omega_0^2\eta] + \sqrt{\Gamma h}\,\varepsilon,
\qquad \eta' = \eta + h\,\dot\eta'.$$

The noise enters at every substep and is bent by the flow, so over a span it is not additive: the class does not
claim to be an `AbstractAdditiveNoise`.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro.distributions import constraints

from assim.statespace import AbstractNamed, Context, Span
from assim.types import Array, Float, Key


class VanDerPol(AbstractNamed):
    """One noise-driven oscillator; its state is (eta, d eta/dt), in pressure units and those per second.

    Args:
        omega: angular frequency, rad/s.
        nu: linear growth rate, 1/s; negative is stable.
        kappa: saturation, per second and squared pressure unit.
        gamma: intensity of the driving noise, squared pressure unit per cubic second.
        gain: what each input adds to the growth rate, shape (input,), 1/s per unit of input.
        error: standard error of the sensor of eta, pressure units.
        substep: longest step of the integrator, seconds.
        longest: longest span that a transition takes, seconds; beyond it the state is NaN.
    """

    omega: Float[Array, ""] | float = 2.0 * math.pi * 120.0
    nu: Float[Array, ""] | float = 5.0
    kappa: Float[Array, ""] | float = 4.0
    gamma: Float[Array, ""] | float = 1e6
    gain: Float[Array, " input"] | tuple[float, ...] = ()
    error: Float[Array, ""] | float = 0.05
    substep: float = eqx.field(static=True, default=1e-4)
    longest: float = eqx.field(static=True, default=0.1)

    def init(self, context: Context, *, key: Key) -> dist.Distribution:
        """The stationary distribution, under the newest inputs of the context."""
        nu = self.growth(context.u[-1] if context.u.shape[0] else None)
        return Stationary(self.omega, nu, self.kappa, self.gamma)

    def transition(
        self, x: Float[Array, "2"], span: Span, u: Array | None = None, *, key: Key
    ) -> Float[Array, "2"]:
        """A sample of the state after `span`, the inputs held through it."""
        return self._walk(x, span, u, jax.random.normal(key, (self._substeps,)))

    def flow(self, x: Float[Array, "2"], span: Span, u: Array | None = None) -> Float[Array, "2"]:
        """The state after `span` without noise."""
        return self._walk(x, span, u, jnp.zeros(self._substeps))

    def observation(
        self,
        x: Float[Array, "2"],
        span: Span,
        where: Array | None = None,
        sd: Array | None = None,
        u: Array | None = None,
    ) -> dist.Distribution:
        """The displacement eta, seen by one sensor; the file's own error `sd` (1,) adds in squares."""
        known = jnp.zeros(1) if sd is None else sd
        return dist.Normal(x[..., :1], jnp.sqrt(jnp.asarray(self.error) ** 2 + known**2))

    def components(self) -> tuple[str, ...]:
        """The displacement and its rate."""
        return ("eta", "rate")

    def channels(self) -> tuple[str, ...]:
        """The displacement."""
        return ("eta",)

    def growth(self, u: Array | None = None) -> Float[Array, ""]:
        """The growth rate under the inputs `u` (input,), 1/s."""
        gain = jnp.asarray(self.gain, float)
        return jnp.asarray(self.nu) + (gain @ u if u is not None and gain.size else 0.0)

    def limit_cycle(self, u: Array | None = None) -> Float[Array, ""]:
        r"""The amplitude $\sqrt{8\nu/\kappa}$ of the noise-free oscillation, 0 where it decays."""
        return jnp.sqrt(8.0 * jnp.maximum(self.growth(u), 0.0) / self.kappa)

    def step(
        self, x: Float[Array, "2"], nu: Array, h: Array | float, noise: Array
    ) -> Float[Array, "2"]:
        """One semi-implicit Euler step of `h` seconds at the growth rate `nu`, with a standard normal."""
        eta, rate = x
        force = (2.0 * nu - self.kappa * eta**2) * rate - jnp.square(self.omega) * eta
        rate = rate + h * force + jnp.sqrt(self.gamma * h) * noise
        return jnp.stack([eta + h * rate, rate])

    @property
    def _substeps(self) -> int:
        return math.ceil(self.longest / self.substep - 1e-6)

    def _walk(self, x: Array, span: Span, u: Array | None, noise: Array) -> Array:
        nu = self.growth(u)

        def move(x: Array, at: tuple[Array, Array]) -> tuple[Array, None]:
            number, kick = at
            h = jnp.clip(span.dt - number * self.substep, 0.0, self.substep)
            return self.step(x, nu, h, kick), None

        x, _ = jax.lax.scan(move, x, (jnp.arange(self._substeps), noise))
        return jnp.where(span.dt <= self.longest * (1 + 1e-6), x, jnp.nan)


class Stationary(dist.Distribution):
    """The stationary distribution of (eta, d eta/dt): truncated-normal squared amplitude, uniform phase."""

    arg_constraints = {
        "omega": constraints.positive,
        "nu": constraints.real,
        "kappa": constraints.positive,
        "gamma": constraints.positive,
    }
    support = constraints.real_vector

    def __init__(
        self,
        omega: Array | float,
        nu: Array | float,
        kappa: Array | float,
        gamma: Array | float,
    ) -> None:
        self.omega, self.nu, self.kappa, self.gamma = map(jnp.asarray, (omega, nu, kappa, gamma))
        batch = jnp.broadcast_shapes(*(jnp.shape(a) for a in (omega, nu, kappa, gamma)))
        self.mean_square = 8.0 * self.nu / self.kappa
        self.sd_square = 2.0 / self.omega * jnp.sqrt(self.gamma / self.kappa)
        dist.Distribution.__init__(self, batch_shape=batch, event_shape=(2,))

    def sample(self, key: Key, sample_shape: tuple[int, ...] = ()) -> Array:
        """States (..., 2), by inversion of the amplitude's distribution."""
        k_amplitude, k_phase = jax.random.split(key)
        shape = sample_shape + self.batch_shape
        phase = jax.random.uniform(k_phase, shape, maxval=2.0 * jnp.pi)
        log_beyond = -jax.random.exponential(k_amplitude, shape)
        z = _upper_quantile(
            log_beyond + jax.scipy.special.log_ndtr(self.mean_square / self.sd_square)
        )
        amplitude = jnp.sqrt(jnp.maximum(self.mean_square + self.sd_square * z, 0.0))
        eta, rate = amplitude * jnp.cos(phase), -amplitude * self.omega * jnp.sin(phase)
        return jnp.stack([eta, rate], axis=-1)

    def log_prob(self, value: Array) -> Array:
        """Log density over (eta, d eta/dt)."""
        square = value[..., 0] ** 2 + (value[..., 1] / self.omega) ** 2
        z = (square - self.mean_square) / self.sd_square
        inside = jax.scipy.special.log_ndtr(self.mean_square / self.sd_square)
        log_square = jax.scipy.stats.norm.logpdf(z) - jnp.log(self.sd_square) - inside
        return log_square - jnp.log(jnp.pi * self.omega)


def _upper_quantile(log_tail: Array) -> Array:
    """The z with log P(Z > z) = `log_tail`, far into the tail: Newton on a concave function from its right."""
    near = -jax.scipy.special.ndtri(jnp.exp(jnp.maximum(log_tail, -3.0)))
    z = jnp.where(log_tail > -3.0, near, jnp.sqrt(-2.0 * jnp.minimum(log_tail, -3.0)))
    for _ in range(6):
        log_beyond = jax.scipy.special.log_ndtr(-z)
        hazard = jnp.exp(jax.scipy.stats.norm.logpdf(z) - log_beyond)
        z = z + (log_beyond - log_tail) / hazard
    return z


NOVOA2024 = VanDerPol(omega=2.0 * math.pi * 120.0, nu=(70.0 - 60.0) / 2.0, kappa=4.0, gamma=1e6)
"""120 Hz, driving 70/s, damping 60/s, saturation 4: the oscillator in the published code of the bias-aware ensemble
Kalman filter of Novoa, Racca and Magri (2024); 2 nu is driving less damping. Their noise enters elsewhere; `gamma`
is this package's choice."""
