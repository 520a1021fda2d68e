r"""Episodes of an event in a record: where the path has passed a threshold, until it is well back.

With the threshold $c$ and the level $c_0$ at which an event above is over, $c_0 \le c$ (hysteresis),

$$s_t = 1\ \text{if}\ y_t > c, \qquad s_t = 0\ \text{if}\ y_t \le c_0, \qquad s_t = s_{t-1}\ \text{between},$$

and of an event below with both signs turned. Episodes that lie no further apart than a gap are one (debouncing). A
missing reading leaves the state unknown until one tells it. An onset is the first time of an episode whose time
before is known to be calm: a record that begins within an episode, or a hole before it, hides its onset.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from assim.data.aligning import Duration, nanoseconds
from assim.data.clockwork import regular_clock
from assim.scoring.events import beyond


def episodes(
    truth: xr.DataArray,
    threshold: float,
    side: str = "above",
    *,
    clear: float | None = None,
    gap: Duration | None = None,
) -> xr.DataArray:
    """Say at each time whether an episode of an event is under way.

    Args:
        truth: (..., time), in the channel's units, NaN where missing; at least three times.
        threshold: that is passed when an episode begins, in the same units.
        side: "above" or "below".
        clear: the level at which an episode is over, in the same units; None for the threshold itself.
        gap: the furthest that two episodes of one lie apart, from the last time of one to the first of the next,
            as "200ms"; None for none.

    Returns:
        (..., time) on the regular clock under the record: 1 within an episode, 0 outside, NaN where it is unknown.

    Raises:
        ValueError: a direction, another side, a level `clear` beyond the threshold, an irregular clock.
    """
    clear = threshold if clear is None else clear
    if clear > threshold if side == "above" else clear < threshold:
        raise ValueError(
            f"clear={clear:g} lies beyond the threshold {threshold:g}, so that an episode {side} it would be over "
            "before it begins: give a level on the calm side of the threshold."
        )
    times, rows, step = regular_clock(truth["time"].values)
    truth = truth.transpose(..., "time")
    passed, still = (beyond(truth, level, side).values for level in (threshold, clear))
    told = np.where(passed, 1.0, np.where(still, np.inf, 0.0))  # infinite: as it was before
    told = np.where(np.isfinite(truth.values), told, np.nan)
    state = np.full((*told.shape[:-1], times.size), np.nan)
    state[..., rows] = told
    state = _held(state)
    if gap is not None:
        state = _joined(state, int(nanoseconds(gap, "gap") / (step * 1e9) + 1e-6))
    coords = {k: v for k, v in truth.coords.items() if "time" not in v.dims} | {"time": times}
    attrs = {"long_name": f"episode of {truth.name or 'the path'} {side} {threshold:g}"}
    return xr.DataArray(state, coords, truth.dims, "episode", attrs | {"units": "1"})


def onsets(state: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The first time of each episode before which it is known to be calm; shapes (..., time)."""
    begun = np.zeros(state.shape, bool)
    begun[..., 1:] = (state[..., 1:] == 1) & (state[..., :-1] == 0)
    return begun


def begins_within(
    state: NDArray[np.float64], rows: NDArray[np.intp], ahead: int
) -> NDArray[np.float64]:
    """Whether an episode begins within some steps of each row, as far as it is calm there.

    Args:
        state: 1, 0 or NaN, shape (place, time).
        rows: some times, which may lie off the record, shape (row,).
        ahead: steps, at least 1.

    Returns:
        (place, row): 1 or 0; NaN where it is not calm, or no onset is seen and a time on the way is unknown.
    """
    last = state.shape[1] - 1
    low, high = (np.clip(at, 0, last + 1) for at in (rows + 1, rows + ahead + 1))
    flags = (onsets(state), np.isnan(state))
    begun, unknown = (_counted(flag)[:, high] - _counted(flag)[:, low] for flag in flags)
    unseen = (unknown > 0) | (rows + ahead > last)
    event = np.where(begun > 0, 1.0, np.where(unseen, np.nan, 0.0))
    return np.where(state_at(state, rows) == 0, event, np.nan)


def state_at(state: NDArray[np.float64], rows: NDArray[np.intp]) -> NDArray[np.float64]:
    """The state (place, time) at some rows, NaN where they lie off the record; shape (place, row)."""
    last = state.shape[1] - 1
    inside = (rows >= 0) & (rows <= last)
    return np.where(inside, state[:, np.clip(rows, 0, last)], np.nan)


def _held(told: NDArray[np.float64]) -> NDArray[np.float64]:
    """What is infinite as it was before, unknown where nothing was."""
    at = np.where(np.isinf(told), -1, np.arange(told.shape[-1]))
    at = np.maximum.accumulate(at, axis=-1)
    held = np.take_along_axis(told, np.maximum(at, 0), axis=-1)
    return np.where(at < 0, np.nan, held)


def _joined(state: NDArray[np.float64], apart: int) -> NDArray[np.float64]:
    """Episodes that lie no more than so many steps apart as one."""
    length = state.shape[-1]
    rows, active, apart = np.arange(length), state == 1, min(apart, length - 1)
    before = np.maximum.accumulate(np.where(active, rows, -length), axis=-1)
    after = np.where(active, rows, 2 * length)[..., ::-1]
    after = np.minimum.accumulate(after, axis=-1)[..., ::-1]
    return np.where(after - before <= apart, 1.0, state)


def _counted(flag: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How often a flag stands before each row, shape (place, time + 1)."""
    return np.pad(np.cumsum(flag, axis=1), ((0, 0), (1, 0)))
