r"""A diffusion between two ends: what it was on the way, given where it started and where it is read.

The first leg leads to $x_t \sim \mathcal N(m, S)$; the second leads on from m to $m_1$ with slope $\Phi$ and noise
$S_2$, and there y is read with error R. To the first order in the noise

$$x_t \mid y \sim \mathcal N\big(m + G (y - m_1),\ S - G \Phi S\big), \qquad
G = S \Phi^\top (\Phi S \Phi^\top + S_2 + R)^{-1}$$

(Saerkkae 2013, section 8.2), exact where the drift is linear and the volatility constant. No covariance is inverted
or subtracted: of the triangular root of reading and state together,

$$\begin{pmatrix} \Phi S^{1/2} & (S_2 + R)^{1/2} \\ S^{1/2} & 0 \end{pmatrix} Q =
\begin{pmatrix} L_y & 0 \\ L_{xy} & L_x \end{pmatrix}, \qquad
G = L_{xy} L_y^{-1}, \qquad S - G \Phi S = L_x L_x^\top$$

and a direction in which the reading cannot vary tells nothing.
"""

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

from assim.linalg import mask_root, tria
from assim.nn.linear_noise import Field, Leg, linear_noise
from assim.types import Array, Bool, Float, Key


def bridged(
    first: Leg,
    second: Leg,
    y: Float[Array, " d"],
    error: Float[Array, "d d"],
    mask: Bool[Array, " d"] | None = None,
) -> tuple[Float[Array, " d"], Float[Array, "d d"]]:
    """What a diffusion was at the end of the first leg, given that it is read at the end of the second.

    Args:
        first: from the start, with the covariance of the start.
        second: on from `first.mean`, with covariance 0 there.
        y: what is read, shape (d,), units of the state.
        error: R, its covariance, shape (d, d).
        mask: True where a coordinate is read, shape (d,); None for all.

    Returns:
        Mean, shape (d,), units of the state, and covariance, shape (d, d).
    """
    mean, root = _given(first, second, y, error, mask)
    return mean, root @ root.T


def path_between(
    drift: Field,
    volatility: Field,
    x: Float[Array, " d"],
    cov: Float[Array, "d d"],
    y: Float[Array, " d"],
    error: Float[Array, "d d"],
    times: Float[Array, " time"],
    span: Float[Array, ""] | float,
    *,
    steps: int,
    key: Key,
    mask: Bool[Array, " d"] | None = None,
    second: bool = False,
) -> Float[Array, "time d"]:
    """A draw of the way from one end to the other: each place given the one before it and the reading ahead.

    Args:
        drift: b, (d,) to (d,), units of the state over that of time.
        volatility: g, (d,) to (d, noise), units of the state over the root of that of time.
        x: mean of the start, shape (d,), units of the state.
        cov: covariance of the start, shape (d, d); 0 where it is known.
        y: what is read at the end, shape (d,), units of the state.
        error: R, its covariance, shape (d, d).
        times: since the start, none before the one ahead of it and none beyond the span, shape (time,).
        span: time from the start to the reading, shape ().
        steps: into how many each leg is cut; static.
        key: of the draw.
        mask: True where a coordinate is read, shape (d,); None for all.
        second: whether the mean feels the spread; static.

    Returns:
        Shape (time, d), units of the state.
    """

    def step(held: tuple[Array, Array, Array], at: tuple) -> tuple[tuple, Array]:
        (x, cov, now), (then, key) = held, at
        law = (drift, volatility)
        first = linear_noise(*law, x, cov, then - now, steps=steps, second=second)
        rest = onward(*law, first.mean, first.cov, span - then, steps=steps, second=second)
        mean, root = _given(first, rest, y, error, mask)
        there = mean + root @ jax.random.normal(key, root.shape[1:], root.dtype)
        return (there, jnp.zeros_like(cov), then), there

    keys = jax.random.split(key, times.shape[0])
    return jax.lax.scan(step, (x, cov, jnp.zeros((), times.dtype)), (times, keys))[1]


def onward(
    drift: Field,
    volatility: Field,
    x: Float[Array, " d"],
    cov: Float[Array, "d d"],
    dt: Float[Array, ""] | float,
    *,
    steps: int,
    second: bool,
) -> Leg:
    """The leg on from a place that is known, with the mean that it has from one that is spread.

    Args:
        drift: b, (d,) to (d,), units of the state over that of time.
        volatility: g, (d,) to (d, noise), units of the state over the root of that of time.
        x: mean of the start, shape (d,), units of the state.
        cov: its covariance, shape (d, d), which the mean feels and the covariance of the leg does not hold.
        dt: the span, shape ().
        steps: into how many it is cut; static.
        second: whether the mean feels the spread; static.
    """
    leg = linear_noise(drift, volatility, x, jnp.zeros_like(cov), dt, steps=steps)
    if not second:
        return leg
    felt = linear_noise(drift, volatility, x, cov, dt, steps=steps, second=True)
    return Leg(felt.mean, leg.cov, leg.slope)


def _given(
    first: Leg, second: Leg, y: Array, error: Array, mask: Array | None
) -> tuple[Array, Array]:
    """Mean and a root, of shape (d, 2 d), of the covariance."""
    size, slope, apart = y.shape[0], second.slope, y - second.mean
    root, noise = _root(first.cov), _root(second.cov + error)
    if mask is not None:
        slope, apart = mask[:, None] * slope, jnp.where(mask, apart, 0.0)
        noise = mask_root(noise, mask)
    both = tria(jnp.block([[slope @ root, noise], [root, jnp.zeros_like(root)]]))
    across, (read, gain) = both[size:, size:], (both[:size, :size], both[size:, :size])
    eps = jnp.finfo(both.dtype).eps
    told = jnp.diagonal(read) > 10.0 * eps * jnp.linalg.norm(read, axis=1)
    read = jnp.where(told, read, jnp.diag(1.0 * ~told))
    shift = jnp.where(told, gain, 0.0) @ solve_triangular(read, apart, lower=True)
    return first.mean + shift, jnp.concatenate([across, jnp.where(told, 0.0, gain)], axis=1)


def _root(cov: Array) -> Array:
    """A root of a covariance that may be singular, each component in its own unit."""
    scale = jnp.sqrt(jnp.maximum(jnp.diagonal(cov), 0.0))
    unit = jnp.where(scale > 0, scale, 1.0)
    values, vectors = jnp.linalg.eigh(cov / (unit[:, None] * unit))
    return scale[:, None] * vectors * jnp.sqrt(jnp.maximum(values, 0.0))
