r"""Whether a filter still follows, by its innovations over the last cycles that were read.

$$\chi = \overline{d^2 / s^2}, \qquad \kappa = \overline{a^2 / s^2} \Big/ \overline{d^2 / s^2}$$

with d a reading minus the background, a the same reading minus the analysis, and s the standard deviation that the
filter expects of d. A filter that knows how wrong it is has $\chi$ near 1. One whose innovations are far larger
than it expects, and which is hardly moved by them, believes itself and no reading: it has lost the state. One that
is told of far too large an error of the readings hides behind it: there $\chi$ of the whole record tells
(`assim.verify_assimilation`).
"""

import numpy as np

from assim.data.clockwork import stamp

LOST = {
    "long_name": "whether the state is lost",
    "flag_values": [0, 1],
    "flag_meanings": "followed lost",
}
"""Attributes of what is told of each time."""
CYCLES = 20
SURPRISE = 6.0
"""Chi beyond which innovations are far larger than expected."""
UNMOVED = 0.5
"""Kappa beyond which an analysis hardly moves towards the readings."""


class Watch:
    """What was seen of a filter so far; one for each record.

    Args:
        station: label of the record, or None.
    """

    def __init__(self, station: str | None = None) -> None:
        self.station = station
        self.recent = np.zeros((0, 2))
        self.worst = 0.0
        self.lost: np.datetime64 | None = None
        self.broken: np.datetime64 | None = None

    def __call__(
        self, times: np.ndarray, before: np.ndarray, after: np.ndarray, finite: np.ndarray
    ) -> np.ndarray:
        """Whether the state is lost at each time, shape (time,).

        Args:
            times: shape (time,).
            before: mean square of innovations in units of what is expected, shape (time,); NaN where none came.
            after: the same of what is left of them, shape (time,).
            finite: whether the analysis is made of numbers, shape (time,).
        """
        out = np.zeros(times.size, bool)
        for k, pair in enumerate(zip(before, after, strict=True)):
            if np.isfinite(pair).all():
                self.recent = np.concatenate([self.recent, [pair]])[-CYCLES:]
            chi, left = self.recent.mean(axis=0) if len(self.recent) == CYCLES else (0.0, 0.0)
            lost = chi > SURPRISE and left > UNMOVED * chi
            self.worst = max(self.worst, float(chi) if lost else 0.0)
            out[k] = lost or not finite[k]
            if lost and self.lost is None:
                self.lost = times[k]
            if not finite[k] and self.broken is None:
                self.broken = times[k]
        return out

    def advice(self, who: str) -> list[str]:
        """Sentences on what went wrong, none where nothing did."""
        at = "" if self.station is None else f" at {self.station}"
        if self.broken is not None:
            return [
                f"{who}{at} came to values that are no numbers at {stamp(self.broken)}, and says nothing from "
                "then on: use a shorter step of the model, more members, or a prior nearer to the readings."
            ]
        if self.lost is not None:
            return [
                f"{who}{at} lost the state by {stamp(self.lost)}: its innovations became {self.worst:.0f} times "
                "as large, in squares, as it expects, and hardly moved it. Give it more inflation, more members, "
                "noise in the model, or a larger error of the readings, and see assim.verify_assimilation."
            ]
        return []
