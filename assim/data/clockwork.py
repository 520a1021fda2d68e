"""Is a clock regular? A family with a fixed step asks here, and is told what to do if it is not."""

import numpy as np
from numpy.typing import NDArray

CENTURIES = np.timedelta64(9_000_000_000, "s")
"""Longer than this there are more nanoseconds than can be counted."""
JITTER = 0.05
"""Stamps within this share of a step of the regular clock are taken as on it."""
MOST_ROWS = 20_000_000
SPARSEST = 50
FEWEST_TO_JUDGE = 10
"""Stamps from which a record shows its own step, where another is asked for."""


def regular_clock(
    times: NDArray[np.datetime64], step: float | None = None
) -> tuple[NDArray[np.datetime64], NDArray[np.intp], float]:
    """The regular clock under a record with holes.

    Args:
        times: strictly increasing stamps, shape (time,), datetime64[ns].
        step: the step that a fitted model expects, seconds; None to take the record's own.

    Returns:
        The full clock (n,), on which each stamp stands as it is; the row of each stamp on it (time,); and the step
        in seconds.

    Raises:
        ValueError: too few stamps, stamps that do not increase or are off any regular clock, another step than
            asked for.
    """
    times = times.astype("datetime64[ns]")
    least = 3 if step is None else 1
    if len(times) < least:
        raise ValueError(
            f"The record has {len(times)} time(s); at least {least} are needed: check the file or the split."
        )
    # counted from the middle: from end to end of three centuries there are too many nanoseconds
    whole = times.astype("datetime64[s]").astype(np.int64)
    centre = int(np.abs(whole - (whole[0] + whole[-1]) // 2).argmin())
    far = np.abs(whole - whole[centre]).max() >= CENTURIES.astype(np.int64)
    if far and not np.isnat(times).any():
        raise ValueError(
            f"The record lasts from {stamp(times.min())} to {stamp(times.max())}, with gaps of centuries in its "
            f"{len(times)} stamps: leave out those that are wrong, or cut it at its longest gap."
        )
    since = (times - times[centre]) / np.timedelta64(1, "s")
    since = since - since[0]
    if not (np.diff(since) > 0).all():
        raise ValueError(
            "The times do not increase from row to row: read the file with assim.open_dataset, which sorts them "
            "and resolves duplicates; runs whose clocks overlap go side by side, xr.concat(runs, 'run')."
        )
    typical = (
        typical_step(np.diff(since)) if len(times) >= FEWEST_TO_JUDGE or step is None else step
    )
    if step is None:
        step = typical
    elif typical > 1.5 * step:
        raise ValueError(
            f"The clock of the record has a step of {step_words(typical)}, and {step_words(step)} is needed: put "
            f"it on that clock with assim.align(ds, '{step_words(step)}'), or fit again."
        )
    rows = np.rint(since / step).astype(int)
    off = np.abs(since / step - rows)
    # a slow drift against the nominal step is jitter too, when counted from stamp to stamp
    drift = np.abs(np.diff(since) / step - np.rint(np.diff(since) / step))
    if (off > JITTER).any() and (drift <= JITTER).all():
        rows = np.concatenate([[0], np.cumsum(np.rint(np.diff(since) / step).astype(int))])
        off = np.zeros(1)
    if (off > JITTER).any() or (np.diff(rows) < 1).any():
        share = float(np.mean(off > JITTER))
        raise ValueError(
            f"The clock is not regular: with a step of {step_words(step)}, {share:.0%} of the stamps lie off it. "
            f"Put the record on one with assim.align(ds, '{step_words(step)}') (or --step on the command line)."
        )
    if rows[-1] + 1 > max(MOST_ROWS // 100, SPARSEST * len(times)) or rows[-1] + 1 > MOST_ROWS:
        raise ValueError(
            f"With a step of {step_words(step)} the record would need {rows[-1] + 1} rows for {len(times)} "
            "stamps: put it on a coarser clock with assim.align, or cut it at its longest gap."
        )
    nanoseconds = np.int64(round(step * 1e9))
    counted = np.arange(rows[-1] + 1) - rows[centre]
    clock = times[centre] + (counted * nanoseconds).astype("timedelta64[ns]")
    if (clock[rows] != times).any():  # what has a stamp keeps it, what has none lies between
        ticks = np.interp(np.arange(clock.size), rows, (times - times[centre]).astype(np.int64))
        clock = times[centre] + ticks.round().astype("timedelta64[ns]")
        clock[rows] = times
    return clock, rows, float(step)


def own_clock(
    times: NDArray[np.datetime64], step: float | None = None
) -> tuple[NDArray[np.datetime64], NDArray[np.intp], float]:
    """The regular clock under a record where there is one, else its own stamps.

    Args:
        times: strictly increasing stamps, shape (time,), datetime64[ns].
        step: the nominal step of a fitted model, seconds; None for the record's own.

    Returns:
        The clock (n,), the row of each stamp on it (time,), and the nominal step in seconds: the usual time between
        stamps to two digits, where the record has no regular clock.

    Raises:
        ValueError: too few stamps, or stamps that do not increase.
    """
    times = times.astype("datetime64[ns]")
    apart = seconds_apart(times)
    try:
        return regular_clock(times, step)
    except ValueError:
        if len(times) < 2 or not (apart > 0).all():
            raise
    return times, np.arange(len(times)), float(f"{np.median(apart):.1e}") if step is None else step


def counted_steps(times: NDArray, origin: np.datetime64, step: float) -> tuple[NDArray, NDArray]:
    """Whole steps from the origin to each stamp, and what is left of a step.

    Args:
        times: stamps, any shape, datetime64.
        origin: the time that steps are counted from.
        step: seconds.

    Returns:
        Two arrays of the shape of `times`; the second in [0, 1).

    Raises:
        ValueError: stamps before the origin, or too far from it to count steps.
    """
    stamps, origin = np.asarray(times).astype("datetime64[ns]"), np.datetime64(origin, "ns")
    apart = np.abs(stamps.astype("datetime64[s]") - origin.astype("datetime64[s]"))
    unit, each = ("ns", 1e9) if (apart < CENTURIES).all() else ("us", 1e6)
    kind = f"datetime64[{unit}]"
    since = (stamps.astype(kind) - origin.astype(kind)).astype(np.int64)
    grain = np.int64(round(step * each))
    tick, rest = np.divmod(since, grain)
    if (tick < 0).any() or (tick > np.iinfo(np.int32).max).any():
        raise ValueError(
            f"The stamps lie {tick.min()} to {tick.max()} steps of {step:g} s after the origin {origin}; 0 to "
            f"{np.iinfo(np.int32).max} can be counted: take the first stamp as origin, or a longer step."
        )
    return tick, rest / grain


def seconds_apart(times: NDArray[np.datetime64]) -> NDArray[np.float64]:
    """How long it is from each stamp to the next, seconds, shape (time - 1,).

    Args:
        times: stamps, shape (time,), datetime64; centuries between two are told to the microsecond.
    """
    far = (np.abs(np.diff(times.astype("datetime64[s]"))) >= CENTURIES).any()
    return np.diff(times.astype("datetime64[us]") if far else times) / np.timedelta64(1, "s")


def uneven(times: NDArray[np.datetime64], step: float) -> bool:
    """Whether some rows are not a step apart, but for jitter.

    Args:
        times: stamps, shape (time,), datetime64.
        step: nominal step, seconds.
    """
    apart = seconds_apart(times) / step
    return bool((np.abs(apart - 1.0) > 2 * JITTER).any())


def typical_step(steps: NDArray[np.float64]) -> float:
    """The most common step, averaged over the stamps that keep it within the jitter."""
    middle = float(np.quantile(steps, 0.5, method="lower"))
    near = steps[np.abs(steps - middle) <= JITTER * middle]
    mean = float(np.mean(near)) if near.size else middle
    for grain in (60.0, 1.0, 1e-3):
        tidy = round(mean / grain) * grain
        if tidy > 0 and abs(tidy - mean) <= 1e-4 * mean:
            return tidy
    return mean


def stamp(time: np.datetime64) -> str:
    """A time as people write it, to the second or as much finer as it is."""
    exact = np.datetime64(time, "ns")
    units = ("s", "ms", "us", "ns")
    return next(str(t) for u in units if (t := exact.astype(f"datetime64[{u}]")) == exact)


def step_words(step: float) -> str:
    """A step as people write it: 30min, 1h, 10s."""
    for size, unit in ((86_400, "D"), (3_600, "h"), (60, "min"), (1, "s")):
        if step >= size and abs(step / size - round(step / size)) < 1e-6:
            return f"{round(step / size)}{unit}"
    return f"{step:g}s" if step >= 1 else f"{step * 1e3:g}ms"
