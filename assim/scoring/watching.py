"""What was foretold of an event at each origin, beside what came of it within the horizon.

Only origins at which the truth is calm can warn of an onset: during an episode there is none to come.
"""

from __future__ import annotations

import difflib

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from assim.data.aligning import Duration, nanoseconds
from assim.data.clockwork import JITTER, regular_clock, step_words
from assim.data.spreading import spread
from assim.scoring.episodes import begins_within, episodes, onsets, state_at
from assim.scoring.pairing import in_units_of, match_places

ORIGINS = ("init_time", "lead_time")


def alarm_frames(
    chance: xr.DataArray,
    truth: xr.Dataset,
    *,
    horizon: Duration | None = None,
    clear: float | None = None,
    gap: Duration | None = None,
) -> xr.Dataset:
    """Lay the probability of an event at each origin beside what came of it.

    Args:
        chance: probabilities ([run,] init_time, lead_time) of passing a threshold within each lead, with the
            attributes of the event, as `assim.exceedance` gives them; the origins at one spacing.
        truth: the record that holds what happened, on `time` and the runs of the forecast; its times hold the
            origins.
        horizon: which lead is watched, as "500ms"; None for the last.
        clear: the level at which an episode is over, as in `episodes`, in units of the threshold.
        gap: the furthest that two episodes of one lie apart, as in `episodes`.

    Returns:
        On ([run,] init_time), origins left out filled in: `probability`; `active`, 1 within an episode, 0 outside,
        NaN where it is unknown; `event`, 1 or 0 for whether an episode begins within the horizon, NaN within one
        and where it is unknown. On ([run,] time): `episode` and `onset`. Attributes: those of the event, `horizon`
        and `spacing` of the origins in s.

    Raises:
        ValueError: probabilities without the attributes of their event, no such lead, a horizon no shorter than
            the record, origins at no fixed spacing or off the clock of the truth, or as `episodes`.
    """
    about = _event_of(chance)
    lead = _lead(chance, horizon)
    known = truth_of(chance, truth)
    state = episodes(known, about["threshold"], about["side"], clear=clear, gap=gap)
    times = state["time"].values
    require_within(known, lead)
    origins, at, spacing = _origins(chance)
    step = (times[-1] - times[0]) / np.timedelta64(times.size - 1, "ns")
    rows = _rows(origins, times, step)
    ahead = round(lead / step)
    if ahead < 1:
        raise ValueError(
            f"The horizon of {step_words(lead / 1e9)} is shorter than one step of the truth "
            f"({step_words(step / 1e9)}): give a record on a finer clock, or a longer horizon."
        )
    places = [str(dim) for dim in state.dims if dim != "time"]
    flat = state.values.reshape(-1, times.size)
    foretold = chance.sel(lead_time=np.timedelta64(lead, "ns")).transpose(*places, "init_time")
    shape = (*foretold.shape[:-1], origins.size)
    probability = np.full(shape, np.nan)
    probability[..., at] = foretold.values
    active, event = state_at(flat, rows), begins_within(flat, rows, ahead)
    by_origin, by_time = (*places, "init_time"), (*places, "time")
    return xr.Dataset(
        {
            "probability": (by_origin, probability, {"units": "1"}),
            "active": (by_origin, active.reshape(shape), {"units": "1"}),
            "event": (by_origin, event.reshape(shape), {"units": "1"}),
            "episode": (by_time, state.values, state.attrs),
            "onset": (by_time, onsets(state.values), {"long_name": "beginning of an episode"}),
        },
        {dim: state[dim] for dim in places if dim in state.coords}
        | {"init_time": origins, "time": times},
        about | {"horizon": lead / 1e9, "spacing": spacing},
    )


