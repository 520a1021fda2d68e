"""What a model of snapshots is held against: what is known without it, and what samples of this size allow.

- `split_half`: one half of the true snapshot against the other, drawn at random. Halves are smaller than the
  snapshot, and so what they score is an upper bound of what a perfect model scores.
- `persistence`: the snapshot before, as it was.
- `midpoint`: optimal transport from the snapshot before to the one after, each point as far along its straight way
  as the time is between the two.
"""

from __future__ import annotations

import numpy as np

from assim.nn.exact_transport import midpoints
from assim.scoring.transported.base import AbstractDistance, rng_of
from assim.scoring.transported.clouds import Cloud, Clouds
from assim.types import Key


def split_half(distance: AbstractDistance, cloud: Cloud, halves: int, *, key: Key) -> float:
    """Score one half of a cloud against the other.

    Args:
        distance: by which score.
        cloud: two points or more.
        halves: how often it is halved; what is given back is the mean.
        key: draws the halves, and is that of the score.

    Returns:
        The mean.
    """
    rng, size = rng_of(key), len(cloud) // 2
    told = []
    for _ in range(halves):
        rows = rng.permutation(len(cloud))
        one, other = (
            Cloud.of(cloud.x[kept], cloud.weight[kept])
            for kept in (rows[:size], rows[size : 2 * size])
        )
        told.append(distance(one, other, key=key))
    return float(np.mean(told))


def persistence(seen: Clouds, time: object) -> Cloud | None:
    """The last snapshot before a time.

    Args:
        seen: snapshots that are known.
        time: which; one at this very time does not count.

    Returns:
        The cloud, None where there is none before.
    """
    before = np.flatnonzero(seen.times < time)
    return seen.each[before[-1]] if before.size else None


def midpoint(seen: Clouds, time: object) -> Cloud | None:
    """The displacement interpolation of the snapshots before and after a time.

    Args:
        seen: snapshots that are known.
        time: which; one at this very time does not count.

    Returns:
        The cloud, None where there is none before or none after.
    """
    before, after = np.flatnonzero(seen.times < time), np.flatnonzero(seen.times > time)
    if not before.size or not after.size:
        return None
    left, right = before[-1], after[0]
    fraction = (time - seen.times[left]) / (seen.times[right] - seen.times[left])
    one, other = seen.each[left], seen.each[right]
    return Cloud(*midpoints(one.x, other.x, float(fraction), one.weight, other.weight))
