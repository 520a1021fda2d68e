r"""Windows: real and generated series of one length, in the unit interval.

The protocol of TimeGAN (Yoon et al. 2019, NeurIPS) scales every channel by the extrema of all real rows,

$$u = \frac{x - \min x}{\max x - \min x + 10^{-7}},$$

so that a channel that never varies becomes 0. Extrema of training rows alone keep what is to be judged out of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

type Windowed = np.ndarray | xr.DataArray | xr.Dataset
"""Windows at the door: (num, time, channel), or labelled on `sample` and `time`."""

FEWEST = 20
EPSILON = 1e-7
SAME = 1 - 1e-9  # of a correlation, within what single precision leaves of 1


@dataclass(frozen=True)
class Windows:
    """Series of one length.

    Args:
        values: shape (num, time, channel), in the channels' units.
        channels: their names.
    """

    values: np.ndarray
    channels: tuple[str, ...]


@dataclass(frozen=True)
class Extrema:
    """Of each channel.

    Args:
        low: shape (channel,), in the channels' units.
        high: the same.
    """

    low: np.ndarray
    high: np.ndarray

    def scaled(self, values: np.ndarray) -> np.ndarray:
        """Bring (..., channel) to 0 at the lowest and (all but) 1 at the highest."""
        return (values - self.low) / (self.high - self.low + EPSILON)

    def restored(self, scaled: np.ndarray) -> np.ndarray:
        """Take it back."""
        return scaled * (self.high - self.low + EPSILON) + self.low


def extrema(rows: np.ndarray) -> Extrema:
    """Find the lowest and highest value of each channel.

    Args:
        rows: a record or windows, shape (..., channel): all of it as TimeGAN does, or the training part.

    Returns:
        The extrema.
    """
    flat = np.asarray(rows).reshape(-1, np.shape(rows)[-1])
    return Extrema(flat.min(axis=0), flat.max(axis=0))


def as_windows(given: Windowed, *, who: str = "real") -> Windows:
    """Read windows from an array or from labelled series.

    Args:
        given: shape (num, time, channel); or a dataset on `sample` and `time`, one variable a channel; or an array
            of xarray on `sample`, `time` and at most one more, which holds the channels.
        who: the generator, for messages.

    Returns:
        The windows.

    Raises:
        ValueError: other dimensions, values that are not finite, fewer than 20 windows or 2 steps.
    """
    values, channels = _read(given, who)
    if len(values) < FEWEST or values.shape[1] < 2:
        raise ValueError(
            f"'{who}' has {len(values)} windows of {values.shape[1]} steps: scores need {FEWEST} or more of 2 or "
            "more."
        )
    bad = ~np.isfinite(values).all(axis=(0, 1))
    if bad.any():
        named = [name for name, out in zip(channels, bad, strict=True) if out]
        raise ValueError(
            f"'{who}' has values that are missing or not finite in {named}: fill them, or leave out the windows "
            "that hold them."
        )
    return Windows(values, channels)


def beside(
    real: Windowed, fakes: Mapping[str, Windowed], scaling: Extrema | None = None
) -> tuple[Windows, dict[str, np.ndarray]]:
    """Bring real and generated windows to the same channels and the same scale.

    Args:
        real: windows, in any units.
        fakes: generated ones by name, in the same units; labelled channels in any order.
        scaling: of each channel; by default none where all that is real lies in [0, 1], else by its extrema.

    Returns:
        The real windows and the values of the others, scaled.

    Raises:
        ValueError: windows that cannot be read, or differ in length or channels.
    """
    held = as_windows(real)
    if scaling is None and (held.values.min() < 0 or held.values.max() > 1):
        scaling = extrema(held.values)
    read = {name: _like(held, fake, name) for name, fake in fakes.items()}
    if scaling is None:
        return held, read
    read = {name: scaling.scaled(values) for name, values in read.items()}
    return Windows(scaling.scaled(held.values), held.channels), read


def hollow(real: Windows) -> list[str]:
    """Name the channels that teach a score nothing: those that never vary, and copies of others.

    Args:
        real: the windows.

    Returns:
        A sentence for each.
    """
    rows = real.values.reshape(-1, len(real.channels))
    rows = rows - rows.mean(axis=0)
    spread = np.sqrt((rows**2).mean(axis=0))
    still = spread < EPSILON * np.maximum(np.abs(real.values).max(axis=(0, 1)), EPSILON)
    rows = rows / np.where(still, 1.0, spread)
    same = np.tril(rows.T @ rows / len(rows) > SAME, k=-1) & ~still & ~still[:, None]
    told = [f"'{n}' never varies." for n, s in zip(real.channels, still, strict=True) if s]
    for i, name in enumerate(real.channels):
        if same[i].any():
            told.append(f"'{name}' is a copy of '{real.channels[int(same[i].argmax())]}'.")
    return told


def _read(given: Windowed, who: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Values (num, time, channel) and the names of the channels; what `generate` makes lies on `step`."""
    if isinstance(given, xr.Dataset | xr.DataArray) and "step" in given.dims:
        given = given.rename(step="time")
    if isinstance(given, xr.Dataset):
        lost = {str(n): list(v.dims) for n, v in given.items() if {*v.dims} != {"sample", "time"}}
        if lost or not given.data_vars:
            raise ValueError(
                f"'{who}' has {lost or 'no variables'}: give variables on 'sample' and 'time', one a channel."
            )
        given = given.to_dataarray("channel").assign_attrs(given.attrs)
    if isinstance(given, xr.DataArray):
        more = [dim for dim in given.dims if dim not in ("sample", "time")]
        if not {"sample", "time"} <= {*given.dims} or len(more) > 1:
            raise ValueError(
                f"'{who}' lies on {list(given.dims)}: give windows on 'sample', 'time' and at most one more for "
                "the channels."
            )
        if not more:
            given, more = given.expand_dims(channel=[str(given.name or "channel 0")]), ["channel"]
        given = given.transpose("sample", "time", *more)
        names = given[more[0]].values if more[0] in given.coords else range(given.sizes[more[0]])
        return given.values.astype(float), tuple(map(str, names))
    values = np.asarray(given, dtype=float)
    if values.ndim != 3:
        raise ValueError(
            f"'{who}' has the shape {values.shape}: give windows of shape (num, time, channel)."
        )
    return values, tuple(f"channel {i}" for i in range(values.shape[-1]))


def _like(real: Windows, given: Windowed, who: str) -> np.ndarray:
    """Generated values with the channels of the real ones."""
    fake = as_windows(given, who=who)
    length, count = real.values.shape[1:]
    if fake.values.shape[1:] != (length, count):
        raise ValueError(
            f"'{who}' has windows of {fake.values.shape[1]} steps and {fake.values.shape[2]} channels, the real "
            f"ones have {length} and {count}: cut or generate them alike."
        )
    labelled = isinstance(given, xr.DataArray | xr.Dataset)
    if not labelled or fake.channels == real.channels or real.channels[0] == "channel 0":
        return fake.values
    if {*fake.channels} != {*real.channels}:
        raise ValueError(
            f"'{who}' has the channels {list(fake.channels)}, the real windows {list(real.channels)}: name them "
            "alike."
        )
    return fake.values[..., [fake.channels.index(name) for name in real.channels]]
