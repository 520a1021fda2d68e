"""A dataset as CF 1.8 wants it: coordinates with axes, labels as characters, no 64-bit integers, valid names."""

from collections.abc import Hashable

import numpy as np
import xarray as xr

from assim.data.naming import described, spelled_units, variable_name
from assim.data.placing import POSITIONS, position_in
from assim.data.spreading import INSTANCES

ROLES = {
    **{"station": "timeseries_id", "run": "timeseries_id"},
    **{"trajectory": "trajectory_id", "profile": "profile_id"},
}
ENSEMBLE = ("realization", "quantile")
SAMPLE = "sample"
"""The particles of a snapshot."""


def conformed(ds: xr.Dataset) -> xr.Dataset:
    """The same data with names, types, coordinates and attributes by CF.

    Args:
        ds: readings along `time`, or along reference time and forecast period.

    Raises:
        ValueError: no clock, or no numbers to write.
    """
    readings = [n for n, v in ds.data_vars.items() if v.dtype.kind in "fiub"]
    if not readings:
        raise ValueError("The dataset has no variable of numbers, so there is nothing to write.")
    if not any(str(c) in ("time", "forecast_reference_time") for c in ds.dims):
        raise ValueError(
            f"The dataset has no 'time' dimension (it has {', '.join(map(str, ds.dims)) or 'none'}): "
            "read it with assim.open_dataset, which finds and renames the clock."
        )
    ds = ds[readings].drop_encoding()
    ds = _named(ds)
    known = {str(n) for n in (*ds.variables, *ds.dims)}
    for name in ds.data_vars:
        ds[name] = _typed(ds[name])
        ds[name].attrs = described(ds[name], known)
    return _ordered(_coordinates(ds))


def _named(ds: xr.Dataset) -> xr.Dataset:
    """Variables and dimensions of letters, digits and underscores."""
    names: dict[str, str] = {}
    for name in map(str, (*ds.variables, *(d for d in ds.dims if d not in ds.variables))):
        names[name] = variable_name(name, set(names.values()))
    renamed = {n: new for n, new in names.items() if n != new}
    for name in renamed:
        if name in ds.data_vars:
            ds[name].attrs.setdefault("long_name", name)
    return ds.rename(renamed)


def _typed(da: xr.DataArray) -> xr.DataArray:
    """Integers of at most 32 bits, floats of 32 or 64."""
    if da.dtype.kind == "b":
        return da.astype(np.int8)
    if da.dtype.kind == "f":
        return da.astype(np.float32) if da.dtype.itemsize < 4 else da
    if da.dtype in (np.int8, np.int16, np.int32):
        return da
    return da.astype(np.int32 if da.dtype in (np.uint8, np.uint16) else np.float64)


def _coordinates(ds: xr.Dataset) -> xr.Dataset:
    used = {d for v in ds.data_vars.values() for d in v.dims}
    placed = {axis: position_in(ds, axis) for axis in POSITIONS}
    for axis, place in placed.items():
        if place is not None:
            ds[place].attrs = _placed(ds[place], axis)
    for name in map(str, list(ds.coords)):
        var = ds[name]
        if not set(var.dims) <= used or var.dtype.kind == "O" and name not in ds.dims:
            ds = ds.drop_vars(name)
        elif name in INSTANCES or var.dtype.kind in "USO":
            ds = _labelled(ds, name)
        elif var.dtype.kind in "Mm":
            ds = _clocked(ds, name)
        elif name not in placed.values():
            ds[name] = _typed(var)
            ds[name].attrs = {
                k: v for k, v in described(var, set()).items() if k != "coverage_content_type"
            }
            ds[name].attrs.setdefault("units", "1")
            if _is_height(var):
                ds[name].attrs = {k: v for k, v in _placed(var, "Z").items() if k != "axis"}
    for dim in INSTANCES:
        if dim in ds.dims and dim not in ds.coords:
            ds = _labelled(ds.assign_coords({dim: np.arange(ds.sizes[dim])}), dim)
    return ds


def _ordered(ds: xr.Dataset) -> xr.Dataset:
    """All other dimensions in front of those of time, height, latitude and longitude."""
    first = (*ENSEMBLE, *INSTANCES, SAMPLE)

    def rank(dim: Hashable) -> int:
        if dim in first:
            return first.index(dim) - len(first)
        axis = ds[dim].attrs.get("axis", "Z" if "positive" in ds[dim].attrs else "")
        return "TZYX".index(axis) + 1 if axis else 0

    ordered = {n: v.transpose(*sorted(v.dims, key=rank)) for n, v in ds.data_vars.items()}
    return ds.assign(ordered)


def _is_height(da: xr.DataArray) -> bool:
    _, standard, names, _ = POSITIONS["Z"]
    said = str(da.attrs.get("standard_name")) in standard or str(da.name).lower() in names
    return said and da.dtype.kind in "fiu"


def _placed(da: xr.DataArray, axis: str) -> dict:
    usual, standard, _, units = POSITIONS[axis]
    low = str(da.name).lower()
    guess = next((s for s in standard if s in low), usual)
    said = str(da.attrs.get("standard_name", ""))
    said = said if said in standard else guess
    attrs = {
        "standard_name": said,
        "long_name": str(da.attrs.get("long_name") or said.replace("_", " ")),
        "units": spelled_units(da.attrs.get("units")) or units if axis == "Z" else units,
        "axis": axis,
    }
    up = "down" if said == "depth" else "up"
    return attrs | ({"positive": str(da.attrs.get("positive", up)).lower()} if axis == "Z" else {})


def _labelled(ds: xr.Dataset, name: str) -> xr.Dataset:
    """Labels as characters, with the role that they have."""
    attrs = {"long_name": str(ds[name].attrs.get("long_name") or f"name of the {name}")}
    role = ROLES.get(name, ds[name].attrs.get("cf_role"))
    attrs |= {"cf_role": str(role)} if role else {}
    texts = [
        t.decode("utf-8", "replace") if isinstance(t, bytes) else str(t)
        for t in np.ravel(ds[name].values)
    ]
    values = np.char.encode(np.array(texts, str), "utf-8").reshape(ds[name].shape)
    return ds.assign_coords({name: (ds[name].dims, values, attrs)})


def _clocked(ds: xr.Dataset, name: str) -> xr.Dataset:
    """The clock has axis T; other times keep their standard name."""
    var = ds[name]
    if var.dtype.kind == "m":
        seconds = (var / np.timedelta64(1, "s")).assign_attrs(
            long_name=name.replace("_", " "), units="s"
        )
        return ds.assign_coords({name: seconds})
    attrs = {k: v for k, v in var.attrs.items() if k in ("standard_name", "long_name")}
    attrs |= {"standard_name": "time"} if name == "time" else {}
    clock = "time" if "time" in ds.dims else "forecast_reference_time"
    if (name == clock and var.dims == (name,)) or var.attrs.get("axis") == "T":
        attrs["axis"] = "T"
    attrs.setdefault("long_name", name.replace("_", " "))
    return ds.assign_coords({name: (var.dims, var.values.astype("datetime64[ns]"), attrs)})
