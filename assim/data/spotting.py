"""From a file in any discrete sampling geometry (CF 9) to sightings of particles.

Files are read as stored, not by way of `open_dataset`: that merges rows of one stamp, and in a point file these
are the particles of one snapshot. A row knows whose it is where the file tells: by its instance (station,
trajectory or run), by a variable along its rows that identifies a platform, or by a single identity for the whole
file. A profile is not a platform: a float makes many.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from assim.data.choosing import asked_for, errors_of, not_there, numbers_only, readings_of
from assim.data.clock import stamps_of
from assim.data.decoding import decode
from assim.data.finding import find_clock
from assim.data.geometry import Rows, index_names, instance_of, labels_of, linked_dims, rows_of
from assim.data.identifying import identifier_of
from assim.data.mending import say_dropped
from assim.data.projecting import ORIGIN, axis_of
from assim.data.quality import flags_of, screen
from assim.data.reading import load, text, tidy
from assim.data.sighting import Sightings

ROLES = ("trajectory_id", "timeseries_id")
IDENTITIES = {
    *("id", "platform", "platform_id", "platform_number", "platform_code", "wmo", "wmo_id"),
    *("drifter", "drifter_id", "d_number", "buoy", "buoy_id", "float", "float_id", "trajectory"),
    *("trajectory_id", "traj", "traj_id", "particle", "particle_id", "station", "station_id"),
}
POSITION_FLAGS = ("position_qc", "position_quality_control", "qc_position")
ATTRIBUTES = (
    *("standard_name", "long_name", "units", "comment", "valid_min", "valid_max"),
    *("grid_mapping_name", "earth_radius", *ORIGIN),
)
SAMPLE = "sample"
"""The dimension of particles in a file of snapshots: places along it are no identities."""


def sightings_of(
    raw: xr.Dataset,
    source: str,
    variables: Iterable[str] | None = None,
    *,
    id: str | None = None,
    weight: str | None = None,
    time: str | None = None,
    qc: Any = "bad",
) -> Sightings:
    """The sightings of a file.

    Args:
        raw: the dataset as stored, or an open dataset, decoded or not.
        source: what to call it in a sentence.
        variables: coordinates; None for the horizontal positions along the clock, or else all readings along it.
        id: what tells the particles apart: a variable, or a dimension; None to find it.
        weight: a variable that says how much each row counts; None for 1.
        time: the clock; None to find it.
        qc: the policy on flags, as in `open_dataset`.

    Raises:
        ValueError: no clock or no coordinate, a variable that is not there or lies elsewhere, no row left.
    """
    ds = tidy(raw.reset_coords())
    for name in filter(None, (weight, time)):
        if name not in ds.variables:
            raise not_there(ds, name)
    numbers_only(ds, filter(None, [weight]))
    clock = _clock_of(ds, None if variables is None else asked_for(ds, variables), time)
    ds = _stamped(ds, clock, variables)
    names, rows, lead = _laid(ds, clock, variables, weight, id)
    errors = errors_of(ds, [n for n in names if n not in (weight, id)])
    names = [n for n in names if n not in errors.values()]
    ds = load(_without_others(ds, clock, rows, [*names, *errors.values(), weight, id]), source)
    numbers, said = decode(ds, [*names, *errors.values(), *filter(None, [weight])])
    screened = screen(xr.Dataset(numbers), _with_position_flags(ds, names), qc)
    told = [line for line in str(screened.attrs.get("repairs", "")).split("\n") if line]
    stamps = stamps_of(ds[clock].variable)
    times = stamps.times if rows.profile is None else stamps.times[rows.profile]
    over = tuple(ds[clock].dims) if rows.profile is None else rows.dims
    sizes = {d: ds.sizes[d] for d in lead}
    who, labels = _identified(ds, rows, lead, id)

    def column(name: str | None, otherwise: float) -> NDArray:
        if name is None:
            return np.full(int(np.prod([*sizes.values()])), otherwise)
        return _flat(screened[name].variable, sizes).astype(float)

    found = Sightings(
        times=_flat(xr.Variable(over, times), sizes),
        x=np.stack([column(n, np.nan) for n in names], axis=-1),
        sd=np.stack([column(errors.get(n), np.nan) for n in names], axis=-1),
        weight=column(weight, 1.0),
        who=who,
        labels=labels,
        names=tuple(names),
        attrs={n: {k: v for k, v in ds[n].attrs.items() if k in ATTRIBUTES} for n in names},
        about={k: v for k, v in ds.attrs.items() if isinstance(v, str) and k != "featureType"},
        said=(*said, *told, *stamps.said, *say_dropped(stamps.missing, stamps.outside)),
    )
    return _seen(found, source)


def _clock_of(ds: xr.Dataset, wanted: list[str] | None, time: str | None) -> str:
    chosen = wanted or [str(n) for n, v in ds.variables.items() if v.dtype.kind in "fiu"]
    dims = {str(d) for n in chosen for d in ds[n].dims} or set(map(str, ds.dims))
    links = linked_dims(ds)
    along = dims | {dim for dim, sample in links.items() if sample in dims}
    clock = find_clock(ds, along, (time,) if time else tuple(wanted or ()))
    if time is not None and clock != time:
        raise ValueError(
            f"time={time!r} is no clock along the coordinates: name a variable of dates, or of numbers with units "
            "such as 'seconds since 1970-01-01'."
        )
    return clock


def _stamped(ds: xr.Dataset, clock: str, variables: Iterable[str] | None) -> xr.Dataset:
    """The dataset with a single stamp spread over its particles."""
    if ds[clock].ndim:
        return ds
    chosen = asked_for(ds, variables) if variables is not None else list(map(str, ds.variables))
    sizes = {d: ds.sizes[d] for n in chosen for d in ds[n].dims[:1]} or {"row": 1}
    longest = max(sizes, key=lambda d: sizes[d])
    return ds.assign({clock: ds[clock].expand_dims({longest: sizes[longest]})})


def _laid(
    ds: xr.Dataset,
    clock: str,
    variables: Iterable[str] | None,
    weight: str | None,
    id: str | None,
) -> tuple[list[str], Rows, tuple[str, ...]]:
    """The coordinates, the rows of the file, and all dimensions that make up the sightings."""
    along = set(map(str, ds[clock].dims))
    if variables is not None:
        names = [n for n in asked_for(ds, variables) if n != clock]
        numbers_only(ds, names)
    else:
        names = _horizontal(ds, along) or [
            n
            for n in readings_of(ds, along, {clock, *index_names(ds), *filter(None, (weight, id))})
            if along <= set(map(str, ds[n].dims)) and n.lower() not in IDENTITIES
        ]
    if not names:
        raise ValueError(
            f"There is no coordinate along the clock '{clock}' (the file has {', '.join(map(str, ds.variables))}): "
            "name those that place a particle with variables=[...]."
        )
    dims = {str(d) for n in names for d in ds[n].dims}
    rows = rows_of(ds, clock, along | dims)
    extra = [d for d in dims if d not in rows.dims and d != rows.dim and ds.sizes[d] > 1]
    instance = id if id in extra else instance_of(ds, tuple(extra), "")[0]
    instance = instance or (SAMPLE if SAMPLE in extra else "")
    strange = [d for d in extra if d != instance]
    astray = [n for n in names if not set(rows.dims) <= set(map(str, ds[n].dims))]
    if strange or astray:
        name = astray[0] if astray else next(n for n in names if strange[0] in ds[n].dims)
        raise ValueError(
            f"'{name}' lies along {', '.join(map(str, ds[name].dims)) or 'nothing'}, and a coordinate of a "
            f"particle along {', '.join(rows.dims)}: select one place of it with isel, name a dimension of "
            "particles with id=, or choose others with variables=[...]."
        )
    return names, rows, (*rows.dims, *((instance,) if instance else ()))


def _horizontal(ds: xr.Dataset, along: set[str]) -> list[str]:
    """The pair of horizontal positions along the clock, x first; none where there is no pair."""
    found: dict[str, list[tuple[bool, str]]] = {"X": [], "Y": []}
    for name, var in ds.variables.items():
        axis = axis_of(str(name), var.attrs)
        inside = along <= set(map(str, var.dims)) and var.dims != (name,)
        if axis is not None and inside and var.dtype.kind in "fiu":
            found[axis].append(("standard_name" not in var.attrs, str(name)))
    return [min(ranked)[1] for ranked in found.values()] if all(found.values()) else []


def _without_others(
    ds: xr.Dataset, clock: str, rows: Rows, wanted: Iterable[str | None]
) -> xr.Dataset:
    """What is needed of the file, without dimensions of length one that are none of its rows."""
    small = [
        str(n)
        for n, v in ds.variables.items()
        if v.dtype.kind in "iuOSU"
        or v.ndim == 0
        or str(n).lower() in IDENTITIES
        or "cf_role" in v.attrs
    ]
    flags = [f for n in wanted if n for f in flags_of(ds, n)]
    kept = [n for n in dict.fromkeys([clock, *filter(None, wanted), *small, *flags]) if n in ds]
    ds = ds[kept].reset_coords()
    single = [
        d for d in ds.dims if ds.sizes[d] == 1 and d not in (*rows.dims, rows.dim, *ds[clock].dims)
    ]
    return ds.isel({d: 0 for d in single}).reset_coords()


def _with_position_flags(ds: xr.Dataset, names: list[str]) -> xr.Dataset:
    """The dataset in which flags of the position speak of both coordinates of it."""
    flag = next((str(n) for n in ds.variables if str(n).lower() in POSITION_FLAGS), None)
    out = ds.copy()
    for name in names if flag else ():
        if axis_of(name, ds[name].attrs) and not flags_of(ds, name):
            out[name].attrs = {**ds[name].attrs, "ancillary_variables": flag}
    return out


def _identified(
    ds: xr.Dataset, rows: Rows, lead: tuple[str, ...], id: str | None
) -> tuple[NDArray[np.intp] | None, tuple[str, ...]]:
    """Whose each row is, and the identities."""
    sizes = {d: ds.sizes[d] for d in lead}
    if id is not None and id not in ds.variables and id not in ds.dims:
        raise not_there(ds, id)
    of_rows = None if rows.instance is None else (rows.instance, labels_of(ds, rows.dim))
    name = id if id in ds.variables else None
    nameless = len(lead) == len(rows.dims) or lead[-1] == SAMPLE != id
    if id is None and rows.kind in ("", "profile") and nameless:
        name = next((n for n in map(str, ds.variables) if _identifies(ds, n, lead)), None)
    if name is not None and ds[name].ndim:
        values = ds[name].values
        if values.dtype.kind == "f":  # whole numbers among which some are missing
            values = np.array([f"{v:.0f}" if np.isfinite(v) else "" for v in values.ravel()])
            values = values.reshape(ds[name].shape)
        over = xr.Variable(ds[name].dims, text(values))
        if of_rows is not None and over.dims == (rows.dim,):
            over = xr.Variable((rows.dims[0],), over.values[of_rows[0]])
        words = _flat(over, sizes)
        labels, who = np.unique(words, return_inverse=True)
        blank = int("" in labels)  # which comes first, and is nobody
        return who.ravel() - blank, tuple(labels.tolist())[blank:]
    if not nameless:
        labels = labels_of(ds, lead[-1])
        who = _flat(xr.Variable((lead[-1],), np.arange(labels.size)), sizes)
        return who.astype(np.intp), tuple(labels.tolist())
    if of_rows is not None and rows.kind != "profile":
        who = _flat(
            xr.Variable(rows.dims, of_rows[0].reshape([ds.sizes[d] for d in rows.dims])), sizes
        )
        return who, tuple(of_rows[1].tolist())
    if lead[-1] == SAMPLE:
        return None, ()
    single = name or identifier_of(ds)
    feature = str(ds.attrs.get("featureType", "")).lower()
    if single is not None or feature.startswith(("trajectory", "timeseries")):
        label = "" if single is None else str(text(ds[single].values).ravel()[0])
        return np.zeros(int(np.prod([*sizes.values()])), np.intp), (label or "0",)
    return None, ()


def _identifies(ds: xr.Dataset, name: str, lead: tuple[str, ...]) -> bool:
    var = ds[name].variable
    if not var.ndim or not set(map(str, var.dims)) <= set(lead) or var.dtype.kind not in "iufOSU":
        return False
    role = var.attrs.get("cf_role")
    return role in ROLES or (role is None and name.lower() in IDENTITIES)


def _seen(found: Sightings, source: str) -> Sightings:
    """The rows that have a time and a coordinate, in order of time."""
    timed, placed = ~np.isnat(found.times), np.isfinite(found.x).any(axis=1)
    keep = timed & placed
    if not keep.any():
        raise ValueError(
            f"No row of {source} has both a time and a value of {', '.join(found.names)} (of {keep.size} rows "
            f"{int(timed.sum())} have a time and {int(placed.sum())} a value): choose others with "
            "variables=[...], or read with qc='none' to see what the flags removed."
        )
    bad = ~(np.isfinite(found.weight) & (found.weight >= 0)) & keep
    if bad.any():
        raise ValueError(
            f"{int(bad.sum())} weights of {source} are negative or missing: each has to be finite and 0 or more."
        )
    order = np.flatnonzero(keep)
    order = order[np.argsort(found.times[order], kind="stable")]
    return found.rows(order)


def _flat(var: xr.Variable, sizes: dict[str, int]) -> NDArray:
    """A variable over all dimensions of the sightings, in one row after the other."""
    return var.set_dims(sizes).transpose(*sizes).values.ravel()