def truth_of(chance: xr.DataArray, truth: xr.Dataset) -> xr.DataArray:
    """Take the channel of an event out of the truth, at the places and in the units of the forecast.

    Args:
        chance: probabilities of the event, as of `alarm_frames`.
        truth: the record that holds what happened.

    Returns:
        (..., time), the places those of the probabilities.

    Raises:
        ValueError: the truth has no such channel or not these places, or its units are of another kind.
    """
    about = _event_of(chance)
    truth, name = spread(truth), about["variable"]
    if name not in truth.data_vars:
        near = difflib.get_close_matches(name, [str(v) for v in truth.data_vars], n=3)
        hint = f"did you mean {near}?" if near else f"it holds {list(truth.data_vars)}."
        raise ValueError(f"The truth has no variable '{name}', which the event is of; {hint}")
    like = chance.isel(lead_time=0, drop=True).rename(name)
    like.attrs = {"units": about["threshold_units"]} if about["threshold_units"] else {}
    known = match_places(like, in_units_of(like, truth[name]))
    places = [dim for dim in like.dims if dim != "init_time"]
    return known.reset_coords(drop=True).transpose(*places, "time").astype(float).compute()


def require_within(known: xr.DataArray, lead: int) -> None:
    """Refuse a horizon that reaches over the whole of a record.

    Args:
        known: the record on (..., time), NaN where missing.
        lead: the horizon, nanoseconds.

    Raises:
        ValueError: the horizon is as long as the record from its first to its last reading, or longer.
    """
    along = known.notnull().transpose("time", ...).values.reshape(known.sizes["time"], -1)
    read = np.flatnonzero(along.any(axis=1))
    times = known["time"].values.astype("datetime64[ns]")[read]
    length = int((times[-1] - times[0]).astype(np.int64)) if read.size else 0
    if lead >= length:
        what = "runs of the record last" if "run" in known.dims else "record lasts"
        raise ValueError(
            f"The horizon of {step_words(lead / 1e9)} is no shorter than the truth of '{known.name}': the {what} "
            f"{step_words(length / 1e9)} from the first reading to the last; ask for a shorter horizon."
        )


def _event_of(chance: xr.DataArray) -> dict:
    """The attributes of the event that the probabilities are of."""
    names = ("variable", "threshold", "threshold_units", "side")
    lacking = [name for name in names if name not in chance.attrs]
    if lacking or not set(ORIGINS) <= set(chance.dims):
        raise ValueError(
            f"These are no probabilities of an event by origin and lead (dimensions {list(chance.dims)}, without "
            f"the attributes {lacking}): make them with assim.exceedance(forecast, variable, threshold), and keep "
            "their attributes."
        )
    return {name: chance.attrs[name] for name in names}


def _lead(chance: xr.DataArray, horizon: Duration | None) -> int:
    """The lead that is watched, nanoseconds."""
    held = chance["lead_time"].values.astype("timedelta64[ns]").astype(np.int64)
    if horizon is None:
        return int(held[-1])
    lead = nanoseconds(horizon, "horizon")
    if lead not in held:
        words = [step_words(one / 1e9) for one in held]
        raise ValueError(
            f"There is no probability at the lead {step_words(lead / 1e9)}, only at {', '.join(words)}: choose "
            "one, or forecast further."
        )
    return lead


def _origins(chance: xr.DataArray) -> tuple[NDArray[np.datetime64], NDArray[np.intp], float]:
    """The clock of the origins without holes, which of it are there, and their spacing in s."""
    given = chance["init_time"].values.astype("datetime64[ns]")
    try:
        return regular_clock(given)
    except ValueError as error:
        raise ValueError(
            f"The {given.size} origins do not follow each other at one spacing, so that alarms have no length: "
            "forecast with origins= as a duration, such as the step of the record, from three times at least."
        ) from error


def _rows(origins: NDArray[np.datetime64], times: NDArray[np.datetime64], step: float) -> NDArray:
    """The row of each origin on the clock of the truth, which it may lie before or after."""
    since = (origins - times[0]) / np.timedelta64(1, "ns") / step
    rows = np.rint(since).astype(int)
    if (np.abs(since - rows) > 2 * JITTER).any() or not ((rows >= 0) & (rows < times.size)).any():
        raise ValueError(
            f"The origins from {origins[0]} on are not among the times of the truth ({times[0]} to {times[-1]}, "
            f"every {step_words(step / 1e9)}): give the record that was forecast from, on the same clock."
        )
    return rows
