"""The windows that generators of series are compared on: Sines, Stocks and Energy, 24 steps in [0, 1].

As in the protocol of TimeGAN, every channel is scaled by the extrema of all rows; `train` takes those of the first
rows alone. Neither series is reversed in time, as the first loaders did.
"""

from pathlib import Path

import jax
import numpy as np
import pandas as pd

from assim.scoring.generated import extrema
from assim.types import Key

LENGTH = 24
NOISE = ("rv1", "rv2")
"""Of Energy: the same white noise twice."""


def sines(num: int = 10_000, *, key: Key, channels: int = 5) -> np.ndarray:
    """Sines as they are made in public, f and p ~ U(0, 0.1): less than half a period, in [0.5, 1]."""
    f, p = 0.1 * jax.random.uniform(key, (2, num, 1, channels))
    steps = np.arange(LENGTH)[:, None]
    return np.asarray((np.sin(f * steps + p) + 1) / 2, dtype=float)


def stocks(path: str | Path, *, train: float | None = None) -> np.ndarray:
    """Daily prices and volume, 6 channels; the last window is left out, as in the published 3661."""
    return _windows(pd.read_csv(path), train)[:-1]


def energy(
    path: str | Path, *, train: float | None = None, drop: tuple[str, ...] = ()
) -> np.ndarray:
    """Readings of a house at 10 minutes, 28 channels, 19711 windows; `drop` leaves channels out (see `NOISE`)."""
    return _windows(pd.read_csv(path).drop(columns=list(drop)), train)


def _windows(series: pd.DataFrame, train: float | None) -> np.ndarray:
    """Every window of a series, scaled by the extrema of all rows or of a first share of them."""
    rows = series.to_numpy(dtype=float)
    known = rows if train is None else rows[: int(train * len(rows))]
    scaled = extrema(known).scaled(rows)
    windows = np.lib.stride_tricks.sliding_window_view(scaled, LENGTH, axis=0)
    return np.ascontiguousarray(windows.swapaxes(1, 2))
