"""Fields on a regular grid: from a labelled dataset to arrays and back, and no JAX.

A field lies on (time, ...) or (run, time, ...), and its other dimensions are the axes of the grid, with coordinates
at equal steps. The clock may be uneven. A square that a twin experiment laid out in one row (`place`, with
`place_0` and `place_1` beside it) is folded again.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from assim.data.units import agree, convert, warn_of_none

TIME, RUN = "time", "run"
REPEATED = {"number", "realization", "member", "ensemble", "chain", "draw", "station", "sensor"}
"""Names of dimensions that number things and lie nowhere."""
DEGREES = {
    **dict.fromkeys(("lat", "latitude"), "degrees_north"),
    **dict.fromkeys(("lon", "longitude"), "degrees_east"),
}
"""Units of axes that tell none and need not."""
UNEVEN = 1e-3
"""Of a step: what coordinates in single precision may be off."""


@dataclass(frozen=True)
class Grid:
    """A regular grid.

    Args:
        dims: name of each axis.
        starts: first coordinate of each axis, its own units.
        steps: from place to place along each axis, its own units; negative where coordinates fall.
        sizes: places along each axis.
        units: of each axis, "" where none is told and none goes without saying.
    """

    dims: tuple[str, ...]
    starts: tuple[float, ...]
    steps: tuple[float, ...]
    sizes: tuple[int, ...]
    units: tuple[str, ...]

    @property
    def lengths(self) -> tuple[float, ...]:
        """Of the domain along each axis, one step beyond its last place; units of the axis."""
        return tuple(abs(s) * n for s, n in zip(self.steps, self.sizes, strict=True))

    @property
    def places(self) -> int:
        """How many places there are."""
        return int(np.prod(self.sizes))

    def axis(self, number: int) -> np.ndarray:
        """Coordinates along one axis, shape (place,)."""
        return self.starts[number] + self.steps[number] * np.arange(self.sizes[number])

    def points(self) -> np.ndarray:
        """Coordinates of every place, the last axis fastest, shape (place, coordinate)."""
        axes = np.meshgrid(*(self.axis(i) for i in range(len(self.dims))), indexing="ij")
        return np.stack(axes, axis=-1).reshape(-1, len(self.dims))

    def coords(self) -> dict[str, tuple]:
        """Coordinate variables of a dataset on this grid."""
        return {
            dim: (dim, self.axis(i), {"units": self.units[i]} if self.units[i] else {})
            for i, dim in enumerate(self.dims)
        }

    def to_dict(self) -> dict:
        """JSON-ready; `from_dict` is its inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: dict) -> "Grid":
        """The grid that `to_dict` described."""
        return cls(**{k: tuple(v) for k, v in stored.items()})


@dataclass(frozen=True)
class Fields:
    """A record of fields as arrays.

    Args:
        times: shape (time,), datetime64[ns].
        names: of the fields.
        grid: where they lie.
        values: shape (run, time, field, place), file units; NaN where missing.
        attrs: CF attributes of each field.
        runs: label of each run, or None where the record is one.
    """

    times: np.ndarray
    names: tuple[str, ...]
    grid: Grid
    values: np.ndarray
    attrs: dict[str, dict[str, Any]]
    runs: tuple | None = None

    @property
    def step(self) -> float:
        """The usual step, seconds."""
        return float(np.median(np.diff(self.times) / np.timedelta64(1, "ns")) * 1e-9)


def fields_of(ds: xr.Dataset, names: Iterable[str] | None = None) -> Fields:
    """The fields of a dataset, all on one regular grid.

    Args:
        ds: variables on (time, ...) or (run, time, ...), file units; NaN where missing.
        names: which variables; None for all that lie on time and a grid.

    Raises:
        ValueError: no such variable, no clock, fields on several grids, coordinates that are none or not at equal
            steps.
    """
    held = [str(n) for n, v in ds.data_vars.items() if _is_field(v)]
    held = [n for n in held if n.removesuffix("_sd") == n or n.removesuffix("_sd") not in held]
    asked = tuple(held if names is None else names)
    if strange := [n for n in asked if n not in held]:
        raise ValueError(
            f"The dataset has no field '{strange[0]}' on time and a grid; it has {', '.join(held) or 'none'}."
        )
    if not asked:
        raise ValueError(
            "The dataset has no field: give a variable of numbers on (time, ...) with coordinates along its other "
            "dimensions."
        )
    ds = folded(ds[list(asked)])
    across = {n: tuple(str(d) for d in ds[n].dims if d not in (TIME, RUN)) for n in asked}
    dims = across[asked[0]]
    if several := sorted({RUN in ds[n].dims for n in asked}):
        if len(several) > 1:
            raise ValueError(
                "Some fields have runs and some have none: give all of them 'run', as ds.broadcast_like(...)."
            )
    if repeated := [d for d in dims if d.lower() in REPEATED]:
        raise ValueError(
            f"The fields lie on '{repeated[0]}', which is no axis of a grid: choose one of it by "
            f"ds.isel({repeated[0]}=0), or rename it to 'run' where they are runs beside each other."
        )
    if apart := [n for n in asked if set(across[n]) != set(dims)]:
        raise ValueError(
            f"'{apart[0]}' lies on {', '.join(across[apart[0]])} and '{asked[0]}' on {', '.join(dims)}: the fields "
            "of one model lie on one grid; choose them by fields=."
        )
    grid = grid_along(ds, dims)
    runs = tuple(ds[RUN].values.tolist()) if RUN in ds.dims else None
    order = (*([RUN] if runs is not None else []), TIME, *dims)
    stacked = np.stack([ds[n].transpose(*order).values for n in asked], axis=-1 - len(dims))
    lead = stacked.shape[: 1 + (runs is not None)]
    values = stacked.reshape(*lead, len(asked), grid.places).astype(np.float64)
    return Fields(
        _clock(ds),
        asked,
        grid,
        values if runs is not None else values[None],
        {n: _plain(ds[n].attrs) for n in asked},
        runs,
    )


