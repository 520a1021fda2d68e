"""Several files as one dataset: days of one station end to end, stations side by side.

Files are of one station if they say so (the same identifier, the same position) or say nothing; different
identifiers are different stations. What a file calls itself is told in `assim.data.identifying`.
Those of one station follow each other in time; where they overlap and agree they are one record, where they
overlap and disagree they are instruments of their own and are named by their files. Files of one station that
share no variable are merged on the union of their stamps. Units follow the first file.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from assim.data.geometry import refuse_too_many
from assim.data.identifying import identity_of, is_same, scalar_in
from assim.data.mending import put_in_order
from assim.data.recording import Record
from assim.data.units import agree, convert, convert_difference

KINDS = ("station", "trajectory", "profile", "run")
COUNTS = ("n_bad", "n_suspect")
NEAR = 0.01
"""Positions within this many degrees are one."""
type Single = tuple[tuple[str, str], str, xr.Dataset]
"""One station of one file: its identity, the file, its readings."""


def join(records: Sequence[Record]) -> tuple[xr.Dataset, list[str]]:
    """The records as one dataset.

    Args:
        records: what was read from each file, in the order given.

    Returns:
        The dataset along time, with an instance dimension where there are several stations; what was mended.

    Raises:
        ValueError: files without a common variable, units that cannot be reconciled, a union too large.
    """
    if len(records) == 1:
        return records[0].ds, list(records[0].repairs)
    said = _told_once(records)
    singles: list[Single] = []
    for record, ds in zip(records, _in_units(records, said), strict=True):
        singles += [(identity, record.source, one) for identity, one in _apart(ds)]
    kinds = [d for r in records for d in KINDS if d in r.ds.dims]
    kinds += [d for r in records for d in KINDS if d in r.ds.coords]
    kind = next(iter(kinds), "station")
    groups: list[list[Single]] = []
    for single in singles:
        home = next((g for g in groups if all(_one_station(one, single) for one in g)), None)
        if home is None:
            groups.append([single])
        else:
            home.append(single)
    joined: list[tuple[str, xr.Dataset]] = []
    for group in groups:
        joined += _end_to_end(group, _label(group, groups), said)
    if len(joined) == 1 and not any(d in records[0].ds.dims for d in KINDS):
        return joined[0][1], said
    return _side_by_side(joined, kind, said), said


def _told_once(records: Sequence[Record]) -> list[str]:
    """Each mend with the file that it was made in, or once where it was made in all."""
    lists = [set(r.repairs) for r in records]
    everywhere = set.intersection(*lists)
    said = [s for s in records[0].repairs if s in everywhere]
    for record in records:
        said += [f"{Path(record.source).name}: {s}" for s in record.repairs if s not in everywhere]
    return said


def _in_units(records: Sequence[Record], said: list[str]) -> list[xr.Dataset]:
    """Every variable in the units of the first file that has it."""
    units: dict[str, str] = {}
    out = []
    for record in records:
        ds = record.ds.copy()
        for name, da in record.ds.data_vars.items():
            name, has = str(name), str(da.attrs.get("units", ""))
            wanted = units.setdefault(name, has)
            if not has or not wanted or agree(has, wanted):
                continue
            is_error = name.endswith("_sd") and name.removesuffix("_sd") in record.ds
            turn = convert_difference if is_error else convert
            try:
                ds[name] = turn(da, has, wanted).assign_attrs(da.attrs | _bounds(da, has, wanted))
            except ValueError as error:
                raise ValueError(f"'{name}' of {record.source}: {error}") from error
            said.append(
                f"{Path(record.source).name}: '{name}' was converted from {has} to {wanted}."
            )
        out.append(ds)
    return out


def _bounds(da: xr.DataArray, has: str, wanted: str) -> dict:
    kept = {
        k: float(convert(float(da.attrs[k]), has, wanted))
        for k in ("valid_min", "valid_max")
        if k in da.attrs
    }
    return {"units": wanted, **kept}


def _apart(ds: xr.Dataset) -> list[tuple[tuple[str, str], xr.Dataset]]:
    """Each instance of a dataset with its identity."""
    kind = next((d for d in KINDS if d in ds.dims), None)
    if kind is None:
        return [(identity_of(ds), ds)]
    of = scalar_in(ds)
    ones = (ds.isel({kind: i}).drop_vars(kind) for i in range(ds.sizes[kind]))
    return [((str(label), of), one) for label, one in zip(ds[kind].values, ones, strict=True)]


def _position(ds: xr.Dataset) -> tuple[float, float] | None:
    found = {}
    for name, da in ds.coords.items():
        said = str(da.attrs.get("standard_name", name)).lower()
        for axis in ("lat", "lon"):
            if da.ndim == 0 and said.startswith(axis) and da.chunks is None:
                found[axis] = float(da)
    return (found["lat"], found["lon"]) if len(found) == 2 else None


def _one_station(one: Single, other: Single) -> bool:
    if not is_same(one[0], other[0]):
        return False
    here, there = _position(one[2]), _position(other[2])
    if here is None or there is None:
        return True
    return bool(np.allclose(here, there, atol=NEAR, rtol=0, equal_nan=True))


def _label(group: list[Single], groups: list[list[Single]]) -> str:
    """The name of a station, with its number where others have the name too; its file where it has none."""
    name = group[0][0][0]
    number = next((identity[1] for identity, _, _ in group if identity[1]), "")
    alone = sum(g[0][0][0] == name for g in groups) == 1
    return (name if alone or not number else f"{name} {number}") or Path(group[0][1]).stem


def _end_to_end(group: list[Single], label: str, said: list[str]) -> list[tuple[str, xr.Dataset]]:
    """The files of one station as one record, or each as its own where they disagree."""
    if len(group) == 1:
        return [(label, group[0][2])]
    order = sorted(group, key=lambda g: g[2]["time"].values[0])
    names = [set(map(str, g[2].data_vars)) for g in order]
    if all(not a & b for i, a in enumerate(names) for b in names[:i]):
        merged = xr.merge(
            [g[2] for g in order], join="outer", compat="override", combine_attrs="override"
        )
        said.append("Files of different variables were merged on the union of their stamps.")
        return [(label, merged)]
    if all(_continues(a[2], b[2]) for i, b in enumerate(order) for a in order[:i]):
        return [(label, _concatenated([g[2] for g in order], said))]
    whose = "of one station" if any(group[0][0]) else "that name no station"
    said.append(
        f"Files {whose} overlap in time and disagree; each is an instrument of its own, named by its file."
    )
    return [(Path(source).stem, ds) for _, source, ds in group]


def _continues(first: xr.Dataset, second: xr.Dataset) -> bool:
    """Whether two files are one record: apart in time, or the same where they meet."""
    a, b = first["time"].values, second["time"].values
    if a[-1] < b[0] or b[-1] < a[0]:
        return True
    shared = np.intersect1d(a, b)[:1000]
    if shared.size == 0:
        return False
    for name in set(first.data_vars) & set(second.data_vars):
        x, y = (ds[name].sel(time=shared).values for ds in (first, second))
        if x.shape != y.shape:
            return False
        both = np.isfinite(x) & np.isfinite(y)
        if not np.allclose(x[both], y[both]):
            return False
    return True


def _concatenated(parts: list[xr.Dataset], said: list[str]) -> xr.Dataset:
    names = list(dict.fromkeys(n for ds in parts for n in ds.data_vars))
    along = {n for ds in parts for n in ds.coords if n != "time" and "time" in ds[n].dims}
    lost = [n for n in along if not all(n in ds.coords and "time" in ds[n].dims for ds in parts)]
    parts = [ds.drop_vars(lost, errors="ignore") for ds in parts]
    counts = {
        n: {k: sum(int(ds[n].attrs.get(k, 0)) for ds in parts if n in ds) for k in COUNTS}
        for n in names
    }
    whole = xr.concat(
        parts,
        dim="time",
        data_vars="minimal",
        coords="minimal",
        compat="override",
        join="outer",
        combine_attrs="override",
    )
    times = whole["time"].values
    if (np.diff(times.astype(np.int64)) <= 0).any():
        whole, mended = put_in_order(whole, "time", times)
        said += [f"Across files: {s[0].lower()}{s[1:]}" for s in mended]
    for name in names:
        told = {k for ds in parts if name in ds for k in COUNTS if k in ds[name].attrs}
        whole[name].attrs |= {k: counts[name][k] for k in COUNTS if k in told}
    return whole


def _side_by_side(joined: list[tuple[str, xr.Dataset]], kind: str, said: list[str]) -> xr.Dataset:
    """Stations along an instance dimension, on the union of their stamps."""
    names = [set(map(str, ds.data_vars)) for _, ds in joined]
    if not set.intersection(*names):
        told = "; ".join(", ".join(sorted(n)[:4]) for n in names[:6])
        raise ValueError(
            f"The {len(joined)} {kind}s have no variable in common ({told}): open them one by one."
        )
    labels = [label for label, _ in joined]
    if len(set(labels)) < len(labels):
        labels = [f"{label} ({labels[:i].count(label) + 1})" for i, label in enumerate(labels)]
    clock = np.unique(np.concatenate([ds["time"].values for _, ds in joined]))
    refuse_too_many(clock.size * len(joined), f"the {len(joined)} {kind}s")
    everywhere = set.intersection(*(set(ds.coords) for _, ds in joined)) - {kind}
    kept = [
        n
        for n in everywhere
        if all(set(ds[n].dims) <= {"time"} for _, ds in joined) and n != "time"
    ]
    parts = [
        ds.drop_vars([n for n in ds.coords if n not in everywhere]).reindex(time=clock)
        for _, ds in joined
    ]
    counts = {
        n: {k: sum(int(ds[n].attrs.get(k, 0)) for ds in parts if n in ds) for k in COUNTS}
        for n in set.union(*names)
    }
    whole = xr.concat(
        parts,
        dim=xr.DataArray(labels, dims=kind, name=kind),
        data_vars="all",
        coords=kept,
        compat="override",
        join="outer",
        combine_attrs="override",
    )
    for name, da in whole.data_vars.items():
        da.attrs |= {k: n for k, n in counts[str(name)].items() if k in da.attrs}
    if len(joined) > 1:
        said.append(f"{len(joined)} {kind}s were put side by side on the union of their stamps.")
    return whole.transpose(kind, "time", ...)
