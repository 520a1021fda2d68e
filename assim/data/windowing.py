r"""Windows in time about the stamps of snapshots, and what of each particle a window keeps.

A window stands about each stamp, and each sighting counts for the stamp that it is nearest to. Of a particle that
is known by its identity a window keeps one row: the sighting nearest to the stamp, or what lies on the straight
line between the last before it at $t_0$ and the first after it at $t_1$,

$$x(t) = (1 - w)\,x_0 + w\,x_1, \qquad \sigma(t)^2 = (1 - w)^2\sigma_0^2 + w^2\sigma_1^2, \qquad
w = \frac{t - t_0}{t_1 - t_0}.$$

Where nobody tells whose a sighting is, it is a sample of its own.
"""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from assim.data.aligning import DAY, Duration, nanoseconds
from assim.data.clockwork import stamp, step_words
from assim.data.sighting import Sightings
from assim.data.stacking import refuse_unordered

FEW = 2.0
"""Rows for each stamp, on average, from which the stamps of a file are taken to be those of snapshots."""


def windows(
    seen: Sightings, every: Duration | None, at: ArrayLike | None, within: Duration | None
) -> tuple[NDArray[np.datetime64], int, str]:
    """Where the windows stand.

    Args:
        seen: the sightings.
        every: width of windows that follow each other from the midnight before the first sighting; or None.
        at: stamps in place of that; or None. With neither, the stamps of the sightings.
        within: how far a window reaches to either side of its stamp; None for half a window.

    Returns:
        The stamps, shape (snapshot,), datetime64[ns]; the reach, nanoseconds; what a stamp is, in words.

    Raises:
        ValueError: a window longer than the record, stamps that are none or do not increase, too many windows.
    """
    first, last = (int(t) for t in seen.times[[0, -1]].astype(np.int64))
    reach = None if within is None else nanoseconds(within, "within", least=0)
    if every is not None:
        width = nanoseconds(every, "every")
        start = first // DAY * DAY
        low, high = (first - start) // width, (last - start) // width
        if high == low:
            raise ValueError(
                f"every={every!r} is too long for the record, which runs from {stamp(seen.times[0])} to "
                f"{stamp(seen.times[-1])} and would be one snapshot: take a shorter one."
            )
        if high - low + 1 > 10 * seen.times.size + 1000:
            raise ValueError(
                f"every={every!r} would make {high - low + 1} windows for {seen.times.size} sightings: take a "
                "longer one."
            )
        ticks = start + width * np.arange(low, high + 1) + width // 2
        reach = width // 2 if reach is None else reach
        return _dates(ticks), reach, f"the centre of a window of {step_words(width / 1e9)}"
    if at is None:
        ticks = np.unique(seen.times.astype(np.int64))
        if ticks.size * FEW > seen.times.size:
            raise ValueError(
                f"The {seen.times.size} sightings have {ticks.size} stamps of their own: say how wide a snapshot "
                "is, as in every='1D', or give its stamps with at=."
            )
        return _dates(ticks), reach or 0, "a stamp of the file"
    try:
        stamps = pd.DatetimeIndex(np.ravel(np.asarray(at))).to_numpy("datetime64[ns]")
    except (ValueError, TypeError) as error:
        raise ValueError(f"at={at!r} holds no dates: give some, as 2020-01-31T12:00.") from error
    if stamps.size == 0:
        raise ValueError("at= holds no stamp: give two at least, or every= in place of it.")
    refuse_unordered(stamps, "the stamps at=")
    if reach is None and stamps.size == 1:
        raise ValueError("One stamp at= tells no window: say how far it reaches with within=.")
    if reach is None:
        reach = int(np.diff(stamps.astype(np.int64)).min()) // 2
    return stamps, reach, f"given, for sightings within {step_words(reach / 1e9)}"


def _dates(ticks: NDArray[np.int64]) -> NDArray[np.datetime64]:
    return ticks.astype("datetime64[ns]")


def nearest(
    seen: Sightings, stamps: NDArray[np.int64], reach: int
) -> tuple[Sightings, NDArray[np.intp]]:
    """The sightings that are nearest to a stamp, one of each particle.

    Args:
        seen: the sightings.
        stamps: increasing, shape (snapshot,), nanoseconds.
        reach: the furthest from a stamp, nanoseconds.

    Returns:
        The rows that are kept, by snapshot and identity, and the snapshot of each.
    """
    times = seen.times.astype(np.int64)
    right = np.clip(np.searchsorted(stamps, times, "right"), 1, max(stamps.size - 1, 1))
    left = right - 1
    right = np.minimum(right, stamps.size - 1)
    snapshot = np.where(times - stamps[left] < stamps[right] - times, left, right)
    off = np.abs(times - stamps[snapshot])
    alone = len(seen.labels) + np.arange(times.size)
    who = alone if seen.who is None else np.where(seen.who < 0, alone, seen.who)
    order = np.lexsort((off, who, snapshot))
    order = order[off[order] <= reach]
    key = np.stack([snapshot, who])[:, order]
    once = np.ones(order.size, bool)
    once[1:] = (np.diff(key, axis=1) != 0).any(axis=0)
    return seen.rows(order[once]), snapshot[order[once]]


def between(
    seen: Sightings, stamps: NDArray[np.int64], reach: int
) -> tuple[Sightings, NDArray[np.intp]]:
    """Where particles were at each stamp, on the line between the sightings before and after it.

    Args:
        seen: the sightings.
        stamps: increasing, shape (snapshot,), nanoseconds.
        reach: the furthest of both from the stamp, nanoseconds.

    Returns:
        One row for each particle in each snapshot, by snapshot and identity, and the snapshot of each.

    Raises:
        ValueError: sightings of which nobody tells whose they are.
    """
    if seen.who is None:
        raise ValueError(
            "how='linear' joins sightings of one particle, and nothing tells whose each is: name it with id=, or "
            "take how='nearest'."
        )
    times = seen.times.astype(np.int64)
    order = np.lexsort((times, seen.who))
    cuts = np.searchsorted(seen.who[order], np.arange(len(seen.labels) + 1))
    before, after, snapshot = [], [], []
    for low, high in zip(cuts[:-1], cuts[1:], strict=True):
        own = times[order[low:high]]
        left = np.searchsorted(own, stamps, "right") - 1
        right = np.searchsorted(own, stamps, "left")
        k = np.flatnonzero((left >= 0) & (right < own.size))
        k = k[(stamps[k] - own[left[k]] <= reach) & (own[right[k]] - stamps[k] <= reach)]
        before.append(order[low + left[k]])
        after.append(order[low + right[k]])
        snapshot.append(k)
    at, a, b = (np.concatenate(part) for part in (snapshot, before, after))
    by = np.lexsort((seen.who[a], at))
    at, a, b = at[by], a[by], b[by]
    gap = times[b] - times[a]
    w = np.where(gap > 0, (stamps[at] - times[a]) / np.maximum(gap, 1), 0.0)[:, None]
    sd = np.hypot((1.0 - w) * seen.sd[a], w * seen.sd[b])
    line = (1.0 - w) * seen.x[a] + w * seen.x[b]
    return seen.rows(a).with_coordinates(line, sd), at
