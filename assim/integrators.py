r"""One step of a differential equation: Runge-Kutta, Euler-Maruyama and exponential time differencing.

For solvers with error control, events or implicit steps take a library (diffrax); these are the fixed
steps that a state-space model repeats inside `lax.scan`.
"""

from collections.abc import Callable
from math import factorial

import jax
import jax.numpy as jnp

from assim.types import Array, Float

type Drift = Callable[[Array], Array]


def rk4(drift: Drift, x: Array, dt: Float[Array, ""] | float) -> Array:
    r"""The classical fourth-order Runge-Kutta step of $\dot x = f(x)$; error $O(\Delta t^5)$ a step.

    Args:
        drift: f, in units of x per second.
        x: state, any shape.
        dt: step, seconds.

    Returns:
        The state after `dt`.
    """
    k1 = drift(x)
    k2 = drift(x + 0.5 * dt * k1)
    k3 = drift(x + 0.5 * dt * k2)
    k4 = drift(x + dt * k3)
    return x + dt / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)


def walked(
    method: Callable[[Drift, Array, Array], Array], drift: Drift, x: Array, dt: Array, steps: int
) -> Array:
    """The state after `dt` in equal steps of a method.

    Args:
        method: one step, such as `rk4`.
        drift: f, in units of x per second.
        x: state, any shape.
        dt: the whole way, seconds.
        steps: number of steps; static.
    """
    h = dt / steps
    if steps == 1:
        return method(drift, x, h)
    return jax.lax.fori_loop(0, steps, lambda _, x: method(drift, x, h), x)


def euler_maruyama(
    drift: Drift, diffusion: Array | float, x: Array, dt: Float[Array, ""] | float, noise: Array
) -> Array:
    r"""The Euler-Maruyama step $x + f(x)\,\Delta t + \sigma\sqrt{\Delta t}\,\varepsilon$ of an SDE.

    Args:
        drift: f, in units of x per second.
        diffusion: sigma, broadcastable to x, in units of x per square root of a second.
        x: state, any shape.
        dt: step, seconds.
        noise: standard normal, the shape of x.

    Returns:
        The state after `dt`.
    """
    return x + drift(x) * dt + diffusion * jnp.sqrt(dt) * noise


def etd2rk(linear: Array, nonlinear: Drift, x: Array, dt: Float[Array, ""] | float) -> Array:
    r"""Second-order exponential time differencing of $\dot x = \lambda x + N(x)$, exact in the linear part.

    With $z = \lambda\Delta t$, $a = e^{z} x + \Delta t\,\varphi_1(z) N(x)$ and the step
    $a + \Delta t\,\varphi_2(z)\,(N(a) - N(x))$ (Cox and Matthews 2002, eq. 22).

    Args:
        linear: lambda, elementwise, shape of x (real or complex), per second.
        nonlinear: N, in units of x per second.
        x: state.
        dt: step, seconds.

    Returns:
        The state after `dt`.
    """
    z = linear * dt
    at_x = nonlinear(x)
    a = jnp.exp(z) * x + dt * _phi(1, z) * at_x
    return a + dt * _phi(2, z) * (nonlinear(a) - at_x)


def etdrk4(linear: Array, nonlinear: Drift, x: Array, dt: Float[Array, ""] | float) -> Array:
    r"""Fourth-order exponential time differencing of $\dot x = \lambda x + N(x)$, exact in the linear part.

    With $z = \lambda\Delta t$ and $\psi = \tfrac12\Delta t\,\varphi_1(z/2)$ (Cox and Matthews 2002, eq. 26-29),

    $$a = e^{z/2} x + \psi N(x), \quad b = e^{z/2} x + \psi N(a), \quad
    c = e^{z/2} a + \psi\,(2 N(b) - N(x)),$$
    $$x' = e^{z} x + \Delta t\,\big[(\varphi_1 - 3\varphi_2 + 4\varphi_3)\,N(x)
    + (2\varphi_2 - 4\varphi_3)\,(N(a) + N(b)) + (4\varphi_3 - \varphi_2)\,N(c)\big].$$

    Args:
        linear: lambda, elementwise, shape of x (real or complex), per second.
        nonlinear: N, in units of x per second.
        x: state.
        dt: step, seconds.

    Returns:
        The state after `dt`.
    """
    z = linear * dt
    half, psi = jnp.exp(z / 2.0), 0.5 * dt * _phi(1, z / 2.0)
    at_x = nonlinear(x)
    a = half * x + psi * at_x
    at_a = nonlinear(a)
    at_b = nonlinear(half * x + psi * at_a)
    at_c = nonlinear(half * a + psi * (2.0 * at_b - at_x))
    one, two, three = (_phi(order, z) for order in (1, 2, 3))
    start, middle, end = one - 3.0 * two + 4.0 * three, 2.0 * two - 4.0 * three, 4.0 * three - two
    return jnp.exp(z) * x + dt * (start * at_x + middle * (at_a + at_b) + end * at_c)


def _phi(order: int, z: Array) -> Array:
    r"""$\varphi_1 = (e^z - 1)/z$, $\varphi_{j+1} = (\varphi_j - 1/j!)/z$; near zero $\sum_k z^k/(k+j)!$."""
    small = jnp.abs(z) < 1.0
    near, far = jnp.where(small, z, 0.0), jnp.where(small, 1.0, z)
    series = 1.0 / factorial(17 + order) * jnp.ones_like(near)
    for k in reversed(range(17)):
        series = series * near + 1.0 / factorial(k + order)
    closed = jnp.expm1(far) / far
    for j in range(1, order):
        closed = (closed - 1.0 / factorial(j)) / far
    return jnp.where(small, series, closed)
