r"""Energy distance (Székely & Rizzo 2013, Journal of Statistical Planning and Inference 143).

$$\mathcal E = 2\, \mathbb E \lVert X - Y \rVert - \mathbb E \lVert X - X' \rVert - \mathbb E \lVert Y - Y' \rVert$$

over all pairs of points, a point with itself among them: not negative, and 0 only between a cloud and itself. The
root is not taken.
"""

from __future__ import annotations

import numpy as np

from assim.nn.exact_transport import scaled
from assim.scoring.transported.base import AbstractDistance
from assim.scoring.transported.clouds import Cloud
from assim.types import Key


class EnergyDistance(AbstractDistance):
    """The energy distance, its root not taken."""

    @property
    def name(self) -> str:
        return "energy"

    @property
    def words(self) -> str:
        return "energy distance, its root not taken"

    def __call__(self, truth: Cloud, made: Cloud, *, key: Key) -> float:
        return energy_distance(truth.x, made.x, truth.weight, made.weight)


def energy_distance(
    one: np.ndarray,
    other: np.ndarray,
    weight: np.ndarray | None = None,
    other_weight: np.ndarray | None = None,
) -> float:
    r"""Measure $2\, a^\top D_{xy} b - a^\top D_{xx} a - b^\top D_{yy} b$ with the Euclidean distances $D$.

    Args:
        one: points, shape (n, coordinate), any units.
        other: shape (m, coordinate), the same units.
        weight: a, shape (n,), 0 or more, of any sum; None for equal ones.
        other_weight: b, shape (m,), likewise.

    Returns:
        The distance, units of the coordinates.
    """
    from scipy.spatial.distance import cdist

    a, b = scaled(weight, len(one)), scaled(other_weight, len(other))
    within = a @ cdist(one, one) @ a + b @ cdist(other, other) @ b
    return max(float(2 * a @ cdist(one, other) @ b - within), 0.0)
