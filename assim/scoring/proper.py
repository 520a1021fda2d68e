"""Proper scores of ensembles: what a forecaster cannot better by saying other than it believes.

For members ``x_1 .. x_M`` and truth ``y``, with ``d`` the distance of the channel (``|a - b|``, or
the shorter arc for a direction), the continuous ranked probability score is

    CRPS = mean_i d(x_i, y) - 1/2 mean_{i != j} d(x_i, x_j)

in the channel's units: the *fair* form, whose expectation does not depend on the number of members
(Ferro 2014, QJRMS 140, eq. 8; for directions Grimit et al. 2006, QJRMS 132, eq. 6). The energy
score is the same with the Euclidean distance across channels (Gneiting & Raftery 2007, eq. 22),
each channel divided by its climatological standard deviation. The log score is not estimated from
members: the forecast wrote the log of its own mixture density in the group `log_score`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from assim.scoring.circular import mean_direction, mean_distance, period, wrap
from assim.scoring.pairing import predictions

SHIFTS = 16


def crps(members: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    """Score every cell by the fair CRPS; a single member gives the absolute error.

    Args:
        members: (..., member), in the channel's units; `support` tells a direction.
        truth: (...), same units, NaN where missing.

    Returns:
        (...), same units, lower is better; NaN where the truth or a member is missing.
    """
    cycle = period(members)
    whole = members.notnull().all("member")
    if cycle is not None:
        score = xr.apply_ufunc(
            _crps_circular,
            members,
            truth,
            input_core_dims=[["member"], []],
            kwargs={"cycle": cycle},
        )
    elif members.sizes["member"] == 1:
        score = abs(members.isel(member=0) - truth)
    else:
        from scores.probability import crps_for_ensemble

        score = crps_for_ensemble(members, truth, "member", method="fair", preserve_dims="all")
    return score.where(whole).transpose(*truth.dims).rename("crps")


def log_scores(forecast: xr.DataTree) -> xr.Dataset:
    """Read the log of the mixture predictive density at the truth.

    Args:
        forecast: a forecast tree.

    Returns:
        One variable per channel on ([station,] init_time, lead_time), in log of one over the
        channel's units, higher is better; empty when the forecast was made without the truth.
    """
    clock = predictions(forecast)
    if "log_score" not in forecast.children:
        return xr.Dataset()
    written = forecast["log_score"].to_dataset()
    return written.assign_coords(init_time=clock["init_time"], lead_time=clock["lead_time"])


def climatological_sd(truth: xr.Dataset) -> dict[str, float]:
    """Measure the standard deviation of each channel over everything the truth holds.

    A direction is measured on the circle of unit radius, as ``sqrt(1 - R^2)`` with ``R`` the
    length of the mean unit vector.

    Args:
        truth: paired or plain truth, in the channels' units.

    Returns:
        One positive number per channel, in its units (no unit for a direction); 1 for a channel
        that never changes, which cannot be scaled.
    """
    scales = {}
    for name, channel in truth.data_vars.items():
        values = channel.values[np.isfinite(channel.values)]
        cycle = period(channel)
        points = values[:, None] if cycle is None else _on_circle(values, cycle)
        spread = float(np.sqrt(points.var(axis=0).sum())) if values.size else 0.0
        scales[str(name)] = spread if spread > 0 else 1.0
    return scales


def energy_score(
    members: Mapping[str, xr.DataArray],
    truth: xr.Dataset,
    scales: Mapping[str, float],
    *,
    rng: np.random.Generator,
) -> xr.DataArray:
    """Score all channels of a cell together, over the channels observed there.

    A direction enters as its unit vector. Pairs of members are counted over cyclic shifts of the
    (shuffled) ensemble: all of them for up to 34 members, else 16 shifts, which keeps the score
    unbiased at a cost linear in the number of members.

    Args:
        members: (..., member) for each channel, in its units.
        truth: (...) for each channel, same units, NaN where missing.
        scales: the climatological standard deviation of each channel.
        rng: shuffles the members before they are paired.

    Returns:
        (...), without unit, lower is better; NaN where no channel is observed.
    """
    names = list(members)
    dims = truth[names[0]].dims
    points, target, seen = [], [], []
    for name in names:
        value = truth[name].transpose(*dims).values
        paths = members[name].transpose(*dims, "member").values
        cycle = period(members[name])
        for path, at in zip(_columns(paths, cycle), _columns(value, cycle), strict=True):
            points.append(path / scales[name])
            target.append(at / scales[name])
            seen.append(np.isfinite(value))
    paths, at, known = np.stack(points, -1), np.stack(target, -1), np.stack(seen, -1)
    paths = np.where(known[..., None, :], paths, 0.0)
    at = np.where(known, at, 0.0)
    paths = paths[..., rng.permutation(paths.shape[-2]), :]
    to_truth = np.linalg.norm(paths - at[..., None, :], axis=-1).mean(-1)
    score = np.where(known.any(-1), to_truth - _pair_distance(paths) / 2, np.nan)
    coords = {dim: truth[dim] for dim in dims if dim in truth.coords}
    return xr.DataArray(score, coords, dims, name="energy_score")


def mean_error(members: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    """Take the forecast mean minus the truth, the shorter way round for a direction.

    Args:
        members: (..., member), in the channel's units.
        truth: (...), same units.

    Returns:
        (...), same units.
    """
    cycle = period(members)
    if cycle is None:
        return members.mean("member", skipna=False) - truth
    middle = xr.apply_ufunc(
        mean_direction, members, input_core_dims=[["member"]], kwargs={"cycle": cycle}
    )
    return xr.apply_ufunc(wrap, middle - truth, kwargs={"cycle": cycle})


def variance(members: xr.DataArray) -> xr.DataArray:
    """Give the unbiased variance of the members, about the mean direction for a direction.

    Args:
        members: (..., member), in the channel's units.

    Returns:
        (...), units squared; zero for a single member.
    """
    if members.sizes["member"] == 1:
        return xr.zeros_like(members.isel(member=0, drop=True))
    cycle = period(members)
    if cycle is None:
        return members.var("member", ddof=1, skipna=False)
    return xr.apply_ufunc(
        lambda values: (
            np.sum(wrap(values - mean_direction(values, cycle)[..., None], cycle) ** 2, axis=-1)
            / (values.shape[-1] - 1)
        ),
        members,
        input_core_dims=[["member"]],
    )


def _crps_circular(values: np.ndarray, truth: np.ndarray, cycle: float) -> np.ndarray:
    """Score directions by the fair circular CRPS."""
    to_truth = np.abs(wrap(values - truth[..., None], cycle)).mean(axis=-1)
    if values.shape[-1] == 1:
        return to_truth
    return to_truth - mean_distance(values, cycle) / 2


def _pair_distance(paths: np.ndarray) -> np.ndarray:
    """Average the Euclidean distance over pairs of members, (..., member, column) -> (...)."""
    count = paths.shape[-2]
    if count == 1:
        return np.zeros(paths.shape[:-2])
    shifts = range(1, min((count - 1) // 2, SHIFTS) + 1)
    terms = [np.linalg.norm(paths - np.roll(paths, s, axis=-2), axis=-1).mean(-1) for s in shifts]
    weights = [1.0] * len(terms)
    if count % 2 == 0 and count // 2 <= SHIFTS + 1:
        half = paths[..., : count // 2, :] - paths[..., count // 2 :, :]
        terms.append(np.linalg.norm(half, axis=-1).mean(-1))
        weights.append(0.5)
    return np.average(terms, axis=0, weights=weights)


def _columns(values: np.ndarray, cycle: float | None) -> list[np.ndarray]:
    """Spread a channel over the columns of the energy score: itself, or cosine and sine."""
    if cycle is None:
        return [values]
    return list(np.moveaxis(_on_circle(values, cycle), -1, 0))


def _on_circle(values: np.ndarray, cycle: float) -> np.ndarray:
    """Place directions on the unit circle, (...) -> (..., 2)."""
    turns = 2 * np.pi * values / cycle
    return np.stack([np.cos(turns), np.sin(turns)], axis=-1)
