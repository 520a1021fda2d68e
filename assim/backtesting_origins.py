"""Which origins a backtest asks for, which of them each run can serve, and why not the others."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from assim.data.clockwork import JITTER, counted_steps, stamp
from assim.data.framing import Frame
from assim.data.selecting import Needs
from assim.data.splitting import Moment, moment, run_dim
from assim.data.stepping import Steps
from assim.origins import duration, in_steps, lost_controls, lost_words, require_even, require_leads


@dataclass(frozen=True)
class Asked:
    """The origins of a backtest.

    Args:
        frame: the record.
        rows: of all origins, rising.
        leads: steps that are forecast from each.
        ahead: steps at which the model reads controls.
        reasons: why an origin is none of a run, "" where it is, shape (run, origin).
    """

    frame: Frame
    rows: np.ndarray
    leads: int
    ahead: int
    reasons: np.ndarray

    @property
    def steps(self) -> Steps:
        """The steps of the clock."""
        return Steps(self.frame.step)

    @property
    def kept(self) -> np.ndarray:
        """Which origins each run has, shape (run, origin)."""
        return self.reasons == ""

    @property
    def total(self) -> int:
        """Origins asked for, over all runs."""
        return self.reasons.size

    @property
    def lacking(self) -> int:
        """How many of them are left out."""
        return int((~self.kept).sum())

    def in_steps(self, asked: str | int, name: str) -> int:
        """A duration or a number of steps, in steps."""
        return in_steps(asked, self.steps, name)

    def open_rows(self, runs: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Rows of the origins that any of some runs has."""
        return self.rows[self.kept[runs].any(axis=0)]

    def lose(self, runs: np.ndarray, rows: np.ndarray, why: str) -> None:
        """Leave out the origins that some runs still have at some rows."""
        at = np.ix_(runs, np.searchsorted(self.rows, rows))
        self.reasons[at] = np.where(self.kept[at], why, self.reasons[at])

    def require_some(self) -> None:
        """Refuse a backtest of no origin.

        Raises:
            ValueError: it says why.
        """
        if not self.kept.any():
            raise ValueError(
                f"None of the {self.total} origins asked for can be forecast; of the first: {self.reasons[0, 0]}."
            )

    def left_out(self) -> dict[str, xr.Dataset]:
        """The group that tells of each origin that is left out; nothing where none is."""
        run, origin = np.nonzero(~self.kept)
        if not run.size:
            return {}
        told = {"reason": ("origin", self.reasons[run, origin].astype(str))}
        coords = {"init_time": ("origin", self.frame.times[self.rows[origin]])}
        if self.frame.stations is not None:
            names = np.array(self.frame.stations)[run]
            coords[self.frame.instance] = ("origin", names)
        return {"left_out": xr.Dataset(told, coords)}


def asked_in_time(
    frame: Frame, needs: Needs, horizon: str | int, start: Moment | None, every: str | int | None
) -> Asked:
    """Origins that roll on from `start`, or from the middle of the record."""
    times = frame.times.astype("datetime64[us]")
    middle = times[0] + (times[-1] - times[0]) // 2
    first = int(np.searchsorted(frame.times, middle))
    return _asked(frame, needs, horizon, start, every, first)


def asked_by_run(
    frame: Frame,
    needs: Needs,
    horizon: str | int,
    start: Moment | None,
    every: str | int | None,
    ds: xr.Dataset,
) -> Asked:
    """Origins along every run, from `start` or from where a model can look back as far as it does.

    Raises:
        ValueError: a record without runs, or as `_asked`.
    """
    run_dim(ds)
    return _asked(frame, needs, horizon, start, every, needs.context - 1)


def _asked(
    frame: Frame,
    needs: Needs,
    horizon: str | int,
    start: Moment | None,
    every: str | int | None,
    first: int,
) -> Asked:
    """The origins from a row on, with the reasons why some are none.

    Raises:
        ValueError: a horizon beyond the model's own or longer than every run, or no origin at all.
    """
    steps, times = Steps(frame.step), frame.times
    leads = in_steps(horizon, steps, "horizon")
    require_leads(needs, leads, steps)
    require_even(frame, needs)
    pace = leads if every is None else in_steps(every, steps, "every")
    if start is not None:
        first = int(np.searchsorted(times, moment(start, "start")))
    rows = np.arange(first, len(times) - 1, pace)
    if not rows.size:
        raise ValueError(
            f"No origin lies between {'the first window' if start is None else f'start={start}'} and the end of "
            f"the record, {stamp(times[-1])}: give an earlier start, or a longer record."
        )
    asked = Asked(
        frame,
        rows,
        leads,
        max(leads, needs.horizon),
        np.full((len(frame.y), rows.size), "", object),
    )
    _judge_spans(asked)
    _judge_plans(asked)
    return asked


def _judge_spans(asked: Asked) -> None:
    """Leave out what lies before a run, or whose horizon ends after it."""
    frame, rows = asked.frame, asked.rows
    step = np.timedelta64(round(frame.step * 1e9), "ns")
    read = np.isfinite(frame.y)
    targets = read[..., np.array(frame.is_target)].any(axis=-1)
    ends, spans = frame.times[rows] + asked.leads * step, []
    for run, (any_read, told) in enumerate(zip(read.any(axis=-1), targets, strict=True)):
        here = np.array([run])
        if not told.any():
            asked.lose(here, rows, "no target was read in the run")
            continue
        begin, last = (
            frame.times[np.flatnonzero(any_read)[0]],
            frame.times[np.flatnonzero(told)[-1]],
        )
        tick, rest = counted_steps(last, begin, frame.step)
        spans.append(float(tick + rest))
        if asked.leads > spans[-1] + JITTER:
            lasts = duration(round(spans[-1]), asked.steps)
            asked.lose(here, rows, f"the horizon is longer than the run, which lasts {lasts}")
            continue
        asked.lose(here, rows[frame.times[rows] < begin], f"the run begins at {stamp(begin)}")
        late = f"the horizon ends after the last target reading, at {stamp(last)}"
        asked.lose(here, rows[ends > last + JITTER * step], late)
    longest = max(spans, default=0.0)
    if spans and asked.leads > longest + JITTER:
        what = "the record" if frame.stations is None else f"the longest {frame.instance}"
        raise ValueError(
            f"A horizon of {duration(asked.leads, asked.steps)} is longer than {what}, which lasts "
            f"{duration(round(longest), asked.steps)}: ask for a shorter one."
        )


def _judge_plans(asked: Asked) -> None:
    """Leave out origins whose controls are not known as far ahead as the model reads them."""
    frame, lost = asked.frame, lost_controls(asked.frame, asked.rows, asked.ahead)
    for run, origin in np.argwhere(lost.any(axis=(2, 3)) & asked.kept):
        row = asked.rows[origin]
        words = lost_words(frame, row, lost[run, origin])
        asked.lose(np.array([run]), np.array([row]), f"the record does not give {words}")
