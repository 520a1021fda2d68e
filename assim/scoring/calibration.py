"""Calibration: does what is said to happen nine times in ten happen nine times in ten?

The rank ``r`` of the truth among ``M`` members is uniform on ``0 .. M`` when truth and members are
draws of one law, whatever ``M`` is; where members equal the truth (a channel with atoms, such as
dry hours or calm wind) the rank is drawn among the ties. The probability integral transform
``u = (r + V) / (M + 1)``, ``V`` uniform on (0, 1), is then uniform on (0, 1) exactly (Czado,
Gneiting & Held 2009, Biometrics 65), and the central interval at level ``p`` covers the truth when
``|u - 1/2| <= p/2``. A direction has no lowest value: its members and truth are cut open opposite
to their common mean direction.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from assim.scoring.circular import mean_direction, period, wrap

LEVELS = (0.5, 0.8, 0.9, 0.95)


def ranks(members: xr.DataArray, truth: xr.DataArray, *, rng: np.random.Generator) -> xr.DataArray:
    """Rank the truth among the members, ties drawn at random.

    Args:
        members: (..., member), in the channel's units.
        truth: (...), same units, NaN where missing.
        rng: draws among the ties.

    Returns:
        (...), from 0 to the number of members; NaN where the truth or a member is missing.
    """
    return xr.apply_ufunc(
        _ranks,
        members,
        truth,
        input_core_dims=[["member"], []],
        kwargs={"cycle": period(members), "rng": rng},
    ).rename("rank")


def pit(members: xr.DataArray, truth: xr.DataArray, *, rng: np.random.Generator) -> xr.DataArray:
    """Transform the truth by the predictive distribution, randomised inside its rank.

    Args:
        members: (..., member), in the channel's units.
        truth: (...), same units, NaN where missing.
        rng: draws among ties and inside the rank.

    Returns:
        (...), in (0, 1); NaN where the truth or a member is missing.
    """
    rank = ranks(members, truth, rng=rng)
    uniform = rng.uniform(size=rank.shape)
    return ((rank + uniform) / (members.sizes["member"] + 1)).rename("pit")


def coverage(
    pits: xr.DataArray,
    levels: Sequence[float] = LEVELS,
    *,
    over: Sequence[str] = ("init_time",),
) -> xr.DataArray:
    """Count how often the central intervals hold the truth.

    Args:
        pits: probability integral transforms, (...), NaN where missing.
        levels: nominal probabilities in (0, 1).
        over: the dimensions that are counted.

    Returns:
        (..., level), fractions; NaN where nothing is known.
    """
    level = xr.DataArray(list(levels), dims="level", coords={"level": list(levels)})
    inside = (abs(pits - 0.5) <= level / 2).where(pits.notnull())
    return inside.mean(list(over)).rename("coverage").assign_attrs(long_name="observed coverage")


def histogram(
    pits: xr.DataArray, bins: int = 10, *, over: Sequence[str] = ("init_time",)
) -> xr.DataArray:
    """Count transforms in equal bins; for ranks give ``(rank + 0.5) / (members + 1)``.

    Args:
        pits: numbers in (0, 1), (...), NaN where missing.
        bins: how many.
        over: the dimensions that are counted.

    Returns:
        (..., bin), counts, with the bins' centres as coordinate.
    """
    centres = (np.arange(bins) + 0.5) / bins
    which = (pits * bins).clip(max=bins - 0.5).fillna(-1) // 1
    at = xr.DataArray(np.arange(bins), dims="bin", coords={"bin": centres})
    return (which == at).sum(list(over)).rename("count").assign_attrs(long_name="count")


def rank_histogram(
    rank: xr.DataArray, size: int, *, over: Sequence[str] = ("init_time",)
) -> xr.DataArray:
    """Count how often the truth takes each rank.

    Args:
        rank: as `ranks` gives them, (...).
        size: the number of members.
        over: the dimensions that are counted.

    Returns:
        (..., rank), counts, ``size + 1`` of them.
    """
    counts = histogram((rank + 0.5) / (size + 1), size + 1, over=over)
    return counts.rename(bin="rank").assign_coords(rank=np.arange(size + 1))


def reliability(
    pits: xr.DataArray, bins: int = 20, *, over: Sequence[str] = ("init_time",)
) -> xr.Dataset:
    """Set the frequency with which the truth lies below each quantile against its probability.

    Args:
        pits: probability integral transforms, (...), NaN where missing.
        bins: how many quantiles, evenly spaced inside (0, 1).
        over: the dimensions that are counted.

    Returns:
        `forecast_probability(bin)`, `observed_frequency(..., bin)` and `count(...)`, the number of
        cells behind them.
    """
    nominal = xr.DataArray(np.arange(1, bins) / bins, dims="bin")
    below = (pits <= nominal).where(pits.notnull()).mean(list(over))
    return xr.Dataset(
        {
            "forecast_probability": nominal,
            "observed_frequency": below,
            "count": pits.notnull().sum(list(over)),
        },
        attrs={"kind": "quantiles"},
    )


def spread_skill(
    error: xr.DataArray, spread: xr.DataArray, bins: int = 10, *, size: int
) -> xr.Dataset:
    """Bin cells by their forecast spread and set the error against it.

    A calibrated ensemble of ``M`` members has ``RMSE = sqrt((M + 1) / M) · spread`` in every bin
    (Fortin et al. 2014, J. Hydrometeor. 15, eq. 15); the factor is in the spread given back.

    Args:
        error: mean error of every cell, in the channel's units.
        spread: ensemble variance of every cell, units squared.
        bins: how many, with equal counts.
        size: the number of members.

    Returns:
        `spread(bin)` and `rmse(bin)` in the channel's units, `count(bin)`.
    """
    known = np.isfinite(error.values) & np.isfinite(spread.values)
    values, squares = spread.values[known], error.values[known] ** 2
    parts = np.array_split(np.argsort(values, kind="stable"), min(bins, max(values.size, 1)))
    inflation = (size + 1) / size
    return xr.Dataset(
        {
            "spread": ("bin", [np.sqrt(inflation * values[part].mean()) for part in parts]),
            "rmse": ("bin", [np.sqrt(squares[part].mean()) for part in parts]),
            "count": ("bin", [part.size for part in parts]),
        },
        attrs={key: error.attrs[key] for key in ("units", "long_name") if key in error.attrs},
    )


def _ranks(
    values: np.ndarray, truth: np.ndarray, cycle: float | None, rng: np.random.Generator
) -> np.ndarray:
    """Rank the truth on the last axis, a direction after cutting the circle open."""
    if cycle is not None:
        pooled = np.concatenate([values, truth[..., None]], axis=-1)
        middle = mean_direction(pooled, cycle)
        values = wrap(values - middle[..., None], cycle)
        truth = wrap(truth - middle, cycle)
    below = (values < truth[..., None]).sum(axis=-1)
    ties = (values == truth[..., None]).sum(axis=-1)
    rank = (below + rng.integers(0, ties + 1)).astype(float)
    rank[~(np.isfinite(truth) & np.isfinite(values).all(axis=-1))] = np.nan
    return rank
