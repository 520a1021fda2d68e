r"""Generators without a network: what a score must be held against before it says anything.

- `resampled`: the real windows themselves, drawn with replacement. What it scores is the floor, and all that a
  model which memorises can reach.
- `gaussian_copula`: all values of a window, $x \in \mathbb R^{T d}$, with their own marginals $F_i$ and the
  correlations $R$ of their normal scores: $x_i = F_i^{-1}(\Phi(z_i))$, $z \sim \mathcal N(0, R)$.
- `gaussian`: $x \sim \mathcal N(\mu, \Sigma)$ with the moments of the windows.
- `var1`: $x_{t+1} = c + A x_t + e_t$, $e_t \sim \mathcal N(0, Q)$, the same at all steps, by least squares over all
  pairs of steps, from $x_1$ with the moments of first steps.

None of them was trained, so that a model which does not beat them has learned nothing that the score can see.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from assim.types import Array, Key


def resampled(real: np.ndarray, num: int, *, key: Key) -> np.ndarray:
    """Draw real windows with replacement.

    Args:
        real: shape (windows, time, channel), any units.
        num: how many.
        key: draws them.

    Returns:
        Shape (num, time, channel), the same units.
    """
    return real[np.asarray(jax.random.randint(key, (num,), 0, len(real)))]


def gaussian_copula(real: np.ndarray, num: int, *, key: Key) -> np.ndarray:
    """Draw windows with the marginals of every step and channel, joined by a Gaussian copula.

    Args:
        real: shape (windows, time, channel), any units.
        num: how many.
        key: draws them.

    Returns:
        Shape (num, time, channel), the same units: at every step and channel only values that are real there.
    """
    from scipy.special import ndtr, ndtri
    from scipy.stats import rankdata

    flat = real.reshape(len(real), -1)
    scores = ndtri(rankdata(flat, axis=0) / (len(flat) + 1))
    spread = scores.std(axis=0)
    scores /= np.where(spread > 0, spread, 1.0)
    drawn = _normal(np.zeros(flat.shape[1]), np.cov(scores, rowvar=False, ddof=0), num, key=key)
    ranks = np.clip((ndtr(drawn) * len(flat)).astype(int), 0, len(flat) - 1)
    return np.take_along_axis(np.sort(flat, axis=0), ranks, axis=0).reshape(num, *real.shape[1:])


def gaussian(real: np.ndarray, num: int, *, key: Key) -> np.ndarray:
    """Draw windows from the Gaussian with the mean and covariance of all values of a window.

    Args:
        real: shape (windows, time, channel), any units.
        num: how many.
        key: draws them.

    Returns:
        Shape (num, time, channel), the same units.
    """
    flat = real.reshape(len(real), -1)
    drawn = _normal(flat.mean(axis=0), np.cov(flat, rowvar=False), num, key=key)
    return drawn.reshape(num, *real.shape[1:])


def var1(real: np.ndarray, num: int, *, key: Key) -> np.ndarray:
    """Draw windows from a vector autoregression of order one that is the same at all steps.

    Args:
        real: shape (windows, time, channel), any units.
        num: how many.
        key: draws them.

    Returns:
        Shape (num, time, channel), the same units.
    """
    length, channels = real.shape[1:]
    now, then = real[:, :-1].reshape(-1, channels), real[:, 1:].reshape(-1, channels)
    with_one = np.hstack([np.ones((len(now), 1)), now])
    weights = np.linalg.lstsq(with_one, then, rcond=None)[0]
    noise = np.cov(then - with_one @ weights, rowvar=False).reshape(channels, channels)
    k_first, k_noise = jax.random.split(key)
    first = np.cov(real[:, 0], rowvar=False).reshape(channels, channels)
    begun = jnp.asarray(_normal(real[:, 0].mean(axis=0), first, num, key=k_first))
    pushed = _normal(np.zeros(channels), noise, num * (length - 1), key=k_noise) + weights[0]

    def step(x: Array, push: Array) -> tuple[Array, Array]:
        x = x @ weights[1:] + push
        return x, x

    _, later = jax.lax.scan(step, begun, jnp.asarray(pushed.reshape(length - 1, num, channels)))
    return np.asarray(jnp.concatenate([begun[None], later]).swapaxes(0, 1), dtype=float)


def _normal(mean: np.ndarray, covariance: np.ndarray, num: int, *, key: Key) -> np.ndarray:
    """Draws of a Gaussian, whose covariance may be singular: (num, feature)."""
    sizes, axes = np.linalg.eigh(np.atleast_2d(covariance))
    white = np.asarray(jax.random.normal(key, (num, mean.size)), dtype=float)
    return mean + white @ (axes * np.sqrt(np.maximum(sizes, 0.0))).T
