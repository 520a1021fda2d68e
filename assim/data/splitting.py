"""Cut a record in time: what is learned from, and what is held out."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr

from assim.data.clockwork import stamp

type Moment = str | np.datetime64 | pd.Timestamp


def split(ds: xr.Dataset, at: Moment) -> tuple[xr.Dataset, xr.Dataset]:
    """Cut a record in two at a time: what lies before it, and what lies at and after it.

    Args:
        ds: a record with an increasing `time`.
        at: where the second part begins.

    Returns:
        The training part and the test part; nothing is copied.

    Raises:
        ValueError: no time, or a part that would be empty.
    """
    times, at = _times(ds), _moment(at, "at")
    row = int(np.searchsorted(times, at))
    if row == 0 or row == times.size:
        raise ValueError(
            f"Nothing lies {'before' if row == 0 else 'after'} at={stamp(at)}: the record goes from "
            f"{stamp(times[0])} to {stamp(times[-1])}; choose a time inside it."
        )
    return ds.isel(time=slice(0, row)), ds.isel(time=slice(row, None))


def rolling_origins(
    ds: xr.Dataset,
    horizon: str,
    *,
    every: str | None = None,
    start: Moment | None = None,
    window: str | None = None,
) -> Iterator[tuple[xr.Dataset, xr.Dataset]]:
    """Folds of a backtest: at each origin the past to learn from and the `horizon` after it to judge.

    Args:
        ds: a record with an increasing `time`.
        horizon: length of each test part, as a duration ("24h").
        every: time between origins; None for one horizon, so that no reading is judged twice.
        start: the first origin; None for the middle of the record.
        window: length of each training part; None for all of the past.

    Yields:
        Training and test part of each origin, oldest first; the origin is the first moment of the test part.
        Origins without a reading on either side are passed over, and so is an incomplete last horizon.

    Raises:
        ValueError: durations that are none, or a record that holds no fold.
    """
    times = _times(ds)
    ahead, pace = _span(horizon, "horizon"), _span(every or horizon, "every")
    past = None if window is None else _span(window, "window")
    middle = times[0] + (times[-1] - times[0]) // 2
    first = middle if start is None else _moment(start, "start")
    typical = np.median(np.diff(times)) if times.size > 1 else np.timedelta64(0, "ns")
    origins = np.arange(first, times[-1] + typical - ahead + np.timedelta64(1, "ns"), pace)
    if origins.size == 0 or first <= times[0]:
        raise ValueError(
            f"No fold of horizon {horizon} fits after {stamp(first)} in a record from {stamp(times[0])} to "
            f"{stamp(times[-1])}: ask for a shorter horizon or an earlier start (after the first time)."
        )
    return _folds(ds, times, origins, ahead, past)


def _folds(
    ds: xr.Dataset,
    times: np.ndarray,
    origins: np.ndarray,
    ahead: np.timedelta64,
    past: np.timedelta64 | None,
) -> Iterator[tuple[xr.Dataset, xr.Dataset]]:
    for origin in origins:
        begin = 0 if past is None else int(np.searchsorted(times, origin - past))
        cut, end = np.searchsorted(times, [origin, origin + ahead])
        if begin < cut < end:
            yield ds.isel(time=slice(begin, int(cut))), ds.isel(time=slice(int(cut), int(end)))


def _times(ds: xr.Dataset) -> np.ndarray:
    if "time" not in ds.dims or ds.sizes["time"] == 0:
        raise ValueError(
            f"The dataset has no times to cut (dimensions: {dict(ds.sizes)}): read it with "
            "assim.open_dataset."
        )
    return ds["time"].values.astype("datetime64[ns]")


def _moment(given: Moment, name: str) -> np.datetime64:
    try:
        return pd.Timestamp(given).to_datetime64().astype("datetime64[ns]")
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{name}={given!r} is not a time: write it as '2020-06-01T12:00'."
        ) from error


def _span(given: str, name: str) -> np.timedelta64:
    try:
        span = pd.Timedelta(given).to_timedelta64().astype("timedelta64[ns]")
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{name}={given!r} is not a duration: write it as '6h' or '30min'."
        ) from error
    if span <= np.timedelta64(0, "ns"):
        raise ValueError(f"{name}={given!r} is not positive: write it as '6h' or '30min'.")
    return span
