r"""Means along a series whose values depend on each other, and how far they can be trusted.

The integrated autocorrelation time is $\tau = 1 + 2\sum_{k=1}^{W} r_k$ with the smallest window $W \ge 5\tau$
(Madras & Sokal 1988, J. Stat. Phys. 50). Means of blocks of $5\tau$ values are close to independent,
so that the mean of ``b`` of them has the interval $\bar m \pm t_{b-1}\,s_b/\sqrt b$.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

WINDOW = 5.0
FEWEST_BLOCKS = 8
"""With fewer the quantile of Student's t takes over; a record too short for its memory gets no more than this."""
CORRELATED = 0.2
"""Values are taken as independent from the first lag at which their autocorrelation is lower."""
FEWEST_PAIRS = 2
MOST_PLACES = 256


def autocorrelation(series: xr.DataArray, lags: int) -> xr.DataArray:
    """Correlate a series with itself some times later, over all its places alike.

    Args:
        series: (time, ...), any units, NaN where missing; every place is taken about its own mean.
        lags: the largest lag, in steps of `time`.

    Returns:
        (lag,) from 1 to `lags`; NaN where no pair is known.
    """
    values = series.transpose("time", ...).values.reshape(series.sizes["time"], -1)
    known = np.isfinite(values)
    seen = np.maximum(known.sum(axis=0), 1)
    apart = np.where(known, values - np.where(known, values, 0).sum(axis=0) / seen, 0.0)
    variance = (apart**2).sum() / max(known.sum(), 1)
    found = np.full(lags, np.nan)
    for lag in range(1, min(lags, len(values) - 1) + 1):
        pairs = (known[lag:] & known[:-lag]).sum()
        if pairs and variance > 0:
            found[lag - 1] = (apart[lag:] * apart[:-lag]).sum() / pairs / variance
    return xr.DataArray(found, {"lag": np.arange(1, lags + 1)}, ["lag"], "autocorrelation")


def correlation_time(values: np.ndarray) -> float:
    """Estimate how many values of a series are worth one independent value.

    Args:
        values: (time,), without gaps.

    Returns:
        The integrated autocorrelation time, at least 1.
    """
    count = values.size
    apart = values - values.mean()
    if count < 4 or not (apart**2).sum() > 0:
        return 1.0
    power = np.abs(np.fft.rfft(apart, 2 * count)) ** 2
    covariance = np.fft.irfft(power)[:count]
    total = 2 * np.cumsum(covariance / covariance[0]) - 1
    closed = np.arange(count) >= WINDOW * total
    return float(max(1.0, total[np.argmax(closed) if closed.any() else count - 1]))


def dependence(series: xr.DataArray, lag: int) -> float:
    r"""Sum the squared correlations between places, some times apart.

    A pattern that travels is seen by other places later, so that the autocorrelation at each says little. With the
    correlation $\rho_{ss'}(k)$ of place $s'$ with place $s$ some $k$ steps earlier, each square less what chance
    gives it,

    $$D_k = \frac1p \sum_{s,s'} \rho_{ss'}(k)^2,$$

    which is $r_k^2$ for a single place, and 1 or more for $k = 0$.

    Args:
        series: (time, ...), any units, NaN where missing; no more than 256 places, evenly chosen, are looked at.
        lag: in steps of `time`, from 0.

    Returns:
        1 or more at lag 0, later 0 up to chance.
    """
    values = series.transpose("time", ...).values.reshape(series.sizes["time"], -1)
    values = values[:, np.isfinite(values).sum(axis=0) > FEWEST_PAIRS]
    count = values.shape[1]
    values = values[:, np.linspace(0, count - 1, min(count, MOST_PLACES)).astype(int)]
    if count == 0 or len(values) <= lag + FEWEST_PAIRS:
        return 0.0 if lag else 1.0
    known = np.isfinite(values).astype(float)
    apart = np.where(known > 0, values - np.nanmean(values, axis=0), 0.0)
    (early, late), (at, then) = ((v[: len(v) - lag], v[lag:]) for v in (apart, known))
    if known.all():
        pairs = np.full((len(early.T),) * 2, float(len(early)))
        norm = np.sqrt(np.outer((early**2).sum(axis=0), (late**2).sum(axis=0)))
    else:
        pairs = at.T @ then
        norm = np.sqrt(((early**2).T @ then) * (at.T @ late**2))
    squared = ((early.T @ late) / np.where(norm > 0, norm, np.inf)) ** 2
    squared = np.where(pairs > 2, ((pairs - 1) * squared - 1) / np.maximum(pairs - 2, 1), 0.0)
    np.fill_diagonal(squared, 0.0 if lag == 0 else np.diag(squared))
    thinned = squared.sum() / values.shape[1] * count / values.shape[1]
    return float(1.0 + max(thinned, 0.0) if lag == 0 else thinned)


def steps_apart(series: xr.DataArray, most: int = 100) -> int:
    """Choose how many steps lie between times that count as independent.

    Args:
        series: (time, ...), any units, NaN where missing.
        most: the largest answer.

    Returns:
        The first lag, of 1, 2, 3, 4 and then by steps of a quarter, at which the places depend on each other less
        than a twenty-fifth of what they do at the same time (an autocorrelation of 0.2 for a single place); no more
        than a tenth of the record.
    """
    most = max(1, min(most, series.sizes["time"] // 10))
    least = CORRELATED**2 * dependence(series, 0)
    tried = sorted({*range(1, 5), *(int(4 * 1.25**power) for power in range(1, 30))})
    return next((lag for lag in tried if lag < most and dependence(series, lag) < least), most)


def block_interval(
    series: xr.DataArray, level: float = 0.95, block: int | None = None
) -> xr.DataArray:
    """Give the interval of a time mean by the means of blocks.

    Args:
        series: (time, ...), any units; missing times are left out.
        level: the probability of the interval.
        block: values in a block; by default five autocorrelation times, in eight blocks at least.

    Returns:
        (..., bound) with "lower" and "upper", same units; NaN for fewer than two values.
    """
    bounds = xr.apply_ufunc(
        _interval,
        series,
        input_core_dims=[["time"]],
        output_core_dims=[["bound"]],
        vectorize=True,
        kwargs={"level": level, "block": block},
    )
    return bounds.assign_coords(bound=["lower", "upper"])


def _interval(values: np.ndarray, level: float, block: int | None) -> np.ndarray:
    """The interval of the mean of one series."""
    from scipy import stats

    values = values[np.isfinite(values)]
    if values.size < 2:
        return np.full(2, np.nan)
    if block is None:
        block = int(np.ceil(WINDOW * correlation_time(values)))
    fewest = min(FEWEST_BLOCKS, values.size)
    blocks = int(np.clip(values.size // max(block, 1), fewest, values.size))
    means = np.array([part.mean() for part in np.array_split(values, blocks)])
    half = stats.t.isf((1 - level) / 2, blocks - 1) * means.std(ddof=1) / np.sqrt(blocks)
    return values.mean() + half * np.array([-1.0, 1.0])
