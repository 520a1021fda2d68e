"""Directions: the arithmetic of a channel whose values repeat after one period.

With period ``P`` the signed difference is ``wrap(a - b) = (a - b + P/2) mod P - P/2`` and the
mean direction is the angle of the mean unit vector (Mardia & Jupp 2000, chapter 2). A channel is
circular when its attribute ``support`` is ``"circle"``; its period is the attribute ``period``,
or 360 in the channel's own units.
"""

from __future__ import annotations

import numpy as np
import xarray as xr


def period(channel: xr.DataArray) -> float | None:
    """Give the period of a circular channel in its own units, or None for any other channel."""
    if channel.attrs.get("support") != "circle":
        return None
    return float(channel.attrs.get("period", 360.0))


def wrap(difference: np.ndarray, cycle: float) -> np.ndarray:
    """Bring differences into ``[-cycle/2, cycle/2)``.

    Args:
        difference: any shape, in the units of ``cycle``.
        cycle: the period.

    Returns:
        The same shape and units, the shortest way round.
    """
    return (difference + cycle / 2) % cycle - cycle / 2


def mean_direction(values: np.ndarray, cycle: float) -> np.ndarray:
    """Give the angle of the mean unit vector along the last axis.

    Args:
        values: (..., n), in the units of ``cycle``.
        cycle: the period.

    Returns:
        (...,), in ``[0, cycle)``.
    """
    turns = 2 * np.pi * values / cycle
    angle = np.arctan2(np.sin(turns).mean(axis=-1), np.cos(turns).mean(axis=-1))
    return (angle * cycle / (2 * np.pi)) % cycle


def mean_distance(values: np.ndarray, cycle: float) -> np.ndarray:
    """Average the shorter arc over all pairs of different members, in O(n log n).

    Two points are apart by the measure of the diameters that separate them, so with ``n(t)`` of
    the points in the half circle ``[t, t + P/2)`` the arcs of all pairs add up to
    ``∫_0^{P/2} n(t) (n - n(t)) dt``, and ``n(t)`` only changes at the points taken modulo ``P/2``.

    Args:
        values: (..., n) with n >= 2, in the units of ``cycle``.
        cycle: the period.

    Returns:
        (...,), the mean of ``|a - b|`` over ordered pairs of different members.
    """
    count = values.shape[-1]
    half = cycle / 2
    first_half = (values % cycle) < half
    crossing = (values % cycle) % half
    order = np.argsort(crossing, axis=-1)
    crossing = np.take_along_axis(crossing, order, axis=-1)
    change = np.where(np.take_along_axis(first_half, order, axis=-1), -1, 1)
    start = first_half.sum(axis=-1, keepdims=True)
    inside = np.concatenate([start, start + np.cumsum(change, axis=-1)], axis=-1)
    edges = np.concatenate(
        [np.zeros_like(crossing[..., :1]), crossing, np.full_like(crossing[..., :1], half)], axis=-1
    )
    total = np.sum(inside * (count - inside) * np.diff(edges, axis=-1), axis=-1)
    return 2 * total / (count * (count - 1))
