"""Put the truth beside an assimilation: the same variable at its times and places, in its units."""

from __future__ import annotations

import numpy as np
import xarray as xr

from assim.data.clockwork import JITTER
from assim.data.spreading import spread
from assim.scoring.assimilated import moments
from assim.scoring.pairing import in_units_of, match_places

WHAT = "assimilation"


def truth_of(
    tree: xr.DataTree, truth: xr.Dataset, variable: str, stage: str = "analysis"
) -> xr.DataArray:
    """Look up the truth of a variable at the times and places of an assimilation.

    Args:
        tree: an assimilation.
        truth: a dataset on `time`, in the units of the assimilation or others that they can be made of.
        variable: of the state.
        stage: whose times and places.

    Returns:
        On (time, ...) as the mean of the variable, in its units; NaN where the truth is missing.

    Raises:
        ValueError: if the truth has no such variable, other places, units of something else or no common
            time, or if it is the very readings that were assimilated.
    """
    mean = moments(tree, stage, variable)[0].rename(variable)
    if not isinstance(truth, xr.Dataset):
        raise TypeError(f"truth is a {type(truth).__name__}: give an xr.Dataset on 'time'.")
    truth = spread(truth) if "@" in variable else truth
    if variable not in truth.data_vars:
        raise ValueError(
            f"The truth has no variable '{variable}', which the assimilation has; it holds {list(truth.data_vars)}."
        )
    rows = _rows(mean, truth)
    known = match_places(mean, in_units_of(mean, truth[variable], WHAT), WHAT)
    known = known.isel(time=rows.clip(min=0)).where(rows >= 0).reset_coords(drop=True)
    known = known.transpose(*mean.dims).astype(float)
    known = known.assign_coords({dim: mean[dim] for dim in mean.dims if dim in mean.coords})
    _refuse_readings(tree, known, variable)
    return known.assign_attrs(mean.attrs).rename(variable)


def _rows(mean: xr.DataArray, truth: xr.Dataset) -> xr.DataArray:
    """Find the row of the truth at each time, -1 where there is none."""
    if "time" not in truth.indexes or truth["time"].dtype.kind != "M":
        raise ValueError(
            f"The truth has the dimensions {sorted(map(str, truth.dims))}, but it is looked up along a datetime64 "
            "'time'; open it with assim.open_dataset."
        )
    clock, times = (
        xr.DataArray(held["time"].values.astype("datetime64[ns]"), dims="time").to_index()
        for held in (truth, mean)
    )
    near = {}
    if len(times) > 1 and clock.is_monotonic_increasing:
        near = {"method": "nearest", "tolerance": np.diff(times.values).min() * JITTER}
    rows = clock.get_indexer(times, **near)
    if not (rows >= 0).any():
        held = f"{clock.min()} to {clock.max()}" if len(clock) else "no time at all"
        raise ValueError(
            f"The truth ({held}) holds none of the times of the assimilation ({times.min()} to {times.max()}): "
            "give the truth of the same record, on its clock (assim.align puts it there)."
        )
    return xr.DataArray(rows, dims=["time"])


def _refuse_readings(tree: xr.DataTree, truth: xr.DataArray, variable: str) -> None:
    """Refuse to judge an analysis by the readings that it was made of."""
    if "observed_data" not in tree.children or variable not in tree["observed_data"].data_vars:
        return
    read = tree["observed_data"].to_dataset()[variable].reset_coords(drop=True)
    if dict(read.sizes) != dict(truth.sizes):
        return
    seen, known = read.transpose(*truth.dims).values.astype(float), truth.values
    both = np.isfinite(seen) & np.isfinite(known)
    if both.sum() > 1 and np.allclose(seen[both], known[both], rtol=1e-6, atol=0):
        raise ValueError(
            f"The truth of '{variable}' is the very readings that were assimilated, which judge nothing: give the "
            "true state of a twin experiment or readings that were kept back, or leave the truth out."
        )
