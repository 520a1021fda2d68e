"""Where forecasts start: rows of a record, what was read up to them, and whether its plan reaches far enough."""

import warnings
from numbers import Integral

import numpy as np
import pandas as pd

from assim.data.clockwork import stamp, uneven
from assim.data.framing import Frame
from assim.data.selecting import Needs
from assim.data.stepping import Steps
from assim.forecasting_populations import Origins
from assim.verifying import lead_words

FEW = 3
"""Names that a sentence lists before it counts the others."""


def in_steps(asked: str | int, clock: Steps, name: str) -> int:
    """A duration or a number of steps, in steps.

    Args:
        asked: as "6h", or a number of steps.
        clock: the steps.
        name: what the argument is called.

    Raises:
        ValueError: no duration, or less than a step.
    """
    if isinstance(asked, Integral):
        steps = int(asked)
    else:
        try:
            steps = clock.within(pd.Timedelta(asked).total_seconds())
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"{name}={asked!r} is not a duration: write it as '6h' or '30min'."
            ) from error
    if steps < 1:
        raise ValueError(
            f"{name}={asked!r} is shorter than one step of {duration(1, clock)}: ask for more."
        )
    return steps


def duration(leads: int, steps: Steps) -> str:
    """So many steps, in words."""
    if steps.months:
        return "1 month" if leads * steps.months == 1 else f"{leads * steps.months} months"
    return lead_words(np.timedelta64(round(leads * steps.seconds * 1e9), "ns"))


def require_leads(needs: Needs, leads: int, steps: Steps) -> None:
    """Refuse more leads than a model has.

    Raises:
        ValueError: it says how many there are.
    """
    if needs.horizon > 1 and leads > needs.horizon:
        raise ValueError(
            f"The model was fitted for {needs.horizon} leads and {leads} are asked for: ask for at most "
            f"{duration(needs.horizon, steps)}, or fit it again for a horizon of {leads} steps."
        )


def require_even(frame: Frame, needs: Needs) -> None:
    """Refuse inputs at equal steps of a record at times of its own.

    Raises:
        ValueError: it names them.
    """
    if frame.inputs and needs.own_times and uneven(frame.times, frame.step):
        raise ValueError(
            f"The record stands at times of its own, and {', '.join(frame.inputs)} are asked for at equal steps: "
            "put it on one clock with assim.align, or fit without inputs."
        )


def origin_rows(
    times: np.ndarray,
    steps: Steps,
    last: int,
    origins: Origins,
    leads: int,
    first: np.datetime64 | None,
) -> np.ndarray:
    """Rows of the origins on a clock of that step, oldest first; `last` is the last that may be one.

    Raises:
        ValueError: no times, or times off the clock.
    """
    begin = 0 if first is None else max(int(np.searchsorted(times, first)) - 1, 0)
    if origins is None or isinstance(origins, str):
        if origins == "last":
            return np.array([last])
        every = leads if origins is None else in_steps(origins, steps, "origins")
        return np.arange(last, min(begin, last) - 1, -every)[::-1].copy()
    try:
        asked = np.unique(np.atleast_1d(np.asarray(origins, "datetime64[ns]")))
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"origins={origins!r} are no times: give 'last', a duration, or times as '2020-06-01T12:00'."
        ) from error
    if asked.size == 0:
        raise ValueError("origins=[] asks for no forecast: name a time, or 'last'.")
    rows = np.searchsorted(times, asked)
    final = len(times) - 1
    off = (rows > final) | (times[np.minimum(rows, final)] != asked)
    if off.any():
        raise ValueError(
            f"The origin {stamp(asked[off][0])} is not on the clock of the record ({stamp(times[0])} to "
            f"{stamp(times[-1])}, every {duration(1, steps)}): choose one of its times."
        )
    return rows


def last_row(frame: Frame) -> int:
    """The last row of the record; where there are controls, the last with a reading."""
    read = np.flatnonzero(np.isfinite(frame.y).any(axis=(0, 2)))
    if frame.num_controls and read.size:
        return int(read[-1])
    return len(frame.times) - 1


def plan_known(frame: Frame, rows: np.ndarray, leads: int) -> np.ndarray:
    """Whether each run knows its controls at all leads of each origin, shape (run, row)."""
    return ~lost_controls(frame, rows, leads).any(axis=(2, 3))


