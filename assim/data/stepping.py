r"""Steps of a clock that go on beyond a record: of equal length, or of whole calendar months.

$$t_k = t_0 + k\,\Delta \qquad\text{or}\qquad t_k = t_0 + k\,n\ \text{months}$$

A month is as long as the calendar has it, and so is a quarter or a year. A duration is counted in mean months, and
the shortest stretch of as many still counts for them: 28 days are a month, 89 days three.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assim.types import SECONDS_PER_DAY, SECONDS_PER_YEAR

MONTH = SECONDS_PER_YEAR / 12
"""Seconds of a mean month."""
SPARE = 0.085
"""Of a month: more than the shortest stretch of some months lacks of as many mean ones."""
CALENDAR = "step_months"
"""Attribute of leads that are counted in calendar months: how many to a step."""
LAST_DAY = 28
"""Of a month, that all months have."""


@dataclass(frozen=True)
class Steps:
    """The steps of a clock.

    Args:
        seconds: nominal length of a step.
        months: whole calendar months in a step; 0 for steps of equal length.
    """

    seconds: float
    months: int = 0

    @classmethod
    def of(cls, times: NDArray[np.datetime64], seconds: float) -> "Steps":
        """Those of a record: calendar months where all stamps stand at one moment of theirs.

        Args:
            times: stamps in any order, shape (time,).
            seconds: nominal length of a step.
        """
        times = np.unique(times.astype("datetime64[ns]"))
        within = times - times.astype("datetime64[M]").astype("datetime64[ns]")
        months = round(seconds / MONTH)
        near = months > 0 and abs(seconds / MONTH - months) <= SPARE
        alike = times.size > 1 and (within == within[0]).all()
        return cls(seconds, months if near and alike and _in_all_months(within[0]) else 0)

    def after(self, start: np.datetime64, count: int) -> NDArray[np.datetime64]:
        """The times of the next `count` steps, shape (count,), datetime64[ns]."""
        start, number = np.datetime64(start, "ns"), np.arange(1, count + 1)
        if not self.months:
            return start + number * np.timedelta64(round(self.seconds * 1e9), "ns")
        month = start.astype("datetime64[M]")
        return (month + number * self.months).astype("datetime64[ns]") + (start - month)

    def within(self, seconds: float) -> int:
        """Whole steps in a duration."""
        if not self.months:
            return int(np.floor(seconds / self.seconds + 1e-6))
        return int(np.floor((seconds / MONTH + SPARE) / self.months))


def whole_months(durations: NDArray[np.timedelta64]) -> NDArray[np.int64]:
    """Calendar months in some durations that are whole ones from somewhere, shape (duration,)."""
    return np.rint(durations / np.timedelta64(1, "s") / MONTH).astype(np.int64)


def _in_all_months(within: np.timedelta64) -> bool:
    return bool(within / np.timedelta64(1, "s") < LAST_DAY * SECONDS_PER_DAY)
