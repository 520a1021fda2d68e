"""A clock that only goes forward: stamps dropped, sorted and merged, each said in a sentence.

Rows without a time are dropped. A clock that goes backwards is sorted, rows of one stamp staying in the file's
order. Of several rows with one stamp the last reading of each variable that is not missing is kept.
"""

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from assim.data.geometry import merge

MOST_REPEATS = 16


def put_in_order(
    ds: xr.Dataset, dim: str, times: NDArray[np.datetime64]
) -> tuple[xr.Dataset, list[str]]:
    """The dataset on a strictly increasing clock.

    Args:
        ds: numeric variables; those with `dim` are mended.
        dim: the dimension of the clock; it is renamed to time.
        times: its stamps, shape (dim,), datetime64[ns], none NaT.

    Returns:
        The dataset with the coordinate time, and what was mended.

    Raises:
        ValueError: a lazy dataset in which one stamp stands too often to be merged without reading it.
    """
    ds, said = ds.drop_vars([n for n in ("time", dim) if n in ds.variables]), []
    steps = np.diff(times.astype(np.int64))
    ds = ds if dim == "time" else ds.rename({dim: "time"})
    backwards = int((steps < 0).sum())
    if backwards:
        order = np.argsort(times, kind="stable")
        ds, times = ds.isel(time=order), times[order]
        steps = np.diff(times.astype(np.int64))
        said.append(f"The clock went backwards {backwards} time(s); its rows were sorted.")
    repeated = int((steps == 0).sum())
    if repeated:
        ds = _merged_lazily(ds, times) if is_lazy(ds) else _merged(ds, times)
        times = np.unique(times)
        said.append(
            f"{repeated} row(s) repeated a stamp; the last reading of each variable that is not missing was kept."
        )
    ds = ds.assign_coords(time=("time", times, {"standard_name": "time", "axis": "T"}))
    return ds, said


def say_dropped(missing: int, outside: int) -> list[str]:
    """The sentences on rows without a usable time."""
    said = []
    if missing:
        said.append(f"{missing} row(s) without a time were dropped.")
    if outside:
        said.append(
            f"{outside} row(s) were dropped: their time is outside its valid range or the years 1678 to 2261."
        )
    return said


def is_lazy(ds: xr.Dataset) -> bool:
    """Whether any variable is a dask array."""
    return any(v.chunks is not None for v in ds.variables.values())


def _merged(ds: xr.Dataset, times: NDArray[np.datetime64]) -> xr.Dataset:
    keys = times.astype(np.int64)
    out = {}
    for name, var in ds.variables.items():
        if "time" not in var.dims:
            out[name] = var
            continue
        moved = var.transpose("time", ...)
        values, _ = merge(moved.values, keys)
        out[name] = xr.Variable(moved.dims, values, var.attrs).transpose(*var.dims)
    coords = {n: v for n, v in out.items() if n in ds.coords}
    return xr.Dataset({n: v for n, v in out.items() if n not in coords}, coords, ds.attrs)


def _merged_lazily(ds: xr.Dataset, times: NDArray[np.datetime64]) -> xr.Dataset:
    """The last row of each stamp, its gaps filled from the rows before it of the same stamp."""
    starts = np.flatnonzero(np.r_[True, np.diff(times.astype(np.int64)) != 0])
    last = np.r_[starts[1:], times.size] - 1
    most = int((last - starts).max())
    if most > MOST_REPEATS:
        raise ValueError(
            f"One stamp of the clock stands {most + 1} times, too often to merge lazily: read without chunks=."
        )
    ds = ds.drop_indexes([n for n in ds.indexes if n == "time"])
    merged = ds.isel(time=last)
    for back in range(1, most + 1):
        earlier = ds.isel(time=np.maximum(last - back, starts))
        for name, var in merged.variables.items():
            if "time" in var.dims:
                merged[name] = merged[name].fillna(earlier[name].variable)
    return merged
