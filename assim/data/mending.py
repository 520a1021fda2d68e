"""A clock that only goes forward: stamps dropped, sorted and merged, each said in a sentence.

Rows without a time are dropped. A clock that goes backwards is sorted, rows of one stamp staying in the file's
order. Of several rows with one stamp the last reading of each variable that is not missing is kept.
"""

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from assim.data.geometry import merge

MOST_REPEATS = 16
STRETCH = 10
"""Rows from which a stretch that goes over the same times again may be a run of its own."""


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
    again = _runs_end_to_end(ds, times, steps) if backwards else []
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
    return ds, said + again


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


def _runs_end_to_end(ds: xr.Dataset, times: NDArray[np.datetime64], steps: NDArray) -> list[str]:
    """The sentence on a clock that starts again and goes over the same times with other readings."""
    bounds = np.r_[0, np.flatnonzero(steps < 0) + 1, times.size]
    stretches = [slice(a, b) for a, b in zip(bounds, bounds[1:], strict=False)]
    for one, two in zip(stretches, stretches[1:], strict=False):
        a, b = times[one], times[two]
        over = (b >= a[0]) & (b <= a[-1])
        if over.sum() >= STRETCH and ((a >= b[0]) & (a <= b[-1])).sum() >= STRETCH:
            if not is_lazy(ds) and _disagree(ds, one, two, times):
                return [
                    f"The clock starts again {len(stretches) - 1} time(s), first at row {two.start}, and goes over "
                    "the same times with other readings, as runs laid end to end do: if these are runs, they were "
                    "mixed by that; lay them along a dimension 'run' before reading."
                ]
    return []


def _disagree(ds: xr.Dataset, one: slice, two: slice, times: NDArray[np.datetime64]) -> bool:
    """Whether two stretches are no copies: other readings at their common stamps, or no stamp in common."""
    _, first, second = np.intersect1d(times[one], times[two], return_indices=True)
    if not first.size:
        return True
    for var in ds.data_vars.values():
        if "time" in var.dims and var.dtype.kind in "fiu":
            x, y = (var.isel(time=part).isel(time=at) for part, at in ((one, first), (two, second)))
            a, b = x.values.astype(float), y.values.astype(float)
            both = np.isfinite(a) & np.isfinite(b)
            if not np.allclose(a[both], b[both]):
                return True
    return False


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
