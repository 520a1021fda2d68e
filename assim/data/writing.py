"""`to_cf`: one CF-1.8 and ACDD-1.3 file, for other people's tools: flat, or a group for each rate.

Time is in seconds as float64 (CF 1.8 knows no 64-bit integers), a missing reading is -9999, axes have no fill
value, labels are characters. Standard names are checked against the table (`assim.data.naming`). What
neither the data nor the attributes say is not made up: a file that lacks a latitude and longitude, a height or the
standard name of a variable is valid CF, but ACDD asks for them. What is true of all groups stands at the root.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from assim.data.atomic import replacing
from assim.data.conforming import conformed
from assim.data.discovery import catalogued
from assim.data.flattening import RESULTS, flattened
from assim.data.grouping import records_of

FILL = -9999.0
EPOCH = "seconds since 1970-01-01T00:00:00Z"


def to_cf(
    tree_or_dataset: xr.DataTree | xr.Dataset,
    path: str | Path,
    *,
    quantiles: Sequence[float] = (0.05, 0.25, 0.5, 0.75, 0.95),
    members: bool = False,
) -> Path:
    """Writes a record, fields, snapshots, a forecast, an assimilation or a fit as a CF file, flat or by groups.

    compliance-checker has nothing against it by CF 1.8. By ACDD 1.3 it misses what is not known: a standard name
    that was not given, and the position and height that fields on a plane, populations or a fit of such lack.
    Groups it takes to share one clock, so that it judges such a file rightly group by group.

    Args:
        tree_or_dataset: what `open_dataset`, `take_snapshots`, `forecast`, `assimilate`, `reconstruct` or `infer`
            gives, in file units. Or a tree of records with clocks of their own, as `open_groups` and
            `simulate_runs` give: it is written with a group for each, and `open_groups` reads it.
        path: the netCDF file to write; it appears when it is whole.
        quantiles: levels of the quantiles that are written of a tree, in (0, 1) and increasing.
        members: whether to write all draws, along `realization`, in place of quantiles.

    Returns:
        The path.

    Raises:
        ValueError: levels outside (0, 1), a tree with nothing to write, a dataset without a clock or readings.
        OSError: no such directory, no permission, or no room.
    """
    path, levels = Path(path), [float(q) for q in quantiles]
    if not levels or not all(0 < q < 1 for q in levels) or (np.diff(levels) <= 0).any():
        raise ValueError(
            f"quantiles={tuple(levels)} must increase and lie between 0 and 1, as in (0.05, 0.5, 0.95)."
        )
    defaults: dict[str, str] = {}
    if not isinstance(tree_or_dataset, xr.DataTree):
        ds = tree_or_dataset
    elif records := _records(tree_or_dataset):
        return _write_groups(records, tree_or_dataset.attrs, path)
    else:
        ds, defaults = flattened(tree_or_dataset, levels, members)
    ds = conformed(ds)
    ds.attrs = catalogued(ds, path.stem, defaults)
    for name, encoding in _encodings(ds).items():
        ds[name].encoding = encoding
    with replacing(path) as temporary:
        ds.to_netcdf(temporary, engine="netcdf4", format="NETCDF4_CLASSIC")
    return path


def _records(tree: xr.DataTree) -> dict[str, xr.Dataset]:
    """The records of a tree by their groups; none of a result, which is written flat."""
    found = {} if RESULTS & set(tree.children) else records_of(tree)
    return found if all("time" in ds.dims for ds in found.values()) else {}


def _write_groups(records: dict[str, xr.Dataset], attrs: dict[Any, Any], path: Path) -> Path:
    """Each record in its group with the attributes that are its own; those of the longest at the root."""
    told = {name: conformed(ds.assign_attrs(attrs | ds.attrs)) for name, ds in records.items()}
    longest = max(told.values(), key=lambda ds: ds["time"].values[-1])
    names = ", ".join(str(n) for ds in told.values() for n in ds.data_vars)
    words = {"title": f"Records of {names} by groups", "keywords": names}
    words["summary"] = f"Readings of {names}, each group on a clock of its own: {', '.join(told)}."
    whole = catalogued(longest.drop_attrs(deep=False).assign_attrs(attrs), path.stem, words)
    with replacing(path) as temporary:
        xr.Dataset(attrs=whole).to_netcdf(temporary, engine="netcdf4", format="NETCDF4")
        for name, ds in told.items():
            own = catalogued(ds, path.stem, words)
            said = {k for k, v in own.items() if whole.get(k) != v and not k.startswith("date_")}
            said -= {"history"} if ds.attrs.get("history") == attrs.get("history") else set()
            said |= {k for k in own if k.startswith("time_coverage")}
            ds.attrs = {k: v for k, v in own.items() if k in said}
            for variable, encoding in _encodings(ds).items():
                ds[variable].encoding = encoding
            ds.to_netcdf(temporary, "a", "NETCDF4", name or None, "netcdf4")
    return path


def _encodings(ds: xr.Dataset) -> dict[str, dict[str, Any]]:
    """How each variable is stored."""
    encoding: dict[str, dict[str, Any]] = {}
    for name, var in ds.variables.items():
        encoding[str(name)] = {"_FillValue": None}
        if var.dtype.kind == "M":
            encoding[str(name)] |= {"units": _epoch(ds), "calendar": "standard", "dtype": "f8"}
        beside = name in ds.coords and name not in ds.dims and var.dtype.kind == "f"
        if beside and bool(np.isnan(var.values).any()):
            encoding[str(name)]["_FillValue"] = var.dtype.type(FILL)
    for name, da in ds.data_vars.items():
        along = [
            str(c) for c, v in ds.coords.items() if c not in ds.dims and set(v.dims) <= set(da.dims)
        ]
        encoding[str(name)] |= {"coordinates": " ".join(along)} if along else {}
        encoding[str(name)] |= {"zlib": True, "complevel": 4, "shuffle": True} if da.ndim else {}
        if da.dtype.kind == "f":
            taken = da.chunks is None and bool((da == FILL).any())
            encoding[str(name)]["_FillValue"] = da.dtype.type(np.nan if taken else FILL)
    return encoding


def _epoch(ds: xr.Dataset) -> str:
    """Seconds since 1970; since the record's own first day where stamps are finer than a second."""
    stamps = [v.values for v in ds.variables.values() if v.dtype.kind == "M"]
    if all((s == s.astype("datetime64[s]")).all() for s in stamps):
        return EPOCH
    return f"seconds since {min(s.min() for s in stamps).astype('datetime64[D]')}T00:00:00Z"
