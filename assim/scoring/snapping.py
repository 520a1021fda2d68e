"""Coordinates that differ by rounding alone are the same places.

A model counts the places of its grid from the first by equal steps, and a file says them in single precision: where
both are looked up by their labels, none may be lost.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from assim.data.gridding import UNEVEN

CLOCKS = ("time", "init_time", "lead_time")


def snapped[T: (xr.Dataset, xr.DataArray)](held: T, wanted: xr.Dataset | xr.DataArray) -> T:
    """Take over the coordinates of another result where they agree to a thousandth of a step.

    Args:
        held: on any dimensions, times apart.
        wanted: whose coordinates are taken, the same units.

    Returns:
        The same numbers, at the places of `wanted` where these are meant.
    """
    coords = {}
    for dim in wanted.dims:
        if dim in CLOCKS or dim not in held.indexes or dim not in wanted.indexes:
            continue
        ours, theirs = held.indexes[dim], wanted.indexes[dim]
        if not ours.equals(theirs) and _numbers(ours) and _numbers(theirs):
            at = theirs.sort_values().astype(float)
            slack = UNEVEN * min(np.diff(np.sort(i)).min() for i in (ours, theirs))
            near = at.get_indexer(ours.astype(float), method="nearest", tolerance=slack)
            values = np.where(near >= 0, at.values[near], ours.values)
            coords[dim] = (dim, values, held[dim].attrs)
    return held.assign_coords(coords)


def _numbers(index: pd.Index) -> bool:
    return index.dtype.kind in "fiu" and index.is_unique and index.size > 1
