r"""Calendar features: cosines and sines of the hour of day and of the day of year, in float64.

$$\cos\frac{2\pi k t}{P},\ \sin\frac{2\pi k t}{P}, \qquad k = 1, 2, \quad
P \in \{1\ \text{day}, 365.2425\ \text{days}\}$$
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assim.types import SECONDS_PER_DAY, SECONDS_PER_YEAR

PERIODS = {"day": SECONDS_PER_DAY, "year": SECONDS_PER_YEAR}
HARMONICS = (1, 2)


@dataclass(frozen=True)
class CalendarFeatures:
    """The cycles in use; call it on times to have the features.

    Args:
        cycles: of "day" and "year".
    """

    cycles: tuple[str, ...]

    @classmethod
    def fitting(cls, cycles: tuple[str, ...], times: NDArray, step: float) -> "CalendarFeatures":
        """Those of `cycles` that a record can tell: it spans at least one, with four steps in each."""
        unknown = sorted(set(cycles) - set(PERIODS))
        if unknown:
            raise ValueError(f"calendar={unknown} is unknown; choose from {sorted(PERIODS)}.")
        span = float(np.ptp(times.astype("datetime64[us]")) / np.timedelta64(1, "s"))
        return cls(tuple(c for c in cycles if span >= PERIODS[c] and step <= PERIODS[c] / 4))

    @classmethod
    def cycles_of(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        """The cycles behind some feature names."""
        return tuple(dict.fromkeys(n.partition(".")[0] for n in names))

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names, in the order of the columns."""
        return tuple(f"{c}.{f}{k}" for c in self.cycles for k in HARMONICS for f in ("cos", "sin"))

    def __call__(self, times: NDArray) -> NDArray[np.float64]:
        """Features at `times` (time,), datetime64; shape (time, feature)."""
        seconds = (
            times.astype("datetime64[us]") - np.datetime64("2000-01-01", "us")
        ) / np.timedelta64(1, "s")
        columns = []
        for cycle in self.cycles:
            angle = 2 * np.pi * np.mod(seconds / PERIODS[cycle], 1.0)
            columns += [f(k * angle) for k in HARMONICS for f in (np.cos, np.sin)]
        return np.stack(columns, axis=-1) if columns else np.zeros((len(times), 0))
