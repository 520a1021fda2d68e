r"""From readings at their own times to one value for each cell of a clock: mean, sum, newest, or interpolated.

A cell is a step of the clock; `cells` says which one each reading lies in. Missing readings (NaN) take no part, and
a cell without a reading is NaN. On a circle of period $P$ the mean is that of unit vectors, and NaN where these
cancel; interpolation goes the short way round.

Independent errors combine: of a mean $\sqrt{\sum \sigma_i^2}/n$, of a sum $\sqrt{\sum \sigma_i^2}$, between two
readings $\sqrt{(1-w)^2 \sigma_0^2 + w^2 \sigma_1^2}$; an unknown one is taken to be like the known ones of its
cell.
"""

import numpy as np
from numpy.typing import NDArray

type Cells = NDArray[np.intp]
CANCELLED = 1e-6
"""A mean vector shorter than this points nowhere."""


def mean(x: NDArray, cells: Cells, count: int, period: float | None = None) -> NDArray:
    """The mean of each cell, shape (..., count), of readings (..., time) in cells (time,) that never decrease."""
    seen = np.isfinite(x)
    n = _total(seen, cells, count)
    with np.errstate(invalid="ignore", divide="ignore"):
        if period is None:
            return _total(np.where(seen, x, 0.0), cells, count) / n
        angle = np.where(seen, x, 0.0) * (2.0 * np.pi / period)
        east = _total(np.where(seen, np.cos(angle), 0.0), cells, count) / n
        north = _total(np.where(seen, np.sin(angle), 0.0), cells, count) / n
        turned = np.mod(np.arctan2(north, east) * (period / (2.0 * np.pi)), period)
        return np.where(np.hypot(east, north) > CANCELLED, turned, np.nan)


def total(x: NDArray, cells: Cells, count: int) -> NDArray:
    """The sum of each cell, shape (..., count); NaN where it holds no reading."""
    seen = np.isfinite(x)
    n = _total(seen, cells, count)
    return np.where(n > 0, _total(np.where(seen, x, 0.0), cells, count), np.nan)


def newest(x: NDArray, cells: Cells, count: int, of: NDArray | None = None) -> NDArray:
    """The newest reading of each cell, shape (..., count); with `of`, what stands beside the newest of `of`."""
    of = x if of is None else of
    row = np.where(np.isfinite(of), np.arange(cells.size), -1)
    starts, filled = _groups(cells)
    at = np.maximum.reduceat(row, starts, axis=-1)
    out = np.full((*x.shape[:-1], count), np.nan)
    out[..., filled] = np.where(at >= 0, np.take_along_axis(x, np.maximum(at, 0), axis=-1), np.nan)
    return out


def error_of_total(x: NDArray, sd: NDArray, cells: Cells, count: int, *, of_mean: bool) -> NDArray:
    """The standard error of a cell's sum or mean of `x` from those of its readings, shapes (..., time)."""
    seen = np.isfinite(x)
    known = seen & np.isfinite(sd)
    n, n_known = _total(seen, cells, count), _total(known, cells, count)
    squares = _total(np.where(known, sd, 0.0) ** 2, cells, count)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sqrt(squares * n / n_known) / (n if of_mean else 1.0)


def interpolated(
    x: NDArray,
    sd: NDArray | None,
    times: NDArray[np.int64],
    clock: NDArray[np.int64],
    max_gap: int | None,
    least_gap: int,
    period: float | None = None,
) -> tuple[NDArray, NDArray | None]:
    """Values at the times of a clock, linear in time between neighbouring readings that are near enough.

    Args:
        x: readings, shape (..., time).
        sd: their standard errors, or None.
        times: when, increasing, shape (time,), nanoseconds.
        clock: where to, shape (cell,), nanoseconds.
        max_gap: the widest gap to cross, nanoseconds; None for 1.5 times the typical spacing or `least_gap`,
            whichever is larger.
        least_gap: the step of the clock, nanoseconds.
        period: that of a circle, or None.

    Returns:
        Values, and errors where `sd` is given, shape (..., cell).
    """
    flat = x.reshape(-1, times.size)
    errors = None if sd is None else sd.reshape(-1, times.size)
    out = np.full((flat.shape[0], clock.size), np.nan)
    out_sd = None if sd is None else np.full_like(out, np.nan)
    for r, row in enumerate(flat):
        seen = np.flatnonzero(np.isfinite(row))
        if seen.size == 0:
            continue
        at, y = times[seen], row[seen].astype(float)
        right = np.searchsorted(at, clock)
        left = np.maximum(right - 1, 0)
        right = np.minimum(right, at.size - 1)
        left = np.where(at[right] == clock, right, left)
        typical = int(np.median(np.diff(at))) if at.size > 1 else 0
        widest = max_gap if max_gap is not None else int(1.5 * max(typical, least_gap))
        gap = at[right] - at[left]
        inside = (clock >= at[left]) & (clock <= at[right]) & (gap <= widest)
        w = np.where(gap > 0, (clock - at[left]) / np.maximum(gap, 1), 0.0)
        rise = y[right] - y[left]
        if period is not None:
            rise = np.mod(rise + period / 2.0, period) - period / 2.0
        value = y[left] + w * rise
        out[r, inside] = (value if period is None else np.mod(value, period))[inside]
        if errors is not None and out_sd is not None:
            s = errors[r, seen]
            out_sd[r, inside] = np.hypot((1.0 - w) * s[left], w * s[right])[inside]
    shape = (*x.shape[:-1], clock.size)
    return out.reshape(shape), None if out_sd is None else out_sd.reshape(shape)


def _total(x: NDArray, cells: Cells, count: int) -> NDArray:
    starts, filled = _groups(cells)
    out = np.zeros((*x.shape[:-1], count))
    out[..., filled] = np.add.reduceat(x.astype(float), starts, axis=-1)
    return out


def _groups(cells: Cells) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Where each run of equal cells starts, and which cell it is."""
    starts = np.flatnonzero(np.diff(cells, prepend=cells[0] - 1))
    return starts, cells[starts]
