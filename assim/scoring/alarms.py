r"""Alarms that a probability raises of an event to come: hits, misses, false alarms, and how early they warn.

An alarm stands at the origins of calm time where the probability that the event begins within the horizon $h$
reaches a level. The onset at $T$ is hit if an alarm stands at some origin in $[T - h, T)$, and missed if none does;
its lead is $T - t_1$ with $t_1$ the first such origin, so that $0 < T - t_1 \le h$. An alarm is a claim about one
horizon: one that stands longer is cut from its beginning into alarms of a horizon each, and each is false if no
onset follows within $h$ of any of its origins. So one that always stands is no better than the $1/h$ false alarms
that it is (compare the seizure prediction characteristic of Winterhalder et al. 2003, Epilepsy & Behavior 4). Of
$k$ false alarms in the calm time $\tau$ the rate is $k / \tau$, with the interval of a Poisson count (Garwood 1936,
Biometrika 28) of probability $q$

$$\big[\tfrac12 \chi^2_{2k}(\tfrac{1 - q}{2}),\ \tfrac12 \chi^2_{2k+2}(\tfrac{1 + q}{2})\big] / \tau .$$
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from assim.data.aligning import Duration
from assim.data.spreading import spread
from assim.scoring.events import event_scores
from assim.scoring.watching import alarm_frames

HOUR = 3600.0
INTERVAL = 0.9
QUARTILES = [0.25, 0.5, 0.75]
CANDIDATES = 200
UNITS = {"false_alarm_rate": "h-1", "lead": "s", "stable_time": "s"}
WORDS = {
    "onsets": "onsets with a forecast within the horizon before them",
    "hits": "onsets that an alarm preceded",
    "misses": "onsets that no alarm preceded",
    "false_alarms": "alarms that no onset followed",
    "hit_rate": "share of onsets that were hit",
    "false_alarm_rate": "false alarms for each hour of calm time",
    "false_alarm_rate_interval": "false alarms for each hour of calm time, bounds",
    "lead": "lead time of the first alarm before an onset",
    "lead_quantile": "lead time of the first alarm before an onset, quartiles over hits",
    "stable_time": "calm time that was judged",
    "brier": "Brier score at calm origins",
    "brier_skill": "Brier skill at calm origins against the frequency of an onset there",
    "auc": "area under the ROC curve at calm origins",
    "frequency": "frequency of an onset within the horizon of calm origins",
    "count": "calm origins that were judged",
}


def alarms(
    chance: xr.DataArray,
    truth: xr.Dataset,
    level: float | Sequence[float],
    *,
    horizon: Duration | None = None,
    clear: float | None = None,
    gap: Duration | None = None,
) -> xr.Dataset:
    """Judge the alarms that a probability raises when it reaches a level, each run by itself.

    Args:
        chance: probabilities ([run,] init_time, lead_time) of an event, from consecutive origins, as
            `assim.exceedance` or `Logistic.probability` gives them.
        truth: the record that holds what happened.
        level: of alarm, in (0, 1], or several.
        horizon: which lead is watched, as "500ms"; None for the last.
        clear: the level at which an episode is over, in units of the threshold; None for the threshold itself.
        gap: the furthest that two episodes of one lie apart, as "200ms"; None for none.

    Returns:
        On `level`: `hits`, `misses` and `false_alarms`, `hit_rate`, `false_alarm_rate` in h-1 with
        `false_alarm_rate_interval(bound)` at 90 %, `lead(onset)` in s, NaN of a miss, and `lead_quantile(quantile)`
        over the hits. Without it: `onsets`, `stable_time` in s, and `brier`, `brier_skill`, `auc`, `frequency` and
        `count` of origins that are calm. `onset_time(onset)` and the run of each onset are coordinates. An onset
        before which no calm origin has a probability counts nowhere, nor does an origin that has none or after
        which the truth is unknown.

    Raises:
        ValueError: a level of 0 or less, or as `alarm_frames`.
    """
    levels = np.atleast_1d(np.asarray(level, float))
    if not (levels > 0).all():
        raise ValueError(f"level={level}: an alarm would always stand; give levels above 0.")
    frames = alarm_frames(chance, truth, horizon=horizon, clear=clear, gap=gap)
    probability, event, onset = flattened(frames)
    windows, place, at = _before(frames, onset, probability)
    if place.size == 0:
        warnings.warn(_nothing(frames, truth), UserWarning, stacklevel=2)
    lead = np.stack([_leads(probability, windows, place, one) for one in levels])
    false = np.array([_false(probability, event, one, _reach(frames)) for one in levels])
    judged = np.isfinite(event) & np.isfinite(probability)
    hours = judged.sum() * frames.attrs["spacing"] / HOUR
    hits = np.isfinite(lead).sum(axis=1)
    held = {
        "onsets": ((), place.size),
        "hits": ("level", hits),
        "misses": ("level", place.size - hits),
        "false_alarms": ("level", false),
        "hit_rate": ("level", hits / place.size if place.size else np.full(hits.shape, np.nan)),
        "false_alarm_rate": ("level", false / hours if hours else np.full(hits.shape, np.nan)),
        "false_alarm_rate_interval": (("level", "bound"), _interval(false, hours)),
        "lead": (("level", "onset"), lead),
        "lead_quantile": (("level", "quantile"), _quantiles(lead)),
        "stable_time": ((), hours * HOUR),
    }
    coords = {"level": levels, "bound": ["lower", "upper"], "quantile": QUARTILES}
    told = xr.Dataset(held, coords | _labels(frames, place, at), frames.attrs)
    told = told.assign(_scores(frames, chance.attrs.get("members")))
    for name, value in told.data_vars.items():
        kind = next((k for k in UNITS if str(name).startswith(k)), "")
        value.attrs = {"long_name": WORDS[str(name)], "units": UNITS.get(kind, "1")}
    return told


def alarm_level(
    chance: xr.DataArray,
    truth: xr.Dataset,
    most: float,
    *,
    horizon: Duration | None = None,
    clear: float | None = None,
    gap: Duration | None = None,
) -> float:
    """Choose a level of alarm on validation data: the lowest from which on false alarms are few enough.

    Candidates are the probabilities above 0 at calm origins, at most 200 of their quantiles; the lowest is taken at
    which, and at all above it, no more than `most` false alarms an hour are raised. Where even the highest raises
    more, the next number above it is given, which none reaches.

    Args:
        chance: as of `alarms`, of data that neither the fit nor the test has.
        truth: those data.
        most: false alarms for each hour of calm time, h-1.
        horizon: as of `alarms`.
        clear: as of `alarms`.
        gap: as of `alarms`.

    Returns:
        The level.

    Raises:
        ValueError: a rate below 0, no calm origin that can be judged, or as `alarm_frames`.
    """
    if not most >= 0:
        raise ValueError(f"most={most:g}: give a rate of false alarms per hour, 0 or more.")
    frames = alarm_frames(chance, truth, horizon=horizon, clear=clear, gap=gap)
    probability, event, _ = flattened(frames)
    judged = np.isfinite(event) & np.isfinite(probability)
    if not judged.any():
        raise ValueError(
            "No origin of the training data is calm and has both a probability and a known outcome, so that no "
            "level can be chosen: give more of the record."
        )
    held = np.quantile(probability[judged], np.linspace(0, 1, CANDIDATES), method="nearest")
    levels = np.append(np.unique(held[held > 0]), np.nextafter(held.max(), np.inf))
    false = np.array([_false(probability, event, one, _reach(frames)) for one in levels])
    rate = false * HOUR / (judged.sum() * frames.attrs["spacing"])
    return float(levels[np.flatnonzero(np.append(np.inf, rate) > most)[-1]])


def flattened(frames: xr.Dataset) -> tuple[NDArray, NDArray, NDArray]:
    """Of `alarm_frames` the probability and event, shape (place, origin), and the onsets, shape (place, time)."""
    names = ("probability", "event", "onset")
    calm = frames.assign(probability=frames["probability"].where(frames["active"] == 0))
    probability, event, onset = (calm[n].values.reshape(-1, calm[n].shape[-1]) for n in names)
    return probability, event, onset


def pieces(
    alarm: NDArray[np.bool_], event: NDArray[np.float64], reach: int
) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Cut alarms into pieces of a horizon at most, and say what followed each.

    Args:
        alarm: whether one stands, shape (place, origin).
        event: 1, 0 or NaN, the same shape.
        reach: origins to a horizon.

    Returns:
        Of each piece: its place, its first and last origin, and 1 where an onset followed within the horizon of
        one of its origins, 0 where none did, NaN where that is unknown of all.
    """
    index = np.arange(alarm.shape[1])
    idle = np.maximum.accumulate(np.where(alarm, -1, index), axis=1)
    first = alarm & ((index - idle - 1) % reach == 0)
    place, begin = np.nonzero(first)
    number = np.cumsum(first.ravel()).reshape(alarm.shape)[alarm] - 1
    came, length = (np.bincount(number, w, place.size) for w in (event[alarm] == 1, None))
    known = np.bincount(number, np.isfinite(event[alarm]), place.size)
    outcome = np.where(came > 0, 1.0, np.where(known > 0, 0.0, np.nan))
    return place, begin, begin + length.astype(int) - 1, outcome


