r"""Squared maximum mean discrepancy (Gretton et al. 2012, Journal of Machine Learning Research 13, eq. 5).

$$\mathrm{MMD}^2(\mu, \nu) = \sum_{ij} a_i a_j k(x_i, x_j) - 2 \sum_{ij} a_i b_j k(x_i, y_j)
+ \sum_{ij} b_i b_j k(y_i, y_j), \qquad k(x, y) = \exp(-\lVert x - y \rVert^2 / h)$$

the V-statistic: not negative, and 0 between a cloud and itself. The bandwidth $h$ is the median of the squared
distances between points of the true cloud, so that the discrepancy does not depend on the units; it does depend on
the cloud, and figures of different snapshots do not compare.

As a fit diagnostic (Berlinghieri et al. 2025, arXiv:2505.16082), with the mixture $\bar\mu$ of all snapshots as a
model that knows no time, and the numbers of points $n_k$,

$$R^2 = 1 - \frac{\sum_k n_k^2\, \mathrm{MMD}^2(\hat\mu_k, \mu_k)}{\sum_k n_k^2\, \mathrm{MMD}^2(\bar\mu, \mu_k)},
\qquad \bar\mu = \frac{\sum_k n_k \mu_k}{\sum_k n_k},$$

there with one $h$ for all snapshots, the median over the points of all. The weights $n_k^2$ are those of their
code, whose kernel is five times this one, which cancels.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from assim.nn.exact_transport import scaled
from assim.scoring.transported.base import AbstractDistance
from assim.scoring.transported.clouds import Cloud, Clouded, as_clouds
from assim.types import Key


class SquaredMMD(AbstractDistance):
    """The squared maximum mean discrepancy with a Gaussian kernel.

    Args:
        bandwidth: h, units of the coordinates squared; None for the median squared distance within the true cloud.

    Raises:
        ValueError: a bandwidth that is not above 0.
    """

    bandwidth: float | None = None

    def __check_init__(self) -> None:
        if self.bandwidth is not None and not self.bandwidth > 0:
            raise ValueError(f"SquaredMMD(bandwidth={self.bandwidth}): give a number above 0.")

    @property
    def name(self) -> str:
        return "mmd2"

    @property
    def words(self) -> str:
        h = "median squared distance" if self.bandwidth is None else f"{self.bandwidth:g}"
        return f"squared MMD, kernel exp(-distance^2/h), h = {h}"

    @property
    def power(self) -> int:
        return 0

    def __call__(self, truth: Cloud, made: Cloud, *, key: Key) -> float:
        h = median_bandwidth(truth.x) if self.bandwidth is None else self.bandwidth
        return squared_mmd(truth.x, made.x, truth.weight, made.weight, bandwidth=h)


def squared_mmd(
    one: np.ndarray,
    other: np.ndarray,
    weight: np.ndarray | None = None,
    other_weight: np.ndarray | None = None,
    *,
    bandwidth: float,
) -> float:
    r"""Measure $a^\top K_{xx} a - 2\, a^\top K_{xy} b + b^\top K_{yy} b$, $K = \exp(-d^2 / h)$.

    Args:
        one: points, shape (n, coordinate), any units.
        other: shape (m, coordinate), the same units.
        weight: a, shape (n,), 0 or more, of any sum; None for equal ones.
        other_weight: b, shape (m,), likewise.
        bandwidth: h, the units squared, above 0.

    Returns:
        The discrepancy, from 0 to 2.
    """
    from scipy.spatial.distance import cdist

    points = np.concatenate([one, other])
    apart = np.concatenate([scaled(weight, len(one)), -scaled(other_weight, len(other))])
    kernel = np.exp(-cdist(points, points, "sqeuclidean") / bandwidth)
    return max(float(apart @ kernel @ apart), 0.0)


def median_bandwidth(points: np.ndarray) -> float:
    r"""Find the median of $\lVert x_i - x_j \rVert^2$ over pairs of different points.

    Args:
        points: shape (n, coordinate), any units.

    Returns:
        The bandwidth, the units squared.

    Raises:
        ValueError: a median of 0, where most points lie on each other.
    """
    from scipy.spatial.distance import pdist

    apart = pdist(points, "sqeuclidean")
    h = float(np.median(apart)) if apart.size else 0.0
    if h <= 0:
        raise ValueError(
            f"The median distance between {len(points)} points is {h:g}, and no bandwidth follows from it: give "
            "one, as SquaredMMD(bandwidth=...)."
        )
    return h


def mmd_r2(truth: Clouded, made: Clouded, *, bandwidth: float | None = None) -> xr.Dataset:
    r"""Say how much of the change from snapshot to snapshot a model explains, $R^2$ by squared discrepancies.

    Args:
        truth: snapshots, those that were fitted or others: a variable for each coordinate on (time, sample).
        made: the clouds of a model, at these times and perhaps at others.
        bandwidth: h of all times, units of the coordinates squared; None for the median squared distance between
            the points of all snapshots.

    Returns:
        `r2`, 1 where every cloud is met and 0 where the model is no better than all snapshots thrown together; and
        `r2_by_time` on `time`, the same for each snapshot alone.

    Raises:
        ValueError: clouds that cannot be read, or lack a time or coordinate of the snapshots.
    """
    held = as_clouds(truth)
    model = as_clouds(made, who="made", like=held).along(held.times, who="made")
    count = np.array([len(cloud) for cloud in held.each], dtype=float)
    points = np.concatenate([cloud.x for cloud in held.each])
    h = median_bandwidth(points) if bandwidth is None else bandwidth
    mixture = np.concatenate([n * cloud.weight for n, cloud in zip(count, held.each, strict=True)])
    pairs = zip(model, held.each, strict=True)
    left = [squared_mmd(m.x, t.x, m.weight, t.weight, bandwidth=h) for m, t in pairs]
    most = [squared_mmd(points, t.x, mixture, t.weight, bandwidth=h) for t in held.each]
    told = {"r2_by_time": ("time", 1 - np.divide(left, most))}
    overall = 1 - (count**2 @ left) / (count**2 @ most)
    return xr.Dataset(told | {"r2": overall}, {"time": held.times}, {"bandwidth": h})
