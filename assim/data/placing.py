"""Where a record was taken and who made it, kept with a fit so that a forecast can say so in a CF file."""

import numpy as np
import xarray as xr

POSITIONS = {
    "Y": ("latitude", ("latitude",), ("lat", "latitude"), "degrees_north"),
    "X": ("longitude", ("longitude",), ("lon", "longitude", "long"), "degrees_east"),
    "Z": (
        "altitude",
        ("altitude", "height", "depth", "height_above_mean_sea_level"),
        ("alt", "altitude", "height", "elevation", "depth", "nominal_depth"),
        "m",
    ),
}
"""For each axis: the usual standard name, all standard names, names, and the usual unit."""
ABOUT = (
    *("institution", "creator_name", "creator_email", "creator_url", "creator_type", "license"),
    *("creator_institution", "acknowledgement", "project", "program", "platform", "instrument"),
)


def position_in(ds: xr.Dataset, axis: str) -> str | None:
    """The latitude (Y), longitude (X) or height (Z): by standard name, else by name, and axes come first."""
    _, standard, names, _ = POSITIONS[axis]
    ranked: list[tuple[bool, bool, int, str]] = []
    for name in (str(n) for n, v in ds.coords.items() if v.dtype.kind in "fiu"):
        by_standard = str(ds[name].attrs.get("standard_name")) in standard
        if by_standard or name.lower() in names:
            ranked.append((name not in ds.dims, not by_standard, len(ranked), name))
    return min(ranked)[-1] if ranked else None


def place_of(ds: xr.Dataset) -> dict:
    """Positions of the record or of each station, and what the file says of its makers; JSON-ready.

    Args:
        ds: what `open_dataset` gives.
    """
    coords = {}
    for axis in POSITIONS:
        name = position_in(ds, axis)
        if name is None or ds[name].ndim > 1 or {"time", name} & set(ds[name].dims):
            continue
        dim = next(iter(map(str, ds[name].dims)), "")
        values = np.asarray(ds[name].values, float)
        coords[name] = {
            "dim": dim,
            "labels": [str(v) for v in ds[dim].values] if dim else [],
            "values": [float(v) if np.isfinite(v) else None for v in np.ravel(values)],
            "attrs": {str(k): v for k, v in ds[name].attrs.items() if isinstance(v, str)},
        }
    return {
        "coords": coords,
        "about": {k: ds.attrs[k] for k in ABOUT if isinstance(ds.attrs.get(k), str)},
    }


def placed(ds: xr.Dataset, place: dict) -> xr.Dataset:
    """A dataset with the positions that were kept of its stations.

    Args:
        ds: a forecast, along the same instance dimension.
        place: what `place_of` gave.
    """
    for name, kept in place.get("coords", {}).items():
        dim = kept["dim"]
        if name in ds.variables or (dim and dim not in ds.coords):
            continue
        known = dict(zip(kept["labels"] or [""], kept["values"], strict=True))
        asked = [str(v) for v in ds[dim].values] if dim else [""]
        values = np.array([known.get(label) for label in asked], float)
        coord = ((dim,), values, kept["attrs"]) if dim else ((), values[0], kept["attrs"])
        ds = ds.assign_coords({name: coord})
    return ds.assign_attrs(place.get("about", {}) | ds.attrs)