def _reach(frames: xr.Dataset) -> int:
    """Origins to a horizon."""
    return max(1, round(frames.attrs["horizon"] / frames.attrs["spacing"]))


def _false(probability: NDArray, event: NDArray, level: float, reach: int) -> int:
    return int((pieces(probability >= level, event, reach)[3] == 0).sum())


def _before(
    frames: xr.Dataset, onset: NDArray, probability: NDArray
) -> tuple[list[tuple[NDArray, NDArray]], NDArray, NDArray]:
    """Of each onset that counts the calm origins within the horizon before it and their leads in s."""
    origins, times = frames["init_time"].values, frames["time"].values
    windows, kept = [], []
    for place, row in np.argwhere(onset):
        lead = (times[row] - origins) / np.timedelta64(1, "s")
        near = (lead > 0) & (lead <= frames.attrs["horizon"] * (1 + 1e-9))
        near &= np.isfinite(probability[place])
        if near.any():
            windows.append((np.flatnonzero(near), lead[near]))
            kept.append((place, row))
    found = np.array(kept, int).reshape(-1, 2)
    return windows, found[:, 0], found[:, 1]


def _leads(
    probability: NDArray, windows: list[tuple[NDArray, NDArray]], place: NDArray, level: float
) -> NDArray[np.float64]:
    """The lead of the first alarm before each onset, s; NaN where there is none."""
    leads = np.full(place.size, np.nan)
    for i, (origins, lead) in enumerate(windows):
        standing = probability[place[i], origins] >= level
        if standing.any():
            leads[i] = lead[np.argmax(standing)]
    return leads


