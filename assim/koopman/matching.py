r"""Which mode of one draw is which of another: the assignment of least total distance between eigenvalues.

$$\pi_d = \arg\min_\pi \sum_j \big|\lambda_{d,\pi(j)} - \bar\lambda_j\big|$$

A draw has its modes in an order of its own, so that quantiles over draws mean something only once they correspond.
"""

import numpy as np
from scipy.optimize import linear_sum_assignment

ALONE = 0.25
"""Distance between a mode and a place that holds none: two modes twice as far apart are rather left alone."""


def matched(eigenvalues: np.ndarray) -> np.ndarray:
    """The order in which the modes of each draw correspond to one another.

    Draws are matched with the first of those that have most modes, and then with the medians of what was matched,
    so that one draw far from all others does no harm.

    Args:
        eigenvalues: of a nominal step, shape (draw, mode), complex; NaN in places that hold no mode.

    Returns:
        Shape (draw, mode): which place of a draw stands at each place.
    """
    fullest = np.isfinite(eigenvalues).sum(axis=1).argmax()
    order = _assigned(eigenvalues, eigenvalues[fullest])
    found = np.ma.masked_invalid(np.take_along_axis(eigenvalues, order, axis=1))
    middle = np.ma.median(found.real, axis=0) + 1j * np.ma.median(found.imag, axis=0)
    return _assigned(eigenvalues, np.ma.filled(middle, np.nan))


def _assigned(eigenvalues: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """For each draw the mode that each of `reference` is given, shape (draw, mode)."""
    here, there = np.isfinite(eigenvalues)[:, None], np.isfinite(reference)[:, None]
    apart = np.abs(reference[:, None] - eigenvalues[:, None])
    apart = np.where(here & there, apart, np.where(here == there, 0.0, ALONE))
    return np.array([linear_sum_assignment(cost)[1] for cost in apart])
