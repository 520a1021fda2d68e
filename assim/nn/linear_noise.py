r"""Moments of a diffusion to the first order in its noise: the linear noise approximation.

Of $dX = b(X)\,dt + g(X)\,dW$ with $X_0 \sim \mathcal N(x, S_0)$, about the path of the mean,

$$\dot m = b(m), \qquad \dot \Phi = A \Phi, \qquad \dot S = A S + S A^\top + g g^\top, \qquad
\dot\ell = -\lambda(m), \qquad A = \partial b / \partial x$$

(van Kampen 2007, chapter X; Komorowski et al. 2009), exact where b is linear and g constant; $\ell$ is the log of
the share that a hazard $\lambda$ spares. Means go by Runge-Kutta. Covariances go by the rule of Simpson, the middle
of a step h by the cubic of Hermite, for m as for the propagator $\Psi_s = \Phi_h \Phi_s^{-1}$:

$$m_{h/2} = \frac{m_0 + m_h}{2} + \frac h8 (b_0 - b_h), \qquad
\Psi_{h/2} = \frac{I + \Phi_h}{2} + \frac h8 (A_h - \Phi_h A_0)$$
$$S_h = \Phi_h S_0 \Phi_h^\top
+ \frac h6 \big(\Phi_h g_0 g_0^\top \Phi_h^\top + 4\,\Psi_{h/2}\, g g^\top \Psi_{h/2}^\top + g_h g_h^\top\big)$$

of the fourth order like the means, and a sum of squares, so that no covariance loses its definiteness. To the
second order the mean feels the spread,

$$\dot m = b(m) + \tfrac12 \textstyle\sum_{jk} S_{jk}\,\partial_j \partial_k b(m),$$

as it does exactly where b is quadratic; the term goes by the rule of the trapezium.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp

from assim.integrators import rk4
from assim.types import Array, Float

type Field = Callable[[Array], Array]


class Leg(eqx.Module):
    """Where a diffusion is after a span, as a Gaussian.

    Args:
        mean: m, shape (d,), units of the state.
        cov: S, shape (d, d), their products.
        slope: Phi, how the mean hangs on the start, shape (d, d).
        log_mass: logarithm of the share that survived, shape ().
    """

    mean: Float[Array, " d"]
    cov: Float[Array, "d d"]
    slope: Float[Array, "d d"]
    log_mass: Float[Array, ""] | float = 0.0


def linear_noise(
    drift: Field,
    volatility: Field,
    x: Float[Array, " d"],
    cov: Float[Array, "d d"],
    dt: Float[Array, ""] | float,
    *,
    steps: int,
    hazard: Field | None = None,
    second: bool = False,
) -> Leg:
    """The Gaussian that a diffusion is after a span.

    Args:
        drift: b, (d,) to (d,), units of the state over that of time.
        volatility: g, (d,) to (d, noise), units of the state over the root of that of time.
        x: mean of the start, shape (d,), units of the state.
        cov: covariance of the start, shape (d, d); 0 where it is known.
        dt: the span, shape (), any unit of time; 0 leaves all as it is.
        steps: into how many the span is cut; static.
        hazard: lambda, (d,) to (), deaths over time; None for no death.
        second: whether the mean feels the spread; static.
    """
    h, eye = dt / steps, jnp.eye(x.shape[0], dtype=x.dtype)

    def told(x: Array) -> tuple[Array, Array, Array, Array]:
        rate = jnp.zeros((), x.dtype) if hazard is None else hazard(x)
        return drift(x), jax.jacfwd(drift)(x), volatility(x), rate

    def step(held: tuple[Leg, tuple], _: None) -> tuple[tuple[Leg, tuple], None]:
        leg, (b0, a0, g0, rate0) = held
        mean = rk4(drift, leg.mean, h)
        b1, a1, g1, rate1 = ahead = told(mean)
        am, gm, rate = told(0.5 * (leg.mean + mean) + h / 8.0 * (b0 - b1))[1:]
        k2 = am @ (eye + 0.5 * h * a0)
        k3 = am @ (eye + 0.5 * h * k2)
        phi = eye + h / 6.0 * (a0 + 2.0 * k2 + 2.0 * k3 + a1 @ (eye + h * k3))
        psi = 0.5 * (eye + phi) + h / 8.0 * (a1 - phi @ a0)
        gained = jnp.concatenate([phi @ g0, 2.0 * psi @ gm, g1], axis=1)
        cov = phi @ leg.cov @ phi.T + h / 6.0 * gained @ gained.T
        if second:
            mean += 0.5 * h * (_bent(drift, leg.mean, leg.cov) + _bent(drift, mean, cov))
            ahead = told(mean)
        here = Leg(
            mean,
            cov,
            phi @ leg.slope,
            leg.log_mass - h / 6.0 * (rate0 + 4.0 * rate + rate1),
        )
        return (here, ahead), None

    start = Leg(x, cov, eye, jnp.zeros((), x.dtype))
    # a slope runs through each step again rather than keep all that a drift computes on its way
    return jax.lax.scan(jax.checkpoint(step), (start, told(x)), None, steps)[0][0]


def _bent(drift: Field, x: Array, cov: Array) -> Array:
    """By how much a drift is on average beside what it is at the mean."""

    def along(direction: Array, row: Array) -> Array:
        slope = jax.jvp(jax.jacfwd(drift), (x,), (direction,))[1]
        return slope @ row

    return 0.5 * jax.vmap(along)(jnp.eye(x.size, dtype=x.dtype), cov).sum(axis=0)


def composed(first: Leg, second: Leg) -> Leg:
    r"""The leg over two spans: $m_2$, $S_2 + \Phi_2 S_1 \Phi_2^\top$, $\Phi_2 \Phi_1$, $\ell_1 + \ell_2$.

    Args:
        first: from the start.
        second: on from `first.mean`, with covariance 0 there.
    """
    return Leg(
        second.mean,
        second.cov + second.slope @ first.cov @ second.slope.T,
        second.slope @ first.slope,
        first.log_mass + second.log_mass,
    )
