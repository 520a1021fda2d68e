r"""Sliced Wasserstein distance (Bonneel et al. 2015, Journal of Mathematical Imaging and Vision 51).

$$SW_p(\mu, \nu) = \Big( \frac1L \sum_{l=1}^L \int_0^1 \big| F_l^{-1}(u) - G_l^{-1}(u) \big|^p \,
\mathrm d u \Big)^{1/p}$$

with the quantile functions $F_l^{-1}$ and $G_l^{-1}$ of both clouds along $L$ directions, drawn uniformly.
"""

from __future__ import annotations

import numpy as np

from assim.nn.exact_transport import scaled
from assim.scoring.transported.base import AbstractDistance, rng_of
from assim.scoring.transported.clouds import Cloud
from assim.types import Key


class SlicedWasserstein(AbstractDistance):
    """The Wasserstein distance of projections on a line, over random directions.

    Args:
        order: p, 1 or more.
        directions: how many.

    Raises:
        ValueError: another order, or no direction.
    """

    order: float = 2
    directions: int = 200

    def __check_init__(self) -> None:
        if not self.order >= 1 or self.directions < 1:
            raise ValueError(
                f"SlicedWasserstein(order={self.order}, directions={self.directions}) is no distance: give 1 or "
                "more of both."
            )

    @property
    def name(self) -> str:
        return f"sliced_w{self.order:g}"

    @property
    def words(self) -> str:
        return f"sliced W{self.order:g} over {self.directions} directions"

    def __call__(self, truth: Cloud, made: Cloud, *, key: Key) -> float:
        axes = rng_of(key).standard_normal((truth.x.shape[1], self.directions))
        axes /= np.linalg.norm(axes, axis=0)
        line = truth.x @ axes, made.x @ axes, truth.weight, made.weight
        return float((on_lines(*line, order=self.order).mean()) ** (1 / self.order))


def on_lines(
    one: np.ndarray,
    other: np.ndarray,
    weight: np.ndarray | None = None,
    other_weight: np.ndarray | None = None,
    *,
    order: float = 2,
) -> np.ndarray:
    r"""Measure $W_p^p = \int_0^1 \lvert F^{-1}(u) - G^{-1}(u) \rvert^p \, \mathrm d u$ along each of several lines.

    Args:
        one: places of points, shape (n, line), any units.
        other: shape (m, line), the same units.
        weight: of the points, shape (n,), 0 or more, of any sum; None for equal ones.
        other_weight: shape (m,), likewise.
        order: p.

    Returns:
        Shape (line,), the units to the power p.
    """
    x, below = _steps(one, weight)
    y, other_below = _steps(other, other_weight)
    ends = np.sort(np.concatenate([below, other_below]), axis=0)
    shares = np.diff(ends, axis=0, prepend=0.0)
    apart = _quantiles(x, below, ends) - _quantiles(y, other_below, ends)
    return (shares * np.abs(apart) ** order).sum(axis=0)


def _steps(places: np.ndarray, weight: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Places in order along each line, and what share of the points lies at or below each."""
    order = np.argsort(places, axis=0)
    shares = np.cumsum(scaled(weight, len(places))[order], axis=0)
    return np.take_along_axis(places, order, axis=0), shares


def _quantiles(places: np.ndarray, below: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The lowest place that has such a share at or below it."""
    found = [np.searchsorted(b, u) for b, u in zip(below.T, at.T, strict=True)]
    rows = np.minimum(np.stack(found, axis=1), len(places) - 1)
    return np.take_along_axis(places, rows, axis=0)
