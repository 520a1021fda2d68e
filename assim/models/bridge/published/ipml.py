r"""The Schrödinger bridge of two populations, by iterated half-bridges.

$$b^- \leftarrow \text{half-bridge}(b_\theta, X_0), \qquad
b^+ \leftarrow \text{half-bridge}(b^-, X_1), \quad b^- \leftarrow \text{half-bridge}(b^+, X_0), \quad
b^+ \leftarrow \dots$$

(Vargas, Thodoroff, Lamacraft and Lawrence 2021, "iterative proportional maximum likelihood".) The reference enters
through the first simulation only: later half-bridges know of it what drifts that were fitted kept of it.
"""

import equinox as eqx
import jax
import jax.numpy as jnp

from assim.models.bridge.published.half_bridge import (
    Cloud,
    Drift,
    Euler,
    RegressedDrift,
    half_bridge,
)
from assim.types import Array, Float, Int, Key


class Interval(eqx.Module):
    """Two populations and what lies between them.

    Args:
        start: the earlier.
        end: the later, with as many samples, padding counted.
        steps: Euler steps between them, shape ().
    """

    start: Cloud
    end: Cloud
    steps: Int[Array, ""]


class TwoWays(eqx.Module):
    """A diffusion by its drifts in both directions, each on its own clock.

    Args:
        forward: from the earlier population to the later.
        backward: from the later to the earlier.
    """

    forward: RegressedDrift
    backward: RegressedDrift


def matched(
    interval: Interval,
    reference: Drift,
    euler: Euler,
    iterations: int,
    followed: int,
    *,
    key: Key,
) -> tuple[TwoWays, Float[Array, " iteration"]]:
    """The diffusion between two populations that is nearest to a reference.

    Args:
        interval: the populations.
        reference: drift of the reference.
        euler: how paths are stepped.
        iterations: of two half-bridges, after the first one.
        followed: samples that a half-bridge starts from, drawn for each where that is not all.
        key: of draws and noise.

    Returns:
        Both drifts, and how far the mean of the paths forward ended from that of the later population, shape
        (iteration,), units of a coordinate.
    """

    def half(drift: Drift, start: Cloud, key: Key) -> tuple[RegressedDrift, Cloud]:
        to_draw, to_move = jax.random.split(key)
        start = drawn(start, followed, key=to_draw)
        told, end = half_bridge(drift, start, interval.steps, euler, key=to_move)
        return told, Cloud(end, start.weight)

    def once(both: TwoWays, key: Key) -> tuple[TwoWays, Array]:
        to_start, to_end = jax.random.split(key)
        forward, _ = half(both.backward, interval.end, to_start)
        backward, reached = half(forward, interval.start, to_end)
        return TwoWays(forward, backward), _apart(reached, interval.end)

    first, later = jax.random.split(key)
    backward, _ = half(reference, interval.start, first)
    return jax.lax.scan(once, TwoWays(backward, backward), jax.random.split(later, iterations))


def drawn(cloud: Cloud, count: int, *, key: Key) -> Cloud:
    """Some of a population, none of them twice, padding last.

    Args:
        cloud: the population.
        count: how many; all are left as they are.
        key: of the draw.
    """
    if count == cloud.weight.size:
        return cloud
    seen = (cloud.weight > 0).astype(cloud.weight.dtype)
    i = jax.random.choice(key, seen.size, (count,), replace=False, p=seen / seen.sum())
    return Cloud(cloud.x[i], cloud.weight[i])


def _apart(one: Cloud, other: Cloud) -> Array:
    """The distance of the means of two populations."""
    means = [cloud.weight @ cloud.x / cloud.weight.sum() for cloud in (one, other)]
    return jnp.linalg.norm(means[0] - means[1])
