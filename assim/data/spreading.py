"""Depths, heights and other places beside time become channels of their own: `TEMP(time, depth)` is `TEMP@30`."""

import warnings
from collections.abc import Hashable, Sequence
from itertools import islice

import numpy as np
import xarray as xr
from numpy.typing import NDArray

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


def as_fitted(
    columns: dict[str, xr.DataArray], fitted: Sequence[str], *, chosen: bool
) -> dict[str, xr.DataArray]:
    """The channels of a fit, in its order: missing throughout where a record lacks them.

    Args:
        columns: channels of the record.
        fitted: names of those of the fit.
        chosen: whether the model names its channels, so that others are expected beside them.

    Raises:
        ValueError: a record with none of them.
    """
    lost, strange = (
        [n for n in a if n not in b] for a, b in ((fitted, columns), (columns, fitted))
    )
    if len(lost) == len(fitted):
        raise ValueError(
            f"The model was fitted on {', '.join(fitted)}, and the dataset has no {', '.join(lost)}: give a file "
            "with the same variables."
        )
    told = []
    if lost:
        told.append(
            f"The model was fitted on {', '.join(fitted)}, and the dataset has no {', '.join(lost)}: taken as "
            "missing throughout, so that all goes by the others."
        )
    if strange and not chosen:
        told.append(
            f"The model never saw {', '.join(strange)}, which the dataset has: left out; fit again to use it."
        )
    for sentence in told:
        warnings.warn(sentence, UserWarning, stacklevel=5)
    silent = xr.full_like(next(iter(columns.values())), np.nan, dtype=float).drop_attrs()
    return {n: columns.get(n, silent) for n in fitted}


def require_labels(labels: NDArray, dim: str) -> None:
    """Refuse runs or stations of which two have one label: nothing would tell them apart.

    Raises:
        ValueError: it names the label.
    """
    names, counts = np.unique(np.asarray(labels).astype(str), return_counts=True)
    if (counts > 1).any():
        raise ValueError(
            f"The label '{names[counts > 1][0]}' stands {counts.max()} times along '{dim}': two {dim}s of one name "
            f"are no two {dim}s; give each its own, ds.assign_coords({dim}=[...]), or join those that go on from "
            "each other along time."
        )


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
