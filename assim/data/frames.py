r"""`frame_features`: from a signal of many samples a second to a few numbers for each frame.

Frame m holds the samples stamped in $(t_m - \mathrm{frame}, t_m]$ and has the stamp of its *end*, so that it tells
of nothing later than its stamp; frames end at whole lengths from the midnight before the first sample, as the steps
of `assim.align` do. A sample has a place in its frame, so that a missing one leaves a hole there; that of one near
a tick is told by those before it, so that jitter moves none across. The signal is read and worked on some frames at
a time.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from assim.data.aligning import DAY, Duration, nanoseconds, stamps_in
from assim.data.clockwork import JITTER, MOST_ROWS, step_words
from assim.data.describing import WIDE
from assim.data.features import Feature, Frames, chosen_features
from assim.data.spectra import FEWEST, Mode
from assim.data.support import support_of

CHUNK = 2**21
"""Samples of a channel that are worked on at once."""
type Features = str | Feature | Iterable[str | Feature]


def frame_features(
    ds: xr.Dataset | xr.DataArray,
    frame: Duration,
    features: Features | Mapping[str, Features] = ("log_rms",),
    *,
    mode: Mode | None = None,
    min_share: float = 0.9,
) -> xr.Dataset:
    """Features of a fast signal in frames that follow each other.

    Args:
        ds: a signal or several, (..., time) at one regular rate, in any units; gaps are missing samples. Chunked
            ones are read piece by piece.
        frame: length of a frame, as "50ms": a whole number of samples.
        features: "log_rms", "log_sd", "log_band_power", "peak_frequency", "zero_crossing_rate", "autocorrelation",
            "envelope_mean", "envelope_sd", "spectral_centroid", "spectral_spread", or a `Feature` of your own;
            or those of each channel by its name, and then of no other channel.
        mode: where a mode is sought and how finely spectra are resolved; None for the strongest of all, in a
            spectrum of the whole frame.
        min_share: of the samples of a frame that have to be there; a frame with fewer is NaN.

    Returns:
        On (..., time) with the end of each frame as its time, `<feature>_<channel>` with units and CF attributes;
        what has no time stays as it is.

    Raises:
        ValueError: no such feature or channel, a direction, a share outside (0, 1], an irregular rate, or frames
            that are too short or no whole number of samples long.
    """
    whole = ds.to_dataset(name=ds.name or "reading") if isinstance(ds, xr.DataArray) else ds
    return framed(whole, nanoseconds(frame, "frame"), features, mode or Mode(), min_share)


def framed(
    ds: xr.Dataset,
    frame: int,
    features: Features | Mapping[str, Features],
    mode: Mode,
    min_share: float,
    origin: int | None = None,
) -> xr.Dataset:
    """As `frame_features`, with frames counted from an origin of one's own.

    Args:
        ds: the signals.
        frame: length of a frame, nanoseconds.
        features: those that are wanted.
        mode: where a mode is sought.
        min_share: of the samples of a frame that have to be there.
        origin: a time at which a frame ends, nanoseconds since 1970; None for the midnight before the first sample.

    Raises:
        ValueError: as `frame_features`.
    """
    if not 0 < min_share <= 1:
        raise ValueError(f"min_share={min_share!r} is no share of the samples: give one in (0, 1].")
    wanted = _wanted(ds, features)
    grid = _grid(stamps_in(ds), frame, origin)
    done: dict[str, xr.DataArray] = {}
    for channel, chosen in wanted.items():
        found = _computed(ds[channel].transpose(..., "time"), grid, chosen, mode, min_share)
        for feature, values in zip(chosen, found, strict=True):
            dims = (*(d for d in ds[channel].dims if d != "time"), "time")
            attrs = feature.attributes(ds[channel]) | {"n_missing": int(np.isnan(values).sum())}
            done[f"{feature.name}_{channel}"] = xr.DataArray(values, dims=dims, attrs=attrs)
    out = ds.drop_dims("time").assign_coords(
        time=xr.Variable("time", grid.ends.astype("datetime64[ns]"), ds["time"].attrs)
    )
    told = [ds.attrs["repairs"]] if ds.attrs.get("repairs") else []
    alike: dict[tuple[Feature, ...], list[str]] = {}
    for channel, chosen in wanted.items():
        alike.setdefault(chosen, []).append(channel)
    words = "; ".join(
        f"{', '.join(f.name for f in fs)} of {', '.join(c)}" for fs, c in alike.items()
    )
    told.append(
        f"Put in frames of {_length(frame)} ({grid.count} samples), each stamp the end of its frame: {words}."
    )
    left = [str(n) for n in ds.data_vars if "time" in ds[n].dims and n not in wanted]
    told += [f"Of no frame, left out: {', '.join(left)}."] if left else []
    return out.assign(done).assign_attrs(repairs="\n".join(told))


@dataclass(frozen=True)
class _Grid:
    """Which frame each sample is in, and where: `ends` (frame,) in nanoseconds, `number` and `place` (time,)."""

    ends: NDArray[np.int64]
    number: NDArray[np.int64]
    place: NDArray[np.int64]
    count: int
    rate: float


def _grid(stamps: NDArray[np.int64], frame: int, origin: int | None) -> _Grid:
    step = _step(stamps)
    count = _count(frame, step)
    origin = int(stamps[0]) // DAY * DAY if origin is None else origin
    exact = frame / count
    number, place = np.divmod(_places(stamps - origin, exact, count), count)
    frames = int(number[-1] - number[0]) + 1
    if frames > MOST_ROWS:
        raise ValueError(
            f"The signal would need {frames} frames of {_length(frame)}, and at most {MOST_ROWS} are made: take "
            "longer ones, or cut it at its longest gap."
        )
    ends = origin + frame * np.arange(number[0] + 1, number[-1] + 2)
    return _Grid(ends, number - number[0], place, count, 1e9 / exact)


def _places(since: NDArray[np.int64], exact: float, count: int) -> NDArray[np.int64]:
    """The number of the step that each sample ends, those between two pauses in step with each other."""
    apart = np.diff(since) / exact
    steps = np.rint(apart)
    number = np.concatenate([[0.0], np.cumsum(steps)])
    phase = since / exact - number - JITTER  # a sample late by the jitter still counts at its place
    tick, later = np.ceil(phase - JITTER), np.ceil(phase + JITTER)
    known = tick == later
    pause = (steps > 1) & (np.abs(apart - steps) > 2 * JITTER)
    for a, b in pairwise([0, *(np.flatnonzero(pause) + 1), since.size]):
        tick[a], known[a] = np.ceil(np.median(phase[a : min(b, a + count)])), True
    newest = np.maximum.accumulate(np.where(known, np.arange(since.size), 0))
    return (number + tick[newest]).astype(np.int64) - 1


def _step(stamps: NDArray[np.int64]) -> float:
    """The time between samples, nanoseconds."""
    if stamps.size < FEWEST:
        raise ValueError(
            f"The signal has {stamps.size} samples, and a frame needs {FEWEST}: check the file or the split."
        )
    apart = np.diff(stamps)
    usual = np.median(apart)
    near = np.abs(apart / usual - 1) <= 2 * JITTER  # either end may be off
    step = float(apart[near].mean()) if near.any() else float(usual)
    uneven = ~near & (apart < WIDE * usual)
    if uneven.any():
        raise ValueError(
            f"The signal is not sampled regularly: {uneven.mean():.0%} of its steps are off {_length(step)}; put "
            f"it on a clock first with assim.align(ds, '{_length(step)}', 'interpolate')."
        )
    return step


def _count(frame: int, step: float) -> int:
    """Samples in a frame."""
    exact = frame / step
    count = round(exact)
    below = max(int(exact), FEWEST)
    if exact < FEWEST - JITTER:
        raise ValueError(
            f"A frame of {_length(frame)} holds {exact:.3g} samples of {_length(step)}, and needs {FEWEST}: "
            f"take {_length(below * step)} or longer, or put slow signals on a clock with assim.align."
        )
    if abs(exact - count) > JITTER:
        raise ValueError(
            f"A frame of {_length(frame)} holds {exact:.6g} samples of {_length(step)}, and a whole number "
            f"is needed: take {_length(below * step)} or {_length((below + 1) * step)}."
        )
    return count


def _computed(
    da: xr.DataArray, grid: _Grid, chosen: tuple[Feature, ...], mode: Mode, min_share: float
) -> NDArray[np.float64]:
    """The features of one channel (..., time), shape (feature, ..., frame)."""
    rows, total = int(np.prod(da.shape[:-1], dtype=int)), grid.ends.size
    out = np.full((len(chosen), rows, total), np.nan)
    width = max(1, CHUNK // (grid.count * max(rows, 1)))
    for low in range(0, total, width):
        high = min(low + width, total)
        a, b = np.searchsorted(grid.number, [low, high])
        if a == b:
            continue
        x = np.full((rows, high - low, grid.count), np.nan)
        values = np.asarray(da[..., a:b].values, float).reshape(rows, -1)
        x[:, grid.number[a:b] - low, grid.place[a:b]] = np.where(
            np.isfinite(values), values, np.nan
        )
        enough = np.isfinite(x).mean(axis=2) >= min_share
        if enough.any():
            frames = Frames(x[enough], grid.rate, mode)
            for row, feature in zip(out, chosen, strict=True):
                row[:, low:high][enough] = feature.of(frames)
    return out.reshape(len(chosen), *da.shape[:-1], total)


def _wanted(
    ds: xr.Dataset, features: Features | Mapping[str, Features]
) -> dict[str, tuple[Feature, ...]]:
    """The features of each channel."""
    numbers = [
        str(n) for n, v in ds.data_vars.items() if "time" in v.dims and v.dtype.kind in "fiu"
    ]
    errors = {f"{n}_sd" for n in numbers}
    channels = [n for n in numbers if n not in errors and "flag_meanings" not in ds[n].attrs]
    if isinstance(features, Mapping):
        strange = [n for n in features if n not in numbers]
        if strange or not features:
            what = f"{strange[0]!r} is no signal along time" if strange else "No signal is named"
            raise ValueError(f"{what}: give the features of {', '.join(numbers) or 'one'}.")
        wanted = {n: chosen_features(fs) for n, fs in features.items()}
    else:
        chosen = chosen_features(features)
        wanted = {n: chosen for n in channels}
    if not wanted:
        raise ValueError(
            f"The dataset has no signal along 'time' (dimensions: {dict(ds.sizes)}): read it with "
            "assim.open_dataset."
        )
    turning = [n for n in wanted if support_of(ds[n]) == "circle"]
    if turning:
        raise ValueError(
            f"'{turning[0]}' is a direction, which has no level: leave it out, or give its sine and cosine."
        )
    return wanted


def _length(ns: float) -> str:
    """A duration to the nanosecond, as `pandas` reads it."""
    return step_words(ns / 1e9) if ns >= 1e9 and ns % 1e9 == 0 else f"{ns / 1e6:.9g}ms"
