r"""Half-bridges: a diffusion is simulated from one end, and its drift in the other direction is regressed.

$$x_{m+1} = x_m + b(x_m, t_m)\,\Delta + \sigma\sqrt\Delta\, e_m, \qquad
\frac{x_m - x_{m+1}}{\Delta} = b'(u_{m+1}) + \mathcal N\Big(0, \frac{\sigma^2}{\Delta}\Big), \quad
u_m = (x_m,\ T - t_m)$$
$$b' \sim \mathcal{GP}(0, k), \quad k(u, v) = \tfrac1\Delta\, e^{-\|u - v\|}, \qquad
b'(u) = k(u, U)\,\alpha, \quad \big(k(U, U) + \tfrac{\sigma^2}{\Delta} I\big)\,\alpha = V$$

(Vargas, Thodoroff, Lamacraft and Lawrence 2021; kernel and noise as Shen, Berlinghieri and Broderick 2025, arXiv
2408.06277, set them.) Each direction has a clock of its own that starts at 0 where its paths start; the regression
is exact, by one Cholesky factor of all N points of all paths, which all coordinates share.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_solve

from assim.types import Array, Float, Int, Key, Scalar

type Drift = Callable[[Float[Array, "particle coordinate"], Scalar], Array]
"""From positions and the time on the clock of a direction to velocities."""


class Euler(eqx.Module):
    r"""How diffusions are stepped and regressed.

    Args:
        sigma: volatility, the same for all coordinates, units of a coordinate over the root of time.
        dt: $\Delta$, units of time.
        most: steps that a path between two populations has room for.
    """

    sigma: Scalar
    dt: Scalar
    most: int = eqx.field(static=True)

    def moved(
        self, drift: Drift, x: Float[Array, "particle coordinate"], t: Scalar, *, key: Key
    ) -> Array:
        """Positions a step later."""
        noise = self.sigma * jnp.sqrt(self.dt) * jax.random.normal(key, x.shape, x.dtype)
        return x + self.dt * drift(x, t) + noise


class Cloud(eqx.Module):
    """A population at one time.

    Args:
        x: positions, shape (sample, coordinate).
        weight: of each sample, shape (sample,); 0 for padding.
    """

    x: Float[Array, "sample coordinate"]
    weight: Float[Array, " sample"]


class RegressedDrift(eqx.Module):
    """The mean of a Gaussian process that was told velocities.

    Args:
        points: where they were told and when, time last, shape (point, coordinate + 1).
        alpha: shape (point, coordinate), units of time over those of a coordinate.
        variance: of the process before it was told, squared units of velocity.
    """

    points: Float[Array, "point place"]
    alpha: Float[Array, "point coordinate"]
    variance: Scalar

    def __call__(self, x: Float[Array, "particle coordinate"], t: Scalar) -> Array:
        """Velocities at a time."""
        at = jnp.concatenate([x, jnp.full((x.shape[0], 1), t, x.dtype)], axis=1)
        return self.variance * similarity(at, self.points) @ self.alpha


def similarity(u: Float[Array, "n place"], v: Float[Array, "m place"]) -> Float[Array, "n m"]:
    r"""$e^{-\|u_i - v_j\|}$, by differences: what inner products leave of a short distance is rounding error.

    Args:
        u: shape (n, place).
        v: shape (m, place).

    Returns:
        Shape (n, m).
    """
    square = jnp.zeros((u.shape[0], v.shape[0]), u.dtype)
    for a, b in zip(
        u.T, v.T, strict=True
    ):  # one sweep over the matrix, where a sum over an axis would be slow
        square += (a[:, None] - b) ** 2
    return jnp.exp(-jnp.sqrt(square))


def regressed(
    points: Float[Array, "point place"],
    velocity: Float[Array, "point coordinate"],
    weight: Float[Array, " point"],
    *,
    variance: Scalar,
    noise: Scalar,
) -> RegressedDrift:
    r"""The drift that velocities tell, those of weight w with the noise of w of them.

    $$\alpha = W^{1/2}\big(W^{1/2} k(U, U) W^{1/2} + \text{noise}\, I\big)^{-1} W^{1/2} V$$

    Args:
        points: where and when, shape (point, coordinate + 1).
        velocity: V, shape (point, coordinate).
        weight: W, shape (point,); what weighs 0 tells nothing.
        variance: of the process, squared units of velocity.
        noise: variance of a velocity of weight 1 around its drift.
    """
    root, count = jnp.sqrt(weight), points.shape[0]
    told = variance * root[:, None] * root * similarity(points, points)
    chol = jax.lax.linalg.cholesky(
        told + noise * jnp.eye(count, dtype=told.dtype), symmetrize_input=False
    )
    alpha = root[:, None] * cho_solve((chol, True), root[:, None] * velocity)
    return RegressedDrift(points, alpha, variance)


def simulated(
    drift: Drift,
    start: Float[Array, "particle coordinate"],
    steps: Int[Array, ""],
    euler: Euler,
    *,
    key: Key,
) -> Float[Array, "step particle coordinate"]:
    """Paths from one end to the other.

    Args:
        drift: of this direction.
        start: where they start.
        steps: how many steps they take; behind the last of them they stand still.
        euler: how it is stepped.
        key: of the noise.

    Returns:
        Positions at all steps and where they started, shape (most + 1, particle, coordinate).
    """

    def step(x: Array, at: tuple[Array, Key]) -> tuple[Array, Array]:
        m, key = at
        x = jnp.where(m < steps, euler.moved(drift, x, m * euler.dt, key=key), x)
        return x, x

    path = jax.lax.scan(step, start, (jnp.arange(euler.most), jax.random.split(key, euler.most)))[1]
    return jnp.concatenate([start[None], path])


def turned(
    path: Float[Array, "step particle coordinate"], steps: Int[Array, ""], euler: Euler
) -> tuple[Array, Array, Array]:
    """Paths as the other direction sees them: where and when, with what velocity, and whether at all.

    Args:
        path: shape (most + 1, particle, coordinate).
        steps: how many of them count.
        euler: how they were stepped.

    Returns:
        Points (point, coordinate + 1), velocities (point, coordinate) and 1 or 0 (point,), particles running
        fastest.
    """
    m = jnp.arange(1, path.shape[0])
    count, size = path.shape[1:]
    clock = jnp.broadcast_to((euler.dt * (steps - m))[:, None, None], (m.size, count, 1))
    points = jnp.concatenate([path[1:], clock.astype(path.dtype)], axis=-1)
    velocity = (path[:-1] - path[1:]) / euler.dt
    seen = jnp.repeat((m <= steps).astype(path.dtype), count)
    return points.reshape(-1, size + 1), velocity.reshape(-1, size), seen


def half_bridge(
    drift: Drift, start: Cloud, steps: Int[Array, ""], euler: Euler, *, key: Key
) -> tuple[RegressedDrift, Float[Array, "sample coordinate"]]:
    """The drift of the other direction, and where the paths of this one ended.

    Args:
        drift: of this direction.
        start: the population at the end that paths start from.
        steps: between both ends.
        euler: how paths are stepped and regressed.
        key: of the noise.
    """
    path = simulated(drift, start.x, steps, euler, key=key)
    points, velocity, seen = turned(path, steps, euler)
    weight = seen * jnp.tile(start.weight, seen.size // start.weight.size)
    variance, noise = 1.0 / euler.dt, euler.sigma**2 / euler.dt
    told = regressed(points, velocity, weight, variance=variance, noise=noise)
    return told, path[-1]