def _interval(count: NDArray[np.int64], hours: float) -> NDArray[np.float64]:
    """Bounds of the rate of a Poisson count, shape (level, bound)."""
    from scipy.stats import chi2

    low = np.where(count > 0, chi2.ppf((1 - INTERVAL) / 2, 2 * np.maximum(count, 1)), 0.0)
    high = chi2.ppf((1 + INTERVAL) / 2, 2 * count + 2)
    return np.stack([low, high], axis=-1) / 2 / (hours if hours else np.nan)


def _quantiles(lead: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quartiles over the hits, shape (level, quantile)."""
    hit = [one[np.isfinite(one)] for one in lead]
    return np.array([np.quantile(x, QUARTILES) if x.size else [np.nan] * 3 for x in hit])


def _labels(frames: xr.Dataset, place: NDArray, at: NDArray) -> dict[str, tuple[str, NDArray]]:
    """The time of each onset, and where it is."""
    shape = frames["onset"].shape[:-1]
    labels = {"onset_time": ("onset", frames["time"].values[at])}
    for dim, index in zip(
        frames["onset"].dims, np.unravel_index(place, shape or (1,)), strict=False
    ):
        if dim in frames.coords and dim != "time":
            labels[str(dim)] = ("onset", frames[dim].values[index])
    return labels


def _scores(frames: xr.Dataset, members: int | None) -> dict[str, xr.DataArray]:
    """Brier score and area under the ROC curve where it is calm."""
    lead = np.timedelta64(round(frames.attrs["horizon"] * 1e9), "ns")
    chance, event = (frames[k].expand_dims(lead_time=[lead]) for k in ("probability", "event"))
    scored = event_scores(chance, event, members).isel(lead_time=0, drop=True)
    return {str(name): value for name, value in scored.data_vars.items()}


def _nothing(frames: xr.Dataset, truth: xr.Dataset) -> str:
    """The sentence on a record without an onset that counts."""
    name, units = frames.attrs["variable"], frames.attrs["threshold_units"]
    if frames["onset"].any():
        return (
            f"No onset of '{name}' has a calm origin with a probability in the horizon before it, so that no "
            "warning can be judged: forecast from more origins."
        )
    said = f"{frames.attrs['side']} {frames.attrs['threshold']:g} {units}".strip()
    known = spread(truth)[name]
    own = f"{float(known.min()):g} to {float(known.max()):g} {known.attrs.get('units', '')}".strip()
    return (
        f"The truth of '{name}' has no onset of an episode {said}, so that there is nothing to warn of: it lies in "
        f"{own}; ask for a threshold that it passes."
    )