def with_plan(
    frame: Frame, rows: np.ndarray, leads: int, *, some: bool, shorter: bool
) -> np.ndarray:
    """The origins whose controls every run knows at all leads.

    Those that only some runs lose, between the first and the last reading of another that knows its controls there,
    are told of in a warning, addressed to the caller's caller.

    Args:
        frame: the record.
        rows: of the origins.
        leads: at which the controls are read.
        some: whether some of the origins will do; else all have to be known.
        shorter: whether a shorter horizon would do.

    Raises:
        ValueError: none of them, or with `some` false not all.
    """
    known = plan_known(frame, rows, leads)
    kept = known.all(axis=0)
    if not (kept.any() if some else kept.all()):
        short = rows[~kept][-1 if some else 0]
        raise ValueError(missing_plan(frame, short, leads, shorter=shorter))
    read = np.isfinite(frame.y).any(axis=2)
    within = np.logical_or.accumulate(read, axis=1)
    within &= np.logical_or.accumulate(read[:, ::-1], axis=1)[:, ::-1]
    lost = (known & within[:, rows]).any(axis=0) & ~kept
    if lost.any() and frame.stations is not None:
        lacking = (~known & lost).any(axis=1)
        runs = [s for s, gone in zip(frame.stations, lacking, strict=True) if gone]
        warnings.warn(
            f"{lost.sum()} of the {rows.size} origins are left out of every {frame.instance}, since the record "
            f"does not give the controls of {in_words(runs)} at all leads: add their plan, or forecast the others "
            "by themselves.",
            UserWarning,
            stacklevel=3,
        )
    return rows[kept]


def missing_plan(frame: Frame, row: int, leads: int, *, shorter: bool = True) -> str:
    """The sentence on controls that are not known over the horizon: which, of which runs, and when.

    Args:
        frame: the record.
        row: of the origin.
        leads: at which the controls are read.
        shorter: whether a shorter horizon would do.
    """
    lost = lost_controls(frame, np.array([row]), leads)[:, 0]
    whose = ""
    if frame.stations is not None:
        runs = [s for s, gone in zip(frame.stations, lost.any(axis=(1, 2)), strict=True) if gone]
        whose = f" of {frame.instance} {in_words(runs)}"
    every = f", at all {leads} leads of the model" if leads > 1 else ""
    cure = ", or ask for a shorter horizon" if shorter else every
    return (
        f"The forecast{whose} from {stamp(frame.times[row])} needs {lost_words(frame, row, lost.any(axis=0))}, "
        f"which the record does not give: add their plan{cure}."
    )


def lost_controls(frame: Frame, rows: np.ndarray, leads: int) -> np.ndarray:
    """Which controls are unknown, shape (run, row, lead, control); those that last are known beyond the record."""
    beyond = max(0, int(rows.max()) + leads + 1 - len(frame.times))
    u = frame.extended(beyond).u[..., : frame.num_controls]
    return ~np.isfinite(u[:, rows[:, None] + np.arange(1, leads + 1)])


def lost_words(frame: Frame, row: int, lost: np.ndarray) -> str:
    """Which controls are unknown (lead, control) after a row, and from when to when, in words."""
    names = [n for n, gone in zip(frame.inputs, lost.any(axis=0), strict=False) if gone]
    leads = np.flatnonzero(lost.any(axis=1)) + 1
    step = np.timedelta64(round(frame.step * 1e9), "ns")
    start, end = frame.times[row] + leads[0] * step, frame.times[row] + leads[-1] * step
    return f"the controls {', '.join(names)} from {stamp(start)} to {stamp(end)}"


def silent_sensors(frame: Frame, rows: np.ndarray, context: int) -> list[str]:
    """The sensors without one reading in the `context` rows up to any of the origins, in any run."""
    at = rows[:, None] - np.arange(context)
    read = np.isfinite(frame.y[:, np.maximum(at, 0)]) & (at >= 0)[..., None]
    heard = read.any(axis=(0, 1, 2))
    return [name for name, any_read in zip(frame.channels, heard, strict=True) if not any_read]


def in_words(names: list[str]) -> str:
    """Some names, and how many more there are."""
    more = f" and {len(names) - FEW} more" if len(names) > FEW else ""
    return ", ".join(names[:FEW]) + more
