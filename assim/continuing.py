"""A record with what came before it: the end of the training record, where the file goes on from there."""

import numpy as np
import xarray as xr

from assim.data.clockwork import seconds_apart
from assim.data.spreading import INSTANCES
from assim.data.units import agree, convert, convert_difference
from assim.tree import Fitted


def _in_units_of(ds: xr.Dataset, tail: xr.Dataset, shared: list[str]) -> xr.Dataset:
    """The end of the training record in the units of a record that goes on from it.

    Raises:
        ValueError: units that measure different things.
    """
    for name in shared:
        own, wanted = (str(part[name].attrs.get("units", "")) for part in (tail, ds))
        if own and wanted and not agree(own, wanted):
            error = name.endswith("_sd") and name.removesuffix("_sd") in shared
            change = convert_difference if error else convert
            tail = tail.assign({name: change(tail[name], own, wanted)})
    return tail


def continued(fitted: Fitted, ds: xr.Dataset | None) -> xr.Dataset:
    """The record with the end of the training record in front, where that comes before it."""
    tail = fitted.tail
    if ds is None:
        if tail is None:
            raise ValueError("The tree keeps no end of a record to go on from: give ds=.")
        return tail
    if ds.sizes.get("time") == 0:
        raise ValueError("The record holds no time at all: check the file, or the split.")
    if tail is None or tail.sizes["time"] == 0 or "time" not in ds.dims:
        return ds
    ends = np.array([tail["time"].values[-1], ds["time"].values[0]], "datetime64[ns]")
    gap = float(seconds_apart(ends)[0])
    step = fitted.frame["step"]
    needs = fitted.model.needs()
    on_clock = needs.own_times or abs(gap / step - round(gap / step)) < 0.05
    if not 0 < gap <= 1000 * step or not on_clock:
        return ds
    names = [str(n) for n in tail.data_vars]
    readings = {n for n in names if n.removesuffix("_sd") not in names or not n.endswith("_sd")}
    controls = set(needs.controls)
    absent = readings - set(map(str, ds.data_vars))
    if absent and (not controls or absent != readings - controls):
        return ds
    instance = next((d for d in INSTANCES if d in tail.dims), None)
    if instance is not None and instance not in ds.dims:
        if instance not in ds.coords:
            return ds
        ds = ds.expand_dims(instance)
    if instance is not None:
        here = [s for s in tail[instance].values if s in ds[instance].values]
        tail = tail.sel({instance: here})
        if list(ds[instance].values) != here:
            return ds
    shared = [n for n in names if n in ds]
    lasting = {n: ds[n] for n in shared if "time" not in ds[n].dims}
    shared = [n for n in shared if n not in lasting]
    tail = _in_units_of(ds, tail, shared)
    plain = ds[shared].drop_vars([c for c in ds.coords if c not in ds[shared].dims])
    joined = xr.concat([tail, plain], "time", join="outer", combine_attrs="override")
    for name in shared:
        joined[name].attrs = ds[name].attrs
    return joined.assign(lasting)
