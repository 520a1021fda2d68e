r"""A monotone map from the values of a channel to a normal law, through the quantiles of a training record.

$$w(v) = \Phi^{-1}\big(F(v)\big), \qquad F \text{ at mid-rank where values are repeated}$$

Straight lines join the knots, and the last of them go on beyond the ends: the map has an inverse everywhere and a
slope everywhere, so that scores keep their Jacobian. Several channels taken together are then in copula space.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

KNOTS = 100
"""Knots of a channel, at most: at equal steps of probability, and the extremes."""
END = 5
"""The line beyond an end has the mean slope of so many pieces."""


@dataclass(frozen=True)
class Warp:
    """The maps of all channels; None where a channel stays as it is.

    Args:
        knots: of each channel values and what they become, shape (2, knot), both increasing.
    """

    knots: tuple[NDArray[np.float64] | None, ...]

    def forward(self, v: ArrayLike) -> NDArray[np.float64]:
        """What values become.

        Args:
            v: shape (..., channel).

        Returns:
            The same shape; of variance about one over the training record.
        """
        v = np.asarray(v, float)
        told = [v[..., c] if k is None else _line(v[..., c], k) for c, k in enumerate(self.knots)]
        return np.stack(told, axis=-1)

    def inverse(self, w: NDArray, channel: int) -> NDArray:
        """Values of one channel again.

        Args:
            w: what they had become, any shape.
            channel: which.

        Returns:
            The same shape and dtype.
        """
        knots = self.knots[channel]
        return w if knots is None else _line(w, knots[::-1]).astype(w.dtype)

    def log_slope(self, v: ArrayLike) -> NDArray[np.float64]:
        """The log of dw/dv.

        Args:
            v: shape (..., channel).

        Returns:
            The same shape.
        """
        v = np.asarray(v, float)
        told = [
            np.zeros(v.shape[:-1]) if k is None else _log_slope(v[..., c], k)
            for c, k in enumerate(self.knots)
        ]
        return np.stack(told, axis=-1)

    def to_list(self) -> list:
        """JSON-ready; `of` is its inverse."""
        return [None if k is None else k.tolist() for k in self.knots]

    @classmethod
    def of(cls, stored: list) -> "Warp":
        """The maps that `to_list` described."""
        return cls(tuple(None if k is None else np.asarray(k, float) for k in stored))


def fit_warp(v: ArrayLike, kept: ArrayLike) -> Warp:
    """The maps of a training record; call it on nothing else.

    Args:
        v: values, shape (..., channel); NaN where missing.
        kept: which channels stay as they are, shape (channel,).

    Returns:
        A map for each other channel.
    """
    v = np.asarray(v, float)
    columns = v.reshape(-1, v.shape[-1]).T
    return Warp(
        tuple(None if k else _knots(c) for c, k in zip(columns, np.asarray(kept), strict=True))
    )


def _knots(column: NDArray) -> NDArray[np.float64]:
    """Values that occur, and the normal quantiles of their mid-ranks."""
    values, counts = np.unique(column[np.isfinite(column)], return_counts=True)
    middle = np.cumsum(counts) - 0.5 * counts
    share = middle / counts.sum()
    if values.size > KNOTS:
        wanted = np.searchsorted(share, np.linspace(0.0, 1.0, KNOTS), side="left")
        at = np.unique(np.clip(wanted, 0, values.size - 1))
        values, share = values[at], share[at]
    return np.stack([values, ndtri(share)])


def _line(x: NDArray, knots: NDArray) -> NDArray[np.float64]:
    """Straight between knots, and on beyond them."""
    at, to = knots
    low, high = _ends(knots)
    inside = np.interp(x, at, to)
    return inside + low * np.minimum(x - at[0], 0.0) + high * np.maximum(x - at[-1], 0.0)


def _log_slope(x: NDArray, knots: NDArray) -> NDArray[np.float64]:
    at, to = knots
    low, high = _ends(knots)
    pieces = np.concatenate([[low], np.diff(to) / np.diff(at), [high]])
    return np.log(pieces[np.searchsorted(at, x, side="right")])


def _ends(knots: NDArray) -> tuple[float, float]:
    at, to = knots
    few = min(END, at.size - 1)
    low, high = (
        (to[few] - to[0]) / (at[few] - at[0]),
        (to[-1] - to[-1 - few]) / (at[-1] - at[-1 - few]),
    )
    return float(low), float(high)
