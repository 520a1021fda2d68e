r"""The Rijke tube: sound in an open tube, driven by a heater that answers late.

$$u' = \sum_j \eta_j \cos\frac{j\pi x}{L}, \qquad p' = -\sum_j \mu_j \sin\frac{j\pi x}{L}, \qquad
\dot\eta_j = \frac{j\pi}{\bar\rho L}\,\mu_j,$$
$$\dot\mu_j = -\frac{j\pi\gamma\bar p}{L}\,\eta_j - \frac{\bar c\,\zeta_j}{L}\,\mu_j
- \frac{2(\gamma - 1)}{L}\,\dot q\,\sin\frac{j\pi x_f}{L}, \qquad \zeta_j = C_1 j^2 + C_2 \sqrt j,$$
$$\dot q = \bar p\,\bar u\,\beta\,
\bigg(\sqrt{\Big|\frac13 + \frac{u'(x_f, t - \tau)}{\bar u}\Big|} - \sqrt{\frac13}\bigg)$$

(Balasubramanian and Sujith 2008, Phys. Fluids 20, 044103; Novoa and Magri 2022, J. Fluid Mech. 948, A35.) The heat
release is King's law of a hot wire, a delay later. The delay is a line along which the velocity at the heater
travels, $\partial_t v = -\partial_s v$ with $v(0, t) = u'(x_f, t)$, known at the points of Chebyshev and read at
$s = \tau$. The energy of the sound obeys Rayleigh's criterion,

$$E = \frac L4 \sum_j \Big(\bar\rho\,\eta_j^2 + \frac{\mu_j^2}{\gamma\bar p}\Big), \qquad
\dot E = \frac{\gamma - 1}{\gamma\bar p}\,\dot q\,p'(x_f)
- \frac{\bar c}{2\gamma\bar p} \sum_j \zeta_j\,\mu_j^2,$$

and small oscillations $e^{\lambda t}$ obey the equation of the delay, with $\omega_j = j\pi\bar c/L$,

$$1 + \frac{\sqrt3\,(\gamma - 1)\,\bar p\,\beta}{\bar\rho L^2}\,e^{-\lambda\tau} \sum_j
\frac{j\pi \sin(j\pi x_f / L) \cos(j\pi x_f / L)}{\lambda^2 + \zeta_j\lambda\bar c / L + \omega_j^2} = 0.$$

A span is cut into `substeps` steps of Runge and Kutta. What is random is added at its end: a white force on a mode
turns through all phases within a few periods, so that pressure and velocity, in units of $\bar\rho\bar c$, have the
same share of it.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpy.typing import NDArray

from assim.integrators import rk4, walked
from assim.statespace import AbstractAdditiveNoise, AbstractNamed, Context, Span
from assim.systems.noising import independent
from assim.types import Array, Complex, Float, Key

TEMPERATURE = 0.2 * 300.0 + 0.8 * 446.5282
"""Of the gas before and after a heater at a fifth of the tube, K."""


class RijkeTube(AbstractAdditiveNoise, AbstractNamed):
    """Modes of velocity and pressure and the line of the delay; microphones read the pressure with an error.

    Args:
        beta: strength of the heater, a number.
        delay: tau, seconds.
        losses: C_1 of the ends and C_2 of the boundary layers, numbers.
        source: x_f, place of the heater, m.
        length: L, m.
        pressure: of the resting gas, Pa.
        density: of the resting gas, kg/m^3.
        velocity: of the mean flow, m/s.
        gamma: ratio of heat capacities.
        gain: what each input adds to beta, shape (input,), per unit of input.
        noise: standard deviation of what a span adds to each mode's pressure, and to its velocity times density and
            speed of sound, Pa per square root of a second.
        error: standard deviation of a microphone's error, Pa.
        begin: standard deviation of the first pressure of each mode, Pa.
        microphones: how many, evenly from the heater to short of the end.
        modes: how many.
        line: points of the line, without its beginning.
        substeps: Runge-Kutta steps in a span.
    """

    beta: Float[Array, ""] | float = 4.0
    delay: Float[Array, ""] | float = 1.5e-3
    losses: Float[Array, "2"] | tuple[float, float] = (0.05, 0.01)
    source: Float[Array, ""] | float = 0.2
    length: Float[Array, ""] | float = 1.0
    pressure: Float[Array, ""] | float = 101_300.0
    density: Float[Array, ""] | float = 101_300.0 / (287.1 * TEMPERATURE)
    velocity: Float[Array, ""] | float = 0.2 * 10.0 + 0.8 * 11.1643
    gamma: Float[Array, ""] | float = 1.4
    gain: Float[Array, " input"] | tuple[float, ...] = ()
    noise: Float[Array, ""] | float = 0.0
    error: Float[Array, ""] | float = 50.0
    begin: Float[Array, ""] | float = 1000.0
    microphones: int = eqx.field(static=True, default=6)
    modes: int = eqx.field(static=True, default=10)
    line: int = eqx.field(static=True, default=10)
    substeps: int = eqx.field(static=True, default=10)

    def init(self, context: Context | None = None, *, key: Key | None = None) -> dist.Distribution:
        """Around rest, each mode by itself; along the line as at the heater."""
        at_heater = jnp.linalg.norm(self._waves(self.source)[0]) / self._impedance()
        sd = self._shares() + jnp.concatenate(
            [jnp.zeros(2 * self.modes), jnp.full(self.line, at_heater)]
        )
        return dist.Normal(jnp.zeros_like(sd), self.begin * sd).to_event(1)

    def drift(self, x: Float[Array, " state"], u: Array | None = None) -> Float[Array, " state"]:
        """dx/dt under the inputs `u` (input,), per second."""
        eta, mu, line = jnp.split(x, [self.modes, 2 * self.modes])
        cosine, sine = self._waves(self.source)
        line = jnp.concatenate([(cosine @ eta)[None], line])
        number, wave = self._numbers()
        ends, layers = self.losses
        loss = self.sound() / self.length * (ends * number**2 + layers * jnp.sqrt(number))
        heat = 2.0 * (self.gamma - 1.0) / self.length * self.heat_release(line[-1], u)
        by_pressure = -wave * self.gamma * self.pressure * eta - loss * mu - heat * sine
        along = -_slopes(self.line)[1:] @ line / self.delay
        return jnp.concatenate([wave / self.density * mu, by_pressure, along])

    def flow(self, x: Array, span: Span, u: Array | None = None) -> Array:
        """The state after `span` without noise, the inputs held through it."""
        return walked(rk4, lambda x: self.drift(x, u), x, span.dt, self.substeps)

    def process_noise(self, x: Array, span: Span) -> dist.Distribution:
        """Independent in each mode, its variance in proportion to the span; none along the line."""
        return independent(self.noise, span, self._shares())

    def observation(
        self,
        x: Array,
        span: Span,
        where: Array | None = None,
        sd: Array | None = None,
        u: Array | None = None,
    ) -> dist.Distribution:
        """The acoustic pressure at the microphones, Pa."""
        _, sine = self._waves(self.positions()[:, None])
        known = 0.0 if sd is None else sd
        seen = -sine @ x[self.modes : 2 * self.modes]
        return dist.Normal(seen, jnp.sqrt(jnp.asarray(self.error) ** 2 + known**2))

    def components(self) -> tuple[str, ...]:
        """The modes of velocity and of pressure, and the velocity along the line."""
        sizes = (("eta", self.modes), ("mu", self.modes), ("late", self.line))
        return tuple(f"{name}{i + 1}" for name, size in sizes for i in range(size))

    def channels(self) -> tuple[str, ...]:
        """The microphones."""
        return tuple(f"p{i + 1}" for i in range(self.microphones))

    def positions(self) -> Float[Array, " channel"]:
        """Where the microphones are, m."""
        share = jnp.arange(self.microphones) / self.microphones
        return self.source + (self.length - self.source) * share

    def strength(self, u: Array | None = None) -> Float[Array, ""]:
        """Beta under the inputs `u` (input,)."""
        gain = jnp.asarray(self.gain, float)
        return jnp.asarray(self.beta) + (gain @ u if u is not None and gain.size else 0.0)

    def sound(self) -> Float[Array, ""]:
        r"""The speed of sound $\bar c = \sqrt{\gamma\bar p / \bar\rho}$, m/s."""
        return jnp.sqrt(self.gamma * self.pressure / jnp.asarray(self.density))

    def heat_release(self, late: Array, u: Array | None = None) -> Float[Array, "..."]:
        r"""$\dot q$ where the velocity at the heater was `late` m/s a delay ago, W/m^2."""
        scale = self.pressure * self.velocity * self.strength(u)
        return scale * (jnp.sqrt(jnp.abs(1.0 / 3.0 + late / self.velocity)) - 3.0**-0.5)

    def energy(self, x: Float[Array, "... state"]) -> Float[Array, "..."]:
        """E of the module's docstring, for each unit of the tube's cross-section.

        Args:
            x: states, shape (..., state), m/s and Pa.

        Returns:
            Shape (...), J/m^2.
        """
        eta, mu = x[..., : self.modes], x[..., self.modes : 2 * self.modes]
        kinetic, potential = self.density * eta**2, mu**2 / (self.gamma * self.pressure)
        return 0.25 * self.length * (kinetic + potential).sum(-1)

    def eigenvalues(self, u: Array | None = None) -> Complex[Array, " state"]:
        """Growth rates and angular frequencies of small oscillations, of the drift's own slope at rest.

        Args:
            u: inputs, shape (input,).

        Returns:
            Shape (state,), 1/s, the fastest growing first. The first few are roots of the equation of the delay;
            those that a line of so few points cannot carry decay fast.
        """
        rest = jnp.zeros(2 * self.modes + self.line)
        found = jnp.linalg.eigvals(jax.jacfwd(lambda x: self.drift(x, u))(rest))
        return found[jnp.argsort(-found.real)]

    def _numbers(self) -> tuple[Array, Array]:
        """j, and j pi / L."""
        number = jnp.arange(1, self.modes + 1, dtype=float)
        return number, jnp.pi * number / self.length

    def _waves(self, at: Array | float) -> tuple[Array, Array]:
        """Cosine and sine of every mode there."""
        phase = self._numbers()[1] * at
        return jnp.cos(phase), jnp.sin(phase)

    def _impedance(self) -> Array:
        return self.density * self.sound()

    def _shares(self) -> Float[Array, " state"]:
        """One pascal in each mode, in the units of each component; nothing along the line."""
        one = jnp.ones(self.modes)
        return jnp.concatenate([one / self._impedance(), one, jnp.zeros(self.line)])


def _slopes(count: int) -> NDArray[np.float64]:
    """What differentiates along [0, 1] the polynomial through `count` + 1 points of Chebyshev, the first at 0."""
    at = 0.5 - 0.5 * np.cos(np.pi * np.arange(count + 1) / count)
    weight = (-1.0) ** np.arange(count + 1)
    weight[[0, -1]] *= 0.5
    apart = at[:, None] - at + np.eye(count + 1)
    slopes = weight / weight[:, None] / apart - np.eye(count + 1)
    return slopes - np.diag(slopes.sum(axis=1))


NOVOA2024_RIJKE = RijkeTube()
"""A metre of tube with its heater at a fifth, beta = 4, tau = 1.5 ms, C_1 = 0.05, C_2 = 0.01, ten modes, a line of
ten points, six microphones: the tube in the published code of Novoa, Racca and Magri (2024). The errors of
microphones and the start are this package's choice."""
NOVOA2024_RIJKE_STEP = 1e-3
"""Ten steps of 0.1 ms; beyond 0.2 ms a step is unstable."""
SUBRAMANIAN2013 = RijkeTube(
    beta=1.0,
    delay=0.45,
    losses=(0.23, 0.06),
    source=0.29,
    length=1.0,
    pressure=0.5,
    density=1.0,
    velocity=1.0,
    gamma=2.0,
    error=0.01,
    begin=0.1,
)
"""Without dimensions: lengths in tubes, velocities in mean flows, times in passages of sound; x_f = 0.29,
tau = 0.45, c_1 = 0.23, c_2 = 0.06 (after Subramanian, Sujith and Wahi 2013, J. Fluid Mech. 715, 210). There the
heat enters as K times King's law; with a density of 1, a pressure of 1/2 and gamma = 2 the sound has speed 1 and
beta is K."""
SUBRAMANIAN2013_STEP = 0.2
"""A tenth of the period of the first mode, in ten steps."""
