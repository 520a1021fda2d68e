r"""The azimuthal pair of an annular combustor: two coupled oscillators, which stand, spin or do both.

$$p(\theta) = \eta_1 \cos\theta + \eta_2 \sin\theta, \qquad
\ddot\eta + \omega^2 \Big(1 + \frac\epsilon2 R_{\Theta_\epsilon}\Big)\eta =
\Big(2\nu + \frac{c_2\beta}2 R_{\Theta_\beta}\Big)\dot\eta
- \frac{3\kappa}4 \big(|\eta|^2\,\dot\eta + 2\,(\eta \cdot \dot\eta)\,\eta\big), \qquad
R_\Theta = \begin{pmatrix} \cos 2\Theta & \sin 2\Theta \\ \sin 2\Theta & -\cos 2\Theta \end{pmatrix}$$

(Faure-Beaulieu, Indlekofer, Dawson and Noiray 2021, J. Fluid Mech. 925, R1; Novoa, Noiray, Dawson and Magri 2024,
arXiv:2404.18793.) The growth rate $\nu$ and its asymmetry round the annulus, $c_2\beta$, are straight lines in the
equivalence ratio. Averaged over a period, small oscillations $e^{\lambda t}$ have

$$\lambda = i\omega + \nu \pm \sqrt{b^2 - e^2 + 2ibe\cos 2(\Theta_\beta - \Theta_\epsilon)}, \qquad
b = \tfrac14 c_2\beta, \quad e = \tfrac14 \omega\epsilon.$$

Without asymmetries the spinning wave $\eta = a\,(\cos\omega t, \sin\omega t)$ of $a^2 = 8\nu/3\kappa$ is exact;
where the two directions are one, the wave that stands along it swings by $\pm\sqrt{32\,(\nu + b)/9\kappa}$. Any
wave has an amplitude $A$, an orientation $\theta_0$ and a nature $\chi$, from standing to spinning,

$$p = A \cos\chi \cos(\theta - \theta_0) \cos\varphi + A \sin\chi \sin(\theta - \theta_0) \sin\varphi$$

(Ghirardo and Bothien 2018, Phys. Rev. Fluids 3, 113202). A span is cut into `substeps` steps of Runge and Kutta.
What is random is added at its end: a white force turns through all phases within a few periods, so that $\eta$ and
$\dot\eta/\omega$ have the same share of it.
"""

import math

import equinox as eqx
import jax.numpy as jnp
import numpyro.distributions as dist

from assim.integrators import rk4, walked
from assim.statespace import AbstractAdditiveNoise, AbstractNamed, Context, Span
from assim.systems.noising import independent
from assim.types import Array, Complex, Float, Key

MICROPHONES = (0, 60, 120, 240)
"""Where they are, degrees round the annulus."""


