"""Depths, heights and other places beside time become channels of their own: `TEMP(time, depth)` is `TEMP@30`."""

from collections.abc import Hashable
from itertools import islice

import numpy as np
import xarray as xr

INSTANCES = ("station", "trajectory", "profile", "run")
MOST_CHANNELS = 64


def spread_out(name: str, da: xr.DataArray) -> dict[str, xr.DataArray]:
    """One array along time (and instance) for each place of a variable, `name@place`; one more than can be used.

    Args:
        name: of the variable.
        da: readings (time, ...), any units.
    """
    extra = [d for d in da.dims if d != "time" and d not in INSTANCES]
    if not extra:
        return {name: da}
    labels = {d: _labels(da, d) for d in extra}
    out = {}
    for at in islice(np.ndindex(*(da.sizes[d] for d in extra)), MOST_CHANNELS + 1):
        place = dict(zip(extra, at, strict=True))
        out["@".join([name, *(labels[d][j] for d, j in place.items())])] = da.isel(place)
    return out


def spread(ds: xr.Dataset) -> xr.Dataset:
    """A record with the places of each variable beside it as variables of their own, as a forecast has them."""
    found: dict[str, xr.DataArray] = {}
    for name, da in ds.data_vars.items():
        if "time" in da.dims:
            channels = spread_out(str(name), da).items()
            found |= {k: v.reset_coords(drop=True) for k, v in channels if k != name}
    return ds.assign(found)


def _labels(da: xr.DataArray, dim: Hashable) -> list[str]:
    """What the places along a dimension are called: by their coordinate where it tells them apart."""
    numbers = [str(j) for j in range(da.sizes[dim])]
    if dim not in da.coords or da[dim].dtype.kind not in "fiu":
        return numbers
    named = [f"{v:g}" for v in da[dim].values]
    return named if len(set(named)) == len(named) else numbers
