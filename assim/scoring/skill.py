"""Skill against a reference, with an interval that respects the dependence between origins.

``skill = 1 - mean(s) / mean(s_ref)`` over the same cells. Forecasts from neighbouring origins share
most of their valid times, so the interval comes from the circular block bootstrap (Politis &
Romano 1992): blocks of consecutive origins are drawn with replacement, for both forecasts alike.
With ``b`` blocks the replicates spread like means of ``b`` values, so that the percentile interval
is widened about the estimate by ``sqrt(b / (b - 1)) · t_{b-1}(q) / z(q)`` (else too narrow).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr

Statistic = Callable[[np.ndarray, np.ndarray], np.ndarray]


def skill(
    score: xr.DataArray,
    reference: xr.DataArray,
    *,
    rng: np.random.Generator,
    over: Sequence[str] = ("init_time",),
    block: int | None = None,
    level: float = 0.9,
    resamples: int = 1000,
) -> xr.Dataset:
    """Say by how much of the reference's score a forecast is better.

    Args:
        score: a score where lower is better, on `init_time` and any other dimensions.
        reference: the same of the reference; cells missing in either are left out of both.
        rng: draws the blocks.
        over: the dimensions that are averaged, `init_time` among them.
        block: origins per block; by default as `block_length` says.
        level: the probability of the interval.
        resamples: bootstrap replicates.

    Returns:
        `skill`, `lower` and `upper`: 1 is perfect, 0 no better than the reference.
    """
    return _interval(
        score, reference, lambda s, r: 1 - _ratio(s, r), "skill", over, block, level, resamples, rng
    )


def gain(
    score: xr.DataArray,
    reference: xr.DataArray,
    *,
    rng: np.random.Generator,
    over: Sequence[str] = ("init_time",),
    block: int | None = None,
    level: float = 0.9,
    resamples: int = 1000,
) -> xr.Dataset:
    """Say by how much a score exceeds the reference's, for scores without a natural zero.

    Args:
        score: a score where higher is better (log score), on `init_time` and other dimensions.
        reference: the same of the reference; cells missing in either are left out of both.
        rng: draws the blocks.
        over: the dimensions that are averaged, `init_time` among them.
        block: origins per block; by default as `block_length` says.
        level: the probability of the interval.
        resamples: bootstrap replicates.

    Returns:
        `gain`, `lower` and `upper`, in the units of the score (nats for a log score).
    """
    return _interval(
        score, reference, lambda s, r: s - r, "gain", over, block, level, resamples, rng
    )


def block_length(init_time: xr.DataArray, horizon: np.timedelta64) -> int:
    """Choose how many consecutive origins belong together.

    The larger of the cube root of their number and the origins within one horizon (whose valid
    times overlap), and never more than a third of them.

    Args:
        init_time: the origins.
        horizon: the longest lead time.

    Returns:
        Origins per block, at least 1.
    """
    count = init_time.size
    if count < 2:
        return 1
    step = np.median(np.diff(init_time.values)).astype("timedelta64[ns]")
    overlap = int(np.ceil(horizon / step)) if step > np.timedelta64(0, "ns") else 1
    return int(max(1, min(max(np.ceil(np.cbrt(count)), overlap), count // 3)))


def _interval(
    score: xr.DataArray,
    reference: xr.DataArray,
    statistic: Statistic,
    name: str,
    over: Sequence[str],
    block: int | None,
    level: float,
    resamples: int,
    rng: np.random.Generator,
) -> xr.Dataset:
    """Evaluate a statistic of two mean scores, and its percentile interval."""
    if "init_time" not in over or not 0 < level < 1:
        raise ValueError(
            f"Got over={list(over)} and level={level}: the interval resamples blocks of "
            "'init_time', which must be in `over`, and its level lies between 0 and 1."
        )
    score, reference = xr.align(score, reference, join="exact")
    known = score.notnull() & reference.notnull()
    inner = [dim for dim in over if dim != "init_time"]
    sums = [
        values.where(known, 0.0).sum(inner).transpose("init_time", ...)
        for values in (score, reference)
    ]
    counts = known.astype(float).sum(inner).transpose("init_time", ...).values
    if block is None:
        lead = score["lead_time"].values.max() if "lead_time" in score.coords else None
        horizon = np.timedelta64(0, "ns") if lead is None else lead
        block = block_length(score["init_time"], horizon)
    weights = _block_weights(counts.shape[0], block, resamples, rng)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = [
            np.tensordot(weights, values.values, axes=1) / np.tensordot(weights, counts, axes=1)
            for values in sums
        ]
        draws = statistic(*means)
        bounds = _bounds(draws, level, counts.shape[0] / block)
    template = sums[0].isel(init_time=0, drop=True)
    return xr.Dataset(
        {
            name: template.copy(data=draws[0]),
            "lower": template.copy(data=bounds[0]),
            "upper": template.copy(data=bounds[1]),
        },
        attrs={"level": level, "block": block, "resamples": resamples},
    )


def _block_weights(count: int, block: int, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Count how often each origin is drawn; the first row takes every origin once."""
    blocks = -(-count // block)
    starts = rng.integers(0, count, size=(resamples, blocks))
    drawn = (starts[..., None] + np.arange(block)) % count
    drawn = drawn.reshape(resamples, -1)[:, :count]
    weights = np.zeros((resamples + 1, count))
    weights[0] = 1
    np.add.at(weights, (np.arange(1, resamples + 1)[:, None], drawn), 1)
    return weights


def _bounds(draws: np.ndarray, level: float, blocks: float) -> np.ndarray:
    """Take the percentiles of the replicates, widened about the estimate in the first row."""
    from scipy import stats

    tail, blocks = (1 - level) / 2, max(blocks, 2.0)
    widening = np.sqrt(blocks / (blocks - 1))
    widening *= stats.t.isf(tail, blocks - 1) / stats.norm.isf(tail)
    known = np.isfinite(draws[1:])
    some = known.any(axis=0)
    replicates = np.where(known, draws[1:], np.where(some, np.nan, 0.0))
    bounds = np.nanquantile(replicates, [tail, 1 - tail], axis=0)
    return np.where(some, draws[0] + widening * (bounds - draws[0]), np.nan)


def _ratio(score: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Divide two mean scores; two perfect forecasts are equal."""
    both_zero = (score == 0) & (reference == 0)
    return np.where(both_zero, 1.0, score / np.where(both_zero, 1.0, reference))
