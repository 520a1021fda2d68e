"""Which station, trajectory or run a file is of: its one identifier, kept as a scalar coordinate.

CF names it by a variable of one value with a `cf_role`; others write it in a global attribute. A number may count
within its own file only (IMOS writes 1 in each), so beside a name in the attributes two of the same number are not
yet one station; two that differ never are.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from assim.data.reading import text

ROLES = {"timeseries_id": "station", "trajectory_id": "trajectory"}
OURS = {"station": "timeseries_id", "trajectory": "trajectory_id", "run": "timeseries_id"}
"""What the coordinate is called, and its role by CF, which has no word for repeated runs of one rig."""
ATTRIBUTES = (
    *("station_id", "station_name", "station", "platform_code", "site_code", "wmo_platform_code"),
    *("buoy_id", "platform_id", "trajectory_id", "platform_name"),
)


def identifier_of(ds: xr.Dataset) -> str | None:
    """The variable that holds the one identifier of a file; None where there is none.

    Args:
        ds: the dataset as stored.
    """
    single = {
        str(n): v for n, v in ds.variables.items() if v.size == 1 and v.dtype.kind in "iufOSU"
    }
    for role in ROLES:
        for name, var in single.items():
            if var.attrs.get("cf_role") == role:
                return name
    return next((n for n, v in single.items() if n in OURS and v.dtype.kind in "OSU"), None)


def identified(record: xr.Dataset, ds: xr.Dataset) -> xr.Dataset:
    """The record with the one identifier of its file as a scalar coordinate.

    Args:
        record: readings along time.
        ds: the dataset as stored.
    """
    name = identifier_of(ds)
    if name is None:
        return record
    var = ds[name].variable
    kind = name if name in OURS else ROLES[var.attrs["cf_role"]]
    value = np.ravel(var.values)[0]
    if var.dtype.kind == "f":  # a whole number that was decoded with a fill value
        value = int(value) if np.isfinite(value) else ""
    label = str(text(np.array(value)))
    if not label or kind in {*record.variables, *record.dims}:
        return record
    attrs = {k: v for k, v in var.attrs.items() if k == "long_name"}
    return record.assign_coords({kind: ((), label, {"cf_role": OURS[kind], **attrs})})


def identity_of(record: xr.Dataset) -> tuple[str, str]:
    """What a record of one station calls itself: a name and, where that is no more than a number, the number too.

    Args:
        record: what was read of one file; either is "" where the file does not say.
    """
    role = scalar_in(record)
    named = _in_attributes(record.attrs)
    return (named, role) if named and role.isdecimal() else (role or named, "")


def scalar_in(record: xr.Dataset) -> str:
    """The identifier that a record has as a scalar coordinate; "" where it has none."""
    found = (str(record[n].values) for n in OURS if n in record.coords and record[n].ndim == 0)
    return next(found, "")


def is_same(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Whether two identities, as `identity_of` gives them, may be of one station."""
    return one[0] == other[0] and (one[1] == other[1] or not (one[1] and other[1]))


def _in_attributes(attrs: Mapping[Any, Any]) -> str:
    said = {str(k): str(v).strip() for k, v in attrs.items()}
    if "site_id" in said and "facility_id" in said:
        return f"{said['site_id']} {said['facility_id'].partition(':')[0].strip()}"
    return next((said[k] for k in ATTRIBUTES if said.get(k)), "")
