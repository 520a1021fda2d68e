r"""Paths of full length through every sample of every snapshot.

$$\dots \xleftarrow{\ b^-_{k-2}\ } x \xleftarrow{\ b^-_{k-1}\ } x_k^{(i)} \xrightarrow{\ b^+_k\ } x
\xrightarrow{\ b^+_{k+1}\ } \dots$$

(Shen, Berlinghieri and Broderick 2025, arXiv 2408.06277.) From a sample the fitted drifts lead forward to the last
time and backward to the first, so that each snapshot is met exactly by its own paths and nearly by the others.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from assim.models.bridge.published.half_bridge import Euler, RegressedDrift
from assim.models.bridge.published.ipml import TwoWays
from assim.types import Array, Float, Int, Key


def joined(
    bridges: TwoWays,
    x: Float[Array, "snapshot sample coordinate"],
    steps: tuple[int, ...],
    euler: Euler,
    *,
    key: Key,
) -> Float[Array, "path step coordinate"]:
    """A path through each sample, at all steps.

    Args:
        bridges: drifts of each interval in both directions, leaves (interval, ...).
        x: samples, shape (snapshot, sample, coordinate).
        steps: of each interval.
        euler: how paths are stepped.
        key: of the noise.
    """
    anchor = jnp.repeat(jnp.arange(x.shape[0]), x.shape[1])
    start = x.reshape(-1, x.shape[-1])
    k = np.repeat(np.arange(len(steps)), steps)
    gone = np.concatenate([np.arange(count) for count in steps])
    # going back starts from the last step of all, whose own clock says 0
    back, left = k[::-1], (np.asarray(steps)[k] - gone - 1)[::-1]

    to_last, to_first = jax.random.split(key)
    ahead = _run(bridges.forward, start, lambda k: anchor <= k, k, gone, euler, key=to_last)
    behind = _run(bridges.backward, start, lambda k: anchor > k, back, left, euler, key=to_first)
    met = jnp.asarray(np.append(0, np.cumsum(steps)))[anchor]
    later = jnp.arange(k.size + 1)[:, None] >= met
    return jnp.where(later[..., None], ahead, behind[::-1]).swapaxes(0, 1)


def _run(
    drifts: RegressedDrift,
    start: Float[Array, "path coordinate"],
    moving: Callable[[Int[Array, ""]], Array],
    interval: np.ndarray,
    clock: np.ndarray,
    euler: Euler,
    *,
    key: Key,
) -> Float[Array, "step path coordinate"]:
    """Where paths start and are after each step, those that do not move yet where they start."""

    def step(x: Array, at: tuple[Array, Array, Key]) -> tuple[Array, Array]:
        k, m, key = at
        drift = jax.tree.map(lambda part: part[k], drifts)
        x = jnp.where(moving(k)[:, None], euler.moved(drift, x, m * euler.dt, key=key), x)
        return x, x

    at = (jnp.asarray(interval), jnp.asarray(clock), jax.random.split(key, interval.size))
    return jnp.concatenate([start[None], jax.lax.scan(step, start, at)[1]])
