r"""Channels that are copies of one another: told of others without error, whatever the dynamics.

$$1 - \rho_{ij}^2 < 10^{-10}, \qquad \rho_{ij} = \frac{S_{ij}}{\sqrt{S_{ii}\,S_{jj}}}, \qquad
S_{ij} = \sum_{r} \sum_{t \in r} (y_{ti} - \bar y_{ri})(y_{tj} - \bar y_{rj})$$

over the times of each run r at which both were read, means and S_ii over these times too: a factor and an offset in
each run make no difference, and neither does rounding to single precision.
"""

import numpy as np
from numpy.typing import NDArray

FEWEST = 10
"""Fewer common readings show no copy: what is rounded agrees by chance."""
EXACT = 1e-10


def copies(y: NDArray[np.float64]) -> list[tuple[int, ...]]:
    """Groups of channels of which each is a linear function of the first, wherever both were read.

    Args:
        y: readings, shape (run, time, channel), any units; NaN where missing.

    Returns:
        Of each group the columns, in order; none where no channel is a copy.
    """
    there = np.isfinite(y)
    count = np.maximum(there.sum(axis=1, keepdims=True), 1)
    apart = np.where(there, y, 0.0)
    apart = np.where(there, y - apart.sum(axis=1, keepdims=True) / count, 0.0)
    apart /= np.maximum(np.abs(apart).max(axis=(0, 1)), np.finfo(float).tiny)
    channels = y.shape[-1]
    both, across, within = np.zeros((3, channels, channels))
    for z, seen in zip(apart, there.astype(float), strict=True):
        common = seen.T @ seen
        sums = z.T @ seen  # of channel i where j was read too
        shared = np.maximum(common, 1.0)
        both += common
        across += z.T @ z - sums * sums.T / shared
        within += (z**2).T @ seen - sums**2 / shared
    spread = within * within.T
    alike = (both >= FEWEST) & (spread > 0) & (spread - across**2 < EXACT * spread)
    groups: dict[int, list[int]] = {}
    for column, first in enumerate(alike.argmax(axis=0)):
        if alike[first, column] and first < column:
            groups.setdefault(int(first), [int(first)]).append(column)
    return [tuple(group) for group in groups.values()]
