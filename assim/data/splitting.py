"""Cut a record in time or by its runs: what is learned from, and what is held out."""

from collections.abc import Iterator, Sequence
from numbers import Integral, Real

import numpy as np
import pandas as pd
import xarray as xr

from assim.data.clockwork import stamp
from assim.data.spreading import INSTANCES, require_labels

type Moment = str | np.datetime64 | pd.Timestamp


def split(
    ds: xr.Dataset, at: Moment | int | float | Sequence[str], by: str = "time"
) -> tuple[xr.Dataset, xr.Dataset]:
    """Cut a record in two, as `assim.split` does without a key.

    Args:
        ds: a record with an increasing `time`, by runs with a dimension `run` (or `station`, ...).
        at: by time where the second part begins. By runs which of them are the second part: their labels, or how
            many, or a share in (0, 1), rounded up: these are the last of the record.
        by: "time" or "run".

    Returns:
        The training part and the test part, runs in the order of the record; those without labels are labelled by
        their numbers there. Nothing is copied where the runs of a part stand at even distances in the record, as
        the first and the last ones do.

    Raises:
        ValueError: no time, times that go backwards, no runs, a run that is not there or has another's label, or a
            part that would be empty.
    """
    if by == "run":
        dim = run_dim(ds)
        held = _runs_meant(_labels(ds, dim), at, dim)
        if dim not in ds.coords:  # else a part would not know which of the runs it has
            ds = ds.assign_coords({dim: np.arange(ds.sizes[dim])})
        kept = np.setdiff1d(np.arange(ds.sizes[dim]), held)
        return ds.isel({dim: _evenly(kept)}), ds.isel({dim: _evenly(held)})
    if by != "time":
        raise ValueError(f"by={by!r} is unknown: choose 'time' or 'run'.")
    times, begin = _times(ds), moment(at, "at")
    row = int(np.searchsorted(times, begin))
    if row == 0 or row == times.size:
        raise ValueError(
            f"Nothing lies {'before' if row == 0 else 'after'} at={stamp(begin)}: the record goes from "
            f"{stamp(times[0])} to {stamp(times[-1])}; choose a time inside it."
        )
    return ds.isel(time=slice(0, row)), ds.isel(time=slice(row, None))


def run_dim(ds: xr.Dataset) -> str:
    """The dimension that runs (or stations) of a record lie along.

    Raises:
        ValueError: there is none, or two runs have one label.
    """
    found = [d for d in INSTANCES if d in ds.dims]
    if not found:
        raise ValueError(
            f"The dataset has no runs to tell apart (dimensions: {', '.join(map(str, ds.dims))}): lay them along a "
            "dimension 'run', or cut by='time'."
        )
    require_labels(np.array(_labels(ds, found[0])), found[0])
    return found[0]


def runs_counted(at: int | float, count: int) -> int:
    """How many of `count` runs a number or a share of them is.

    Raises:
        ValueError: none of them, or all.
    """
    share = not isinstance(at, Integral) and 0 < at < 1
    held = int(np.ceil(at * count - 1e-9)) if share else int(at)
    if not 0 < held < count or (not share and held != at):
        raise ValueError(
            f"at={at!r} leaves no run on one side: the record has {count} runs; give a number from 1 to "
            f"{count - 1}, a share in (0, 1), or labels."
        )
    return held


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
        ValueError: durations that are none, times that go backwards, or a record that holds no fold.
    """
    times = _times(ds)
    ahead, pace = _span(horizon, "horizon"), _span(every or horizon, "every")
    past = None if window is None else _span(window, "window")
    exact = times.astype("datetime64[us]")  # of centuries ns are too many
    middle = (exact[0] + (exact[-1] - exact[0]) // 2).astype("datetime64[ns]")
    first = middle if start is None else moment(start, "start")
    typical = np.median(np.diff(times)) if times.size > 1 else np.timedelta64(0, "ns")
    origins = np.arange(first, times[-1] + typical - ahead + np.timedelta64(1, "ns"), pace)
    if origins.size == 0 or first <= times[0]:
        raise ValueError(
            f"No fold of horizon {horizon} fits after {stamp(first)} in a record from {stamp(times[0])} to "
            f"{stamp(times[-1])}: ask for a shorter horizon or an earlier start (after the first time)."
        )
    return _folds(ds, times, origins, ahead, past)


def _runs_meant(labels: list[str], at: object, dim: str) -> np.ndarray:
    """Numbers of the runs that are the second part."""
    count = len(labels)
    if isinstance(at, Real) and not isinstance(at, bool):
        share = int(at) if isinstance(at, Integral) else float(at)
        return np.arange(count - runs_counted(share, count), count)
    asked = [at] if isinstance(at, str) else at
    if not isinstance(asked, Sequence | np.ndarray):
        raise ValueError(f"at={at!r} names no {dim}: give labels, how many, or a share in (0, 1).")
    named = [v.decode() if isinstance(v, bytes) else str(v) for v in asked]
    strange = [v for v in named if v not in labels]
    if strange:
        known = ", ".join(labels[:6]) + (" and more" if count > 6 else "")
        raise ValueError(f"There is no {dim} {', '.join(strange[:3])}: the record has {known}.")
    held = np.unique([labels.index(v) for v in named])
    if not 0 < held.size < count:
        raise ValueError(
            f"at= names {held.size} of {count} {dim}s, which leaves one part empty: name some of them."
        )
    return held


def _labels(ds: xr.Dataset, dim: str) -> list[str]:
    values = ds[dim].values if dim in ds.coords else np.arange(ds.sizes[dim])
    return [v.decode() if isinstance(v, bytes) else str(v) for v in values]


def _evenly(at: np.ndarray) -> slice | np.ndarray:
    """Rising numbers as a slice, where they are one."""
    steps = np.unique(np.diff(at))
    if steps.size > 1:
        return at
    step = int(steps[0]) if steps.size else 1
    return slice(int(at[0]), int(at[-1]) + 1, step)


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
    times = ds["time"].values.astype("datetime64[ns]")
    back = np.flatnonzero(np.diff(times) < np.timedelta64(0, "ns"))
    if back.size:
        raise ValueError(
            f"The times go backwards ({stamp(times[back[0] + 1])} follows {stamp(times[back[0]])}), so that no cut "
            "parts before from after: read the file with assim.open_dataset, or lay runs whose clocks overlap side "
            "by side with xr.concat(runs, 'run')."
        )
    return times


def moment(given: object, name: str) -> np.datetime64:
    """A time as it is written.

    Raises:
        ValueError: it is none.
    """
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
