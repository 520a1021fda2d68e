r"""Indicators of a transition in trailing windows of a series.

In the window of $n$ samples that ends at a time, with their mean $\bar x$,

$$\mathrm{var} = \frac1n \sum_i (x_i - \bar x)^2, \qquad
r_1 = \frac{\sum_{i<n} (x_i - \bar x)(x_{i+1} - \bar x)}{\sum_i (x_i - \bar x)^2},$$

which both grow where a system loses its stability (Scheffer et al. 2009, Nature 461), the exponent of detrended
fluctuations, and the recurrence rate, determinism and their ratio.
"""

from collections.abc import Callable
from numbers import Integral

import numpy as np
import xarray as xr
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from assim.data.aligning import Duration, nanoseconds
from assim.data.clockwork import regular_clock, step_words
from assim.data.fluctuating import Fluctuation, hurst
from assim.data.recurring import Recurrence, recurrence
from assim.data.support import support_of

CHUNK = 2**22
"""Samples in the windows that are held at once."""
WORDS = {
    "variance": "variance in the window",
    "autocorrelation": "autocorrelation at lag one in the window",
    "hurst": "exponent of detrended fluctuations in the window",
    "recurrence_rate": "recurrence rate in the window",
    "determinism": "determinism in the window",
    "ratio": "determinism over recurrence rate in the window",
}


def indicators(
    series: xr.DataArray,
    window: Duration | int,
    every: Duration | int | None = None,
    *,
    fluctuation: Fluctuation | None = None,
    recurrences: Recurrence | None = None,
) -> xr.Dataset:
    """Turn a series into indicators of what its trailing windows look like.

    Args:
        series: raw samples or frames (..., time) on a regular clock, in any units.
        window: its length, as "50ms" or a number of samples; the window of a time ends with its sample.
        every: from one window to the next, likewise; None for one sample.
        fluctuation: with which boxes the exponent of detrended fluctuations is found; None leaves it out.
        recurrences: how recurrence plots are made; None leaves them out.

    Returns:
        On (..., time), the last time of each whole window: `variance` in units squared, `autocorrelation`, and
        where asked for `hurst`, `recurrence_rate`, `determinism` and `ratio`. NaN where a sample of the window is
        missing or an indicator of it undefined.

    Raises:
        ValueError: no `time` or an irregular one, a direction, or windows too short or longer than the record.
    """
    if "time" not in series.dims or support_of(series) == "circle":
        raise ValueError(
            f"Indicators are of a number along 'time', and '{series.name}' has the dimensions "
            f"{list(series.dims)} and the support '{support_of(series)}': give another channel."
        )
    times, rows, step = regular_clock(series["time"].values)
    size = _samples(window, step, "window")
    stride = 1 if every is None else _samples(every, step, "every")
    if not 3 <= size <= times.size:
        raise ValueError(
            f"A window of {size} samples does not fit: it needs 3 at least, and the record has {times.size}, one "
            f"every {step_words(step)}; give window= as a duration or a number of samples."
        )
    series = series.transpose(..., "time")
    values = np.full((int(np.prod(series.shape[:-1])), times.size), np.nan)
    values[:, rows] = np.asarray(series.values, float).reshape(len(values), -1)
    asked = _asked(fluctuation, recurrences)
    ends = times[size - 1 :: stride]
    found = np.stack([_along(record, size, stride, asked) for record in values], axis=1)
    shape = (*series.shape[:-1], ends.size)
    units = str(series.attrs.get("units", ""))
    own = {"variance": f"({units})2" if units else ""}
    names = [name for name in WORDS if _wanted(name, fluctuation, recurrences)]
    held = {
        name: (
            series.dims,
            one.reshape(shape),
            {"long_name": WORDS[name], "units": own.get(name, "1")},
        )
        for name, one in zip(names, found, strict=True)
    }
    coords = {k: v for k, v in series.coords.items() if "time" not in v.dims}
    attrs = {"series": str(series.name or ""), "window": size * step, "every": stride * step}
    return xr.Dataset(held, coords | {"time": ends}, attrs)


def _asked(
    fluctuation: Fluctuation | None, recurrences: Recurrence | None
) -> Callable[[NDArray[np.float64]], list[NDArray[np.float64]]]:
    """The indicators of some windows (window, sample), in the order of their words."""

    def of(x: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        found = list(_moments(x))
        if fluctuation is not None:
            found.append(hurst(x, fluctuation))
        return found if recurrences is None else [*found, *recurrence(x, recurrences)]

    return of


def _wanted(name: str, fluctuation: Fluctuation | None, recurrences: Recurrence | None) -> bool:
    if name in ("variance", "autocorrelation"):
        return True
    return fluctuation is not None if name == "hurst" else recurrences is not None


def _along(
    record: NDArray[np.float64],
    size: int,
    stride: int,
    asked: Callable[[NDArray[np.float64]], list[NDArray[np.float64]]],
) -> NDArray[np.float64]:
    """The indicators of all windows of one record, shape (indicator, window), some windows at a time."""
    every = sliding_window_view(record, size)[::stride]
    width = max(1, CHUNK // size)
    parts = [asked(np.ascontiguousarray(every[i : i + width])) for i in range(0, len(every), width)]
    return np.concatenate([np.stack(part) for part in parts], axis=1)


def _moments(x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Variance and autocorrelation at lag one, each shape (window,)."""
    still = x.min(axis=1, keepdims=True) == x.max(axis=1, keepdims=True)
    x = np.where(still, 0.0, x - x.mean(axis=1, keepdims=True))
    square = np.einsum("ij,ij->i", x, x)
    product = np.einsum("ij,ij->i", x[:, 1:], x[:, :-1])
    return square / x.shape[1], product / np.where(square > 0, square, np.nan)


def _samples(span: Duration | int, step: float, name: str) -> int:
    """A duration or a number of samples, in samples."""
    if isinstance(span, Integral) and not isinstance(span, np.timedelta64):
        count = int(span)
    else:
        count = round(nanoseconds(span, name) / (step * 1e9))
    if count < 1:
        raise ValueError(
            f"{name}={span!r} is shorter than one sample of {step_words(step)}: give a longer one."
        )
    return count
