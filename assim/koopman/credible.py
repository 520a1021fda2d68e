r"""Credible intervals of draws, and those of a rate that may lie at its bound.

Quantiles leave a tail on either side, so that of a rate $x \ge 0$ they never hold 0, however much of the posterior
lies there: a mode that does not decay would never be covered. With ordered draws $x_{(1)}, \dots, x_{(n)}$ of which
m, a share of $m/n \ge \text{level}$, are to be held, the shortest interval (Chen and Shao 1999) is

$$[x_{(i)},\ x_{(i+m-1)}], \qquad i = \arg\min_k\, x_{(k+m-1)} - x_{(k)}.$$

Where the density is flat towards the bound, which one is the shortest is left to chance; so it begins at the bound,
$[0,\ x_{(m)}]$, where that is longer by less than 3 %. It is told of a rate that lies nearer to 0 than it is wide,
$x_{(i)} < x_{(i+m-1)} - x_{(i)}$; of others, which the bound does not touch, quantiles are told.
"""

import warnings

import numpy as np

ROUNDING = 1e-9
"""Of a number of draws: 0.7 of 10 are 7."""
ALIKE = 0.03
"""Lengths that differ by less than this share are not told apart by some hundred draws."""


def quantiles(values: np.ndarray, levels: float | tuple[float, ...]) -> np.ndarray:
    """Over the draws that have a value.

    Args:
        values: shape (draw, ...), any unit; NaN where a draw has none.
        levels: between 0 and 1.

    Returns:
        Shape (level, ...), or (...) of one level; NaN where no draw has a value.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice", RuntimeWarning)
        return np.nanquantile(values, levels, axis=0)


def of_rate(values: np.ndarray, level: float) -> np.ndarray:
    """The interval of each of several quantities and its middle; closed at 0 where all draws lie on one side of it.

    Args:
        values: shape (draw, mode), any unit; NaN where a draw has none.
        level: share of the draws that an interval holds.

    Returns:
        Lower end, median and upper end, shape (3, mode), in that unit. The shortest interval that holds half of the
        draws or less need not hold their median.
    """
    told = quantiles(values, ((1 - level) / 2, 0.5, (1 + level) / 2))
    for mode, column in enumerate(values.T):
        draws = np.sort(column[np.isfinite(column)])
        side = 1.0 if (draws >= 0).all() else -1.0
        if draws.size and (side * draws >= 0).all():
            ends = _shortest(np.sort(side * draws), level)
            if ends is not None:
                told[[0, 2], mode] = np.sort(side * ends) + 0.0  # no -0
    return told


def _shortest(draws: np.ndarray, level: float) -> np.ndarray | None:
    """Of ordered draws that are 0 or more; None where it lies further from 0 than it is wide."""
    held = max(int(np.ceil(level * len(draws) - ROUNDING)), 1)
    low, high = draws[: len(draws) - held + 1], draws[held - 1 :]
    at = int(np.argmin(high - low))
    if low[at] >= high[at] - low[at]:
        return None
    if high[0] <= (1 + ALIKE) * (high[at] - low[at]):
        return np.array([0.0, high[0]])
    return np.array([low[at], high[at]])
