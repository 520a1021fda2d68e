"""Clouds of points at a few times, as they were seen or as they were made."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import xarray as xr

from assim.data.units import agree, convert
from assim.nn.exact_transport import scaled

type Kind = Clouds | Positions
type Clouded = xr.Dataset | xr.DataArray | xr.DataTree
"""At the door: a variable for each coordinate, on `time` and on what holds the points."""

WEIGHT, ID = "weight", "id"
AXIS = "coordinate"


@dataclass(frozen=True)
class Cloud:
    """Points at one time.

    Args:
        x: positions, shape (sample, coordinate), units of the coordinates.
        weight: shape (sample,), 0 or more, with the sum 1.
    """

    x: np.ndarray
    weight: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, weight: np.ndarray | None = None) -> Cloud:
        """Make a cloud of positions and weights of any sum, equal ones where there are none."""
        x = np.asarray(x, dtype=float)
        return cls(x, scaled(weight, len(x)))

    def __len__(self) -> int:
        return len(self.x)

    def drawn(self, size: int, rng: np.random.Generator) -> Cloud:
        """Draw some of the points without replacement, each with its weight; all where there are no more."""
        if size >= len(self):
            return self
        kept = rng.permutation(len(self))[:size]
        return Cloud.of(self.x[kept], self.weight[kept])


@dataclass(frozen=True)
class Clouds:
    """Clouds at several times.

    Args:
        times: shape (time,), in order.
        coordinates: their names.
        units: of each coordinate, or "" where it has none.
        each: the cloud of each time.
    """

    times: np.ndarray
    coordinates: tuple[str, ...]
    units: tuple[str, ...]
    each: tuple[Cloud, ...]

    def along(self, times: np.ndarray, *, who: str) -> list[Cloud]:
        """The clouds at some times, each of which has to be there."""
        alike = np.isclose if self.times.dtype.kind == "f" else np.equal
        rows = [np.flatnonzero(alike(self.times, time)) for time in times]
        if lost := [str(time) for time, row in zip(times, rows, strict=True) if not row.size]:
            raise ValueError(
                f"'{who}' has no cloud at {lost[0]}, and {len(lost)} of {len(times)} times are missing; it has "
                f"{self.times.size} from {self.times[0]} to {self.times[-1]}: make it at those of the snapshots."
            )
        return [self.each[row[0]] for row in rows]


@dataclass(frozen=True)
class Positions:
    """Points by number, the same at all times where they are paths.

    Args:
        times: shape (time,), in order.
        coordinates: their names.
        units: of each coordinate, or "" where it has none.
        x: shape (time, point, coordinate), units of the coordinates; NaN for padding.
        weight: shape (time, point).
    """

    times: np.ndarray
    coordinates: tuple[str, ...]
    units: tuple[str, ...]
    x: np.ndarray
    weight: np.ndarray


def as_clouds(given: Clouded, *, who: str = "truth", like: Kind | None = None) -> Clouds:
    """Read clouds from labelled snapshots or paths.

    Args:
        given: a variable for each coordinate on (time, sample), with NaN for padding and perhaps a variable
            `weight` and `id`; or an array on `coordinate`, `time` and others; or what `assim.generate` gives. All
            dimensions but `time` and `coordinate` hold points: samples, draws, particles.
        who: whose they are, for messages.
        like: whose coordinates are taken, in their units; None for all coordinates that there are.

    Returns:
        The clouds, in order of time.

    Raises:
        ValueError: no times, coordinates that are missing or in units that do not fit, a time without points,
            weights below 0.
    """
    read = as_positions(given, who=who, like=like)
    each = zip(read.x, read.weight, read.times, strict=True)
    return Clouds(
        read.times, read.coordinates, read.units, tuple(_cloud(*part, who) for part in each)
    )


def as_positions(given: Clouded, *, who: str = "truth", like: Kind | None = None) -> Positions:
    """Read paths, point by point: all that `as_clouds` reads, before padding and weights are looked at.

    Args:
        given: as of `as_clouds`.
        who: whose they are, for messages.
        like: whose coordinates are taken, in their units; None for all coordinates that there are.

    Returns:
        The positions, in order of time.

    Raises:
        ValueError: no times, coordinates that are missing or in units that do not fit.
    """
    held = _labelled(given, who)
    names = _axes(held) if like is None else list(like.coordinates)
    lost = [name for name in names if name not in held]
    if lost or not names or "time" not in held.coords or "time" not in held[names].dims:
        raise ValueError(
            f"'{who}' has {_axes(held)} on {dict(held.sizes)}: give each coordinate, {names or 'as a variable'}, "
            "on 'time' with its values."
        )
    if like is not None:
        held = held.assign(
            {n: _in(u, held[n], who) for n, u in zip(names, like.units, strict=True)}
        )
    held = held.sortby("time")
    table = held[names].to_dataarray(AXIS).transpose("time", ..., AXIS)
    weight = held[WEIGHT] if WEIGHT in held else xr.ones_like(held["time"], float)
    weight = weight.broadcast_like(table.isel({AXIS: 0})).transpose(*table.dims[:-1])
    times = table["time"].values
    x = table.values.reshape(times.size, -1, len(names)).astype(float)
    units = (
        tuple(str(held[n].attrs.get("units", "")) for n in names) if like is None else like.units
    )
    return Positions(times, tuple(names), units, x, weight.values.reshape(x.shape[:2]))


def _labelled(given: Clouded, who: str) -> xr.Dataset:
    """Snapshots or paths as a dataset."""
    if isinstance(given, xr.DataTree):
        given = (given["generated"] if "generated" in given.children else given).to_dataset()
    if isinstance(given, xr.DataArray):
        if AXIS not in given.dims:
            raise ValueError(
                f"'{who}' lies on {list(given.dims)}: give an array on '{AXIS}', 'time' and what holds the points, "
                "or a dataset."
            )
        given = given.to_dataset(AXIS)
    return given.rename({name: str(name) for name in given.data_vars if not isinstance(name, str)})


def _axes(held: xr.Dataset) -> list[str]:
    """Names of the coordinates: neither weights, identities nor errors."""
    names = [str(name) for name in held.data_vars if name not in (WEIGHT, ID)]
    return [name for name in names if name.removesuffix("_sd") == name or name[:-3] not in names]


def _in(units: str, held: xr.DataArray, who: str) -> xr.DataArray:
    """A coordinate in units; as it is where either has none."""
    theirs = str(held.attrs.get("units", ""))
    if not units or not theirs or agree(theirs, units):
        return held
    try:
        return convert(held, theirs, units)
    except ValueError as error:
        raise ValueError(
            f"The coordinate '{held.name}' of '{who}' is in '{theirs}' and the snapshots are in '{units}': correct "
            "the attribute 'units'."
        ) from error


def _cloud(x: np.ndarray, weight: np.ndarray, time: object, who: str) -> Cloud:
    """The points that are there: rows of NaN are padding."""
    seen = np.isfinite(x)
    part = seen.any(axis=1) & ~seen.all(axis=1)
    if part.any():
        warnings.warn(
            f"'{who}' has {part.sum()} points at {time} of which a coordinate is missing: they are left out.",
            UserWarning,
            stacklevel=4,
        )
    there = seen.all(axis=1) & (weight != 0)
    if not there.any() or not (weight[there] > 0).all():
        raise ValueError(
            f"'{who}' has {there.sum()} points at {time}, with weights from {weight.min()} to {weight.max()}: give "
            "one point or more, with weights of 0 or more."
        )
    return Cloud.of(x[there], weight[there])
