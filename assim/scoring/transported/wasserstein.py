r"""Wasserstein distances, exact.

$$W_p(\mu, \nu) = \Big( \min_{P \in \Pi(\mu, \nu)} \sum_{ij} P_{ij}\, \lVert x_i - y_j \rVert^p \Big)^{1/p}$$

(Peyré & Cuturi 2019, Foundations and Trends in Machine Learning 11, section 2.3), with the Euclidean norm. What is
printed as "EMD" for snapshots of populations is most often $W_2$, with squared distances and the root taken (Tong
et al. 2020, ICML; Shen et al. 2025, AISTATS). The earth mover's distance proper is $W_1$.
"""

from __future__ import annotations

import numpy as np

from assim.nn.exact_transport import transport_plan
from assim.scoring.transported.base import AbstractDistance
from assim.scoring.transported.clouds import Cloud
from assim.types import Key


class Wasserstein(AbstractDistance):
    """The Wasserstein distance of an order: `w2` by default, `w1` with `order=1`.

    Args:
        order: p, 1 or more.

    Raises:
        ValueError: another order.
    """

    order: float = 2

    def __check_init__(self) -> None:
        if not self.order >= 1:
            raise ValueError(f"Wasserstein(order={self.order}) is no distance: give 1 or more.")

    @property
    def name(self) -> str:
        return f"w{self.order:g}"

    @property
    def words(self) -> str:
        told: dict[float, str] = {1: "mean distance", 2: "root of the mean squared distance"}
        cost = told.get(self.order, f"mean of the distance to the power {self.order:g}, its root,")
        return f"W{self.order:g}: {cost} of the best coupling, exact"

    def __call__(self, truth: Cloud, made: Cloud, *, key: Key) -> float:
        return wasserstein(truth.x, made.x, truth.weight, made.weight, order=self.order)


def wasserstein(
    one: np.ndarray,
    other: np.ndarray,
    weight: np.ndarray | None = None,
    other_weight: np.ndarray | None = None,
    *,
    order: float = 2,
) -> float:
    r"""Measure $W_p = (\min_P \sum_{ij} P_{ij} \lVert x_i - y_j \rVert^p)^{1/p}$.

    Args:
        one: points, shape (n, coordinate), any units.
        other: shape (m, coordinate), the same units.
        weight: shape (n,), 0 or more, of any sum; None for equal ones.
        other_weight: shape (m,), likewise.
        order: p.

    Returns:
        The distance, units of the coordinates.
    """
    from scipy.spatial.distance import cdist

    costs = cdist(one, other) ** order
    return float((transport_plan(costs, weight, other_weight) * costs).sum() ** (1 / order))