def in_units_of(fields: Fields, attrs: dict[str, dict]) -> Fields:
    """The fields in other units.

    Args:
        fields: the record.
        attrs: attributes of each field of the fit, whose `units` are wanted; a field without is left as it is, with
            a warning.

    Raises:
        ValueError: units that measure different things.
    """
    values = fields.values.copy()
    for i, name in enumerate(fields.names):
        own, wanted = (str(a.get(name, {}).get("units", "")) for a in (fields.attrs, attrs))
        if wanted and not own:
            warn_of_none(name, wanted, stacklevel=4)
        elif wanted and not agree(own, wanted):
            values[:, :, i] = convert(values[:, :, i], own, wanted)
    return replace(fields, values=values)


def on_grid(values: np.ndarray, grid: Grid) -> np.ndarray:
    """An array (..., place) with the axes of a grid in place of its last."""
    return values.reshape(*values.shape[:-1], *grid.sizes)


def _is_field(variable: xr.DataArray) -> bool:
    others = [d for d in variable.dims if d not in (TIME, RUN)]
    return TIME in variable.dims and bool(others) and variable.dtype.kind in "fiu"


def folded[T: (xr.Dataset, xr.DataArray)](ds: T) -> T:
    """A square laid out in one row (`place`, with `place_0` and `place_1` beside it), with two axes again."""
    sides = sorted(str(c) for c in ds.coords if str(c).startswith("place_"))
    if "place" not in ds.dims or not sides:
        return ds
    row = ds.drop_vars("place", errors="ignore")
    return row.set_index(place=sides).unstack("place")


def grid_along(ds: xr.Dataset, dims: tuple[str, ...]) -> Grid:
    """The regular grid of some coordinates of a dataset.

    Args:
        ds: coordinates of numbers along `dims`.
        dims: the axes.

    Raises:
        ValueError: no such coordinate, too few places, or steps that are not equal.
    """
    starts, steps = [], []
    for dim in dims:
        if dim not in ds.coords or ds[dim].dtype.kind not in "fiu":
            raise ValueError(
                f"The dataset has no coordinate of numbers along '{dim}': a grid needs one, as "
                f"ds.assign_coords({dim}=...)."
            )
        at = ds[dim].values.astype(float)
        if at.size < 4:
            raise ValueError(
                f"The grid has {at.size} places along '{dim}': at least 4 are needed; choose one of them by "
                f"ds.isel({dim}=0), so that the axis falls away."
            )
        apart = np.diff(at)
        step = float(np.median(apart))
        if step == 0 or np.abs(apart - step).max() > UNEVEN * abs(step):
            raise ValueError(
                f"The places along '{dim}' do not stand at equal steps (from {apart.min():g} to {apart.max():g}): "
                f"bring the fields to a regular grid first, as ds.interp({dim}=...)."
            )
        starts.append(float(at[0]))
        steps.append(float((at[-1] - at[0]) / (at.size - 1)))
    units = tuple(str(ds[d].attrs.get("units") or DEGREES.get(d.lower(), "")) for d in dims)
    return Grid(dims, tuple(starts), tuple(steps), tuple(ds.sizes[d] for d in dims), units)


def _clock(ds: xr.Dataset) -> np.ndarray:
    if TIME not in ds.coords or ds[TIME].dtype.kind != "M":
        raise ValueError(
            "The dataset has no clock of dates along 'time': read it with assim.open_dataset, which finds and "
            "renames the clock."
        )
    times = ds[TIME].values.astype("datetime64[ns]")
    if times.size < 3 or (times[1:] <= times[:-1]).any():
        raise ValueError(
            f"The record has {times.size} times, and at least 3 that increase are needed: check the file, or the "
            "split."
        )
    return times


def _plain(attrs: dict) -> dict[str, Any]:
    kept = ("units", "long_name", "standard_name", "cell_methods")
    return {k: str(attrs[k]) for k in kept if k in attrs}