class AnnularCombustor(AbstractAdditiveNoise, AbstractNamed):
    """Two modes and their rates, (eta_1, d eta_1/dt, eta_2, d eta_2/dt); microphones read them with an error.

    Args:
        equivalence: fuel over air, in units of the stoichiometric mixture.
        growth: slope and offset of the growth rate nu in the equivalence ratio, 1/s.
        asymmetry: slope and offset of c_2 beta, 1/s.
        theta_beta: where growth is fastest, rad.
        omega: angular frequency, rad/s.
        epsilon: asymmetry of the squared frequency, a share.
        theta_epsilon: where the frequency is highest, rad.
        kappa: saturation, per second and squared pascal.
        gain: what each input adds to the equivalence ratio, shape (input,), per unit of input.
        noise: standard deviation of what a span adds to each mode, and omega of it to its rate, Pa per square root
            of a second: a white force of intensity 2 (omega noise)^2.
        error: standard deviation of a microphone's error, Pa.
        begin: standard deviation of each first mode, and omega of it of its rate, Pa.
        substeps: Runge-Kutta steps in a span.
    """

    equivalence: Float[Array, ""] | float = 0.55
    growth: Float[Array, "2"] | tuple[float, float] = (633.77, -331.39)
    asymmetry: Float[Array, "2"] | tuple[float, float] = (258.3, -108.27)
    theta_beta: Float[Array, ""] | float = 0.63
    omega: Float[Array, ""] | float = 2.0 * math.pi * 1090.0
    epsilon: Float[Array, ""] | float = 2.3e-3
    theta_epsilon: Float[Array, ""] | float = 0.66
    kappa: Float[Array, ""] | float = 1.2e-4
    gain: Float[Array, " input"] | tuple[float, ...] = ()
    noise: Float[Array, ""] | float = 0.0
    error: Float[Array, ""] | float = 20.0
    begin: Float[Array, ""] | float = 100.0
    substeps: int = eqx.field(static=True, default=10)

    def init(self, context: Context | None = None, *, key: Key | None = None) -> dist.Distribution:
        """Around rest."""
        return dist.Normal(jnp.zeros(4), self.begin * self._shares()).to_event(1)

    def drift(self, x: Float[Array, "4"], u: Array | None = None) -> Float[Array, "4"]:
        """dx/dt under the inputs `u` (input,), per second."""
        eta, rate = x[::2], x[1::2]
        nu, asymmetry = self.rates(u)
        driven = 2.0 * nu * rate + 0.5 * asymmetry * _reflected(rate, self.theta_beta)
        saturated = 0.75 * self.kappa * ((eta @ eta) * rate + 2.0 * (eta @ rate) * eta)
        spring = eta + 0.5 * self.epsilon * _reflected(eta, self.theta_epsilon)
        force = driven - saturated - jnp.square(self.omega) * spring
        return jnp.stack([rate, force], axis=-1).ravel()

    def flow(self, x: Array, span: Span, u: Array | None = None) -> Array:
        """The state after `span` without noise, the inputs held through it."""
        return walked(rk4, lambda x: self.drift(x, u), x, span.dt, self.substeps)

    def process_noise(self, x: Array, span: Span) -> dist.Distribution:
        """Independent, its variance in proportion to the span."""
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
        angle = jnp.deg2rad(jnp.array(MICROPHONES, float))
        known = 0.0 if sd is None else sd
        seen = x[0] * jnp.cos(angle) + x[2] * jnp.sin(angle)
        return dist.Normal(seen, jnp.sqrt(jnp.asarray(self.error) ** 2 + known**2))

    def components(self) -> tuple[str, ...]:
        """The modes and their rates."""
        return ("eta1", "rate1", "eta2", "rate2")

    def channels(self) -> tuple[str, ...]:
        """The microphones, by their degrees."""
        return tuple(f"p{degrees}" for degrees in MICROPHONES)

    def rates(self, u: Array | None = None) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """The growth rate nu and c_2 beta under the inputs `u` (input,), 1/s."""
        gain, ratio = jnp.asarray(self.gain, float), jnp.asarray(self.equivalence)
        ratio = ratio + (gain @ u if u is not None and gain.size else 0.0)
        nu, asymmetry = (slope * ratio + offset for slope, offset in (self.growth, self.asymmetry))
        return nu, asymmetry

    def eigenvalues(self, u: Array | None = None) -> Complex[Array, "2"]:
        """Growth rates and angular frequencies of small oscillations, averaged over a period.

        Args:
            u: inputs, shape (input,).

        Returns:
            lambda of the module's docstring, shape (2,), 1/s, the faster growing first.
        """
        nu, asymmetry = self.rates(u)
        b, e = 0.25 * asymmetry, 0.25 * self.omega * self.epsilon
        turn = jnp.cos(2.0 * (jnp.asarray(self.theta_beta) - self.theta_epsilon))
        apart = jnp.sqrt(b**2 - e**2 + 2j * b * e * turn)
        return nu + 1j * self.omega + jnp.stack([apart, -apart])

    def wave(
        self, x: Float[Array, "... 4"]
    ) -> tuple[Float[Array, "..."], Float[Array, "..."], Float[Array, "..."]]:
        r"""Amplitude, orientation and nature of the wave, its fast phase aside.

        $$A^2 = \eta^\top\eta + \frac{\dot\eta^\top\dot\eta}{\omega^2}, \qquad
        \sin 2\chi = \frac{2\,(\eta_1\dot\eta_2 - \eta_2\dot\eta_1)}{\omega A^2}, \qquad
        \tan 2\theta_0 = \frac{2\,(\eta_1\eta_2 + \dot\eta_1\dot\eta_2/\omega^2)}
        {\eta_1^2 - \eta_2^2 + (\dot\eta_1^2 - \dot\eta_2^2)/\omega^2}$$

        Args:
            x: states, shape (..., 4), Pa and Pa/s.

        Returns:
            A, Pa. theta_0, rad, within a quarter of a turn of 0. chi, rad: 0 where the wave stands, pi/4 where it
            spins with the angle, -pi/4 against it. Each shape (...).
        """
        eta, rate = x[..., ::2], x[..., 1::2] / self.omega
        one, other = jnp.moveaxis(eta**2 + rate**2, -1, 0)
        along, across = one - other, 2.0 * (eta.prod(-1) + rate.prod(-1))
        turning = 2.0 * (eta[..., 0] * rate[..., 1] - eta[..., 1] * rate[..., 0])
        nature = 0.5 * jnp.arctan2(turning, jnp.hypot(along, across))
        return jnp.sqrt(one + other), 0.5 * jnp.arctan2(across, along), nature

    def _shares(self) -> Float[Array, "4"]:
        """One pascal of a mode, in the units of each component."""
        return jnp.tile(jnp.stack([jnp.ones(()), jnp.asarray(self.omega, float)]), 2)


def _reflected(x: Float[Array, "2"], angle: Array | float) -> Float[Array, "2"]:
    """R x: what of x lies along the angle is kept, what lies across turns its sign."""
    cosine, sine = jnp.cos(2.0 * jnp.asarray(angle)), jnp.sin(2.0 * jnp.asarray(angle))
    return jnp.stack([cosine * x[0] + sine * x[1], sine * x[0] - cosine * x[1]])


NOVOA2024_ANNULAR = AnnularCombustor()
"""1090 Hz, kappa = 1.2e-4, epsilon = 2.3e-3, Theta_beta = 0.63, Theta_epsilon = 0.66, nu = 633.77 ER - 331.39 and
c_2 beta = 258.3 ER - 108.27: the calibration to a rig in the published code of Novoa, Noiray, Dawson and Magri
(2024), which begins to oscillate near ER = 0.513. The ratio of 0.55, the errors of microphones and the start are
this package's choice."""
NOVOA2024_ANNULAR_STEP = 10.0 / 51_200.0
"""Ten steps at the sampling rate of the rig."""
