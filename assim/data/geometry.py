"""Discrete sampling geometries (CF 9): from ragged rows to rectangular arrays.

Every layout is first a table of rows: each row has a stamp, an instance (which station, trajectory or profile)
and sometimes a level. A contiguous ragged array gives the instance of a row by counts, an indexed ragged array by
an index, an array (instance, observation) with a clock of its own for each instance by its place. The table is
then spread over (instance, time, level) on the union of the stamps, NaN where there is no reading. Of several
readings at one place the last that is not missing stays.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from assim.data.reading import text

MOST_CELLS = 50_000_000
KINDS = {"timeseries_id": "station", "trajectory_id": "trajectory", "profile_id": "profile"}
FEATURES = {
    "timeseries": "station",
    "trajectory": "trajectory",
    "profile": "profile",
    "timeseriesprofile": "station",
    "trajectoryprofile": "trajectory",
}
INSTANCES = {
    **dict.fromkeys(
        ("station", "stations", "site", "sites", "platform", "location", "locations"), "station"
    ),
    **dict.fromkeys(("trajectory", "trajectories", "traj", "drifter"), "trajectory"),
    **dict.fromkeys(("profile", "profiles"), "profile"),
    **dict.fromkeys(("run", "runs"), "run"),
}
LABELS = ("id", "name", "station", "platform", "site", "code")


@dataclass(frozen=True)
class Rows:
    """Which instance and level each row of a table belongs to.

    Args:
        dims: dimensions that make up the rows, in order.
        kind: what the instances are: station, trajectory or profile; "" where there are none.
        dim: the instance dimension in the file; "" where the rows have no instance.
        instance: index of the instance of each row, or None.
        profile: index of the profile of each row where the clock has one stamp for each profile, or None.
        said: what had to be decided.
    """

    dims: tuple[str, ...]
    kind: str = ""
    dim: str = ""
    instance: NDArray[np.intp] | None = None
    profile: NDArray[np.intp] | None = None
    said: tuple[str, ...] = ()


def linked_dims(ds: xr.Dataset) -> dict[str, str]:
    """The sample dimension that each instance dimension of a ragged array is spread over."""
    return {dim: sample for _, dim, sample, _ in _ragged(ds)}


def index_names(ds: xr.Dataset) -> set[str]:
    """The variables that count or index the rows of ragged arrays."""
    return {name for name, *_ in _ragged(ds)}


def rows_of(ds: xr.Dataset, clock: str, dims: set[str]) -> Rows:
    """The rows of a dataset.

    Args:
        ds: the dataset as stored.
        clock: name of its clock.
        dims: dimensions of the readings.

    Raises:
        ValueError: counts or an index that do not fit the rows.
    """
    at = tuple(map(str, ds[clock].dims))
    if len(at) == 2:
        dim = _instance_dim(ds, at)
        sample = at[1] if dim == at[0] else at[0]
        instance = np.repeat(np.arange(ds.sizes[dim]), ds.sizes[sample])
        return Rows((dim, sample), _kind(ds, dim), dim, instance)
    for name, dim, sample, counted in sorted(_ragged(ds), key=lambda found: not found[3]):
        if sample not in dims or (at[:1] not in ((dim,), (sample,))):
            continue
        instance = _counted(ds, name, sample) if counted else _indexed(ds, name, dim)
        said = (f"The {'contiguous' if counted else 'indexed'} ragged array was made rectangular.",)
        if at == (sample,):
            return Rows((sample,), _kind(ds, dim), dim, instance, None, said)
        above = [r for r in _ragged(ds) if r[2] == dim and not r[3]]
        if not above:
            return Rows((sample,), "", "", None, instance, said)
        station, outer = _indexed(ds, above[0][0], above[0][1]), above[0][1]
        return Rows((sample,), _kind(ds, outer), outer, station[instance], instance, said)
    return Rows(at)


def instance_of(ds: xr.Dataset, dims: tuple[str, ...], clock_dim: str) -> tuple[str, str]:
    """The instance dimension of an orthogonal array and what it is; two empty strings where there is none."""
    for dim in dims:
        if dim == clock_dim:
            continue
        roles = [
            v.attrs["cf_role"]
            for v in ds.variables.values()
            if "cf_role" in v.attrs and dim in v.dims
        ]
        if roles and roles[0] in KINDS and INSTANCES.get(dim.lower()) != "run":
            return dim, KINDS[roles[0]]
        if dim.lower() in INSTANCES:
            return dim, INSTANCES[dim.lower()]
    return "", ""


def labels_of(ds: xr.Dataset, dim: str) -> NDArray:
    """A label for each instance: the variable with a cf_role, else one named like it, else 0, 1, 2, ..."""
    for _, labels in _named(ds, dim):
        if len(set(labels.tolist())) == len(labels) and all(labels.tolist()):
            return labels
    return np.array([str(i) for i in range(ds.sizes[dim])], dtype=str)


def say_repeated(ds: xr.Dataset, dim: str) -> list[str]:
    """What is said of instances that are numbered, since one label stands at several of them."""
    numbers = [str(i) for i in range(ds.sizes[dim])]
    for meant, labels in _named(ds, dim):
        names, counts = np.unique(labels, return_counts=True)
        twice = names[(counts > 1) & (names != "")]
        if meant and twice.size and labels_of(ds, dim).tolist() == numbers:
            return [
                f"The label '{twice[0]}' stands more than once along '{dim}', so that its {len(numbers)} entries "
                "are told apart by their numbers."
            ]
    return []


def _named(ds: xr.Dataset, dim: str) -> list[tuple[bool, NDArray]]:
    """What may name the instances, the likeliest first, and whether it is there for that."""
    ranked = []
    for name, var in ds.variables.items():
        if var.dims != (dim,) or var.dtype.kind not in "iuOSU":
            continue
        low = str(name).lower()
        word = next((len(LABELS) - i for i, w in enumerate(LABELS) if w in low.split("_")), 0)
        if "cf_role" in var.attrs or name == dim or (word and var.dtype.kind in "OSU"):
            ranked.append((("cf_role" in var.attrs, name == dim, word), str(name)))
    ordered = sorted(ranked, reverse=True)
    return [(rank[0] or rank[1], text(ds[name].values)) for rank, name in ordered]


def levels_within(
    ds: xr.Dataset, rows: Rows, times: NDArray[np.datetime64]
) -> tuple[NDArray[np.intp] | None, NDArray | None, str]:
    """The level of each row where rows of one instance share most of their stamps (several depths at once).

    Returns:
        Index of the level of each row, label of each level, and what was taken; Nones where rows have none.
    """
    instance = rows.instance
    if rows.profile is not None and times.size:
        return (
            *_position(rows.profile),
            "The readings of one profile lie along 'level', in the file's order.",
        )
    if instance is None or times.size == 0:
        return None, None, ""
    _, first = np.unique(np.stack([instance, times.astype(np.int64)]), axis=1, return_index=True)
    if first.size > 0.5 * times.size:
        return None, None, ""
    for name, var in ds.variables.items():
        low = str(name).lower()
        if var.dims == rows.dims and (
            "cell_index" in low or low in ("level", "bin", "height_above_sensor")
        ):
            labels, level = np.unique(var.values, return_inverse=True)
            if labels.size <= 1000:
                return level, labels, f"Rows of one stamp lie along 'level', which is '{name}'."
    key = np.unique(np.stack([instance, times.astype(np.int64)]), axis=1, return_inverse=True)[
        1
    ].ravel()
    return (*_position(key), "Rows of one stamp lie along 'level', in the file's order.")


def spread(
    values: NDArray, places: tuple[NDArray[np.intp], ...], shape: tuple[int, ...]
) -> NDArray[np.floating]:
    """A table of readings on a rectangular grid.

    Args:
        values: readings, shape (row, ...); NaN where missing.
        places: for each axis of the grid the index of each row, each of shape (row,).
        shape: the size of each axis of the grid.

    Returns:
        Shape (*shape, ...): the last reading at each place that is not missing, NaN where there is none.
    """
    flat = np.ravel_multi_index(places, shape)
    order = np.argsort(flat, kind="stable")
    merged, starts = merge(values[order], flat[order])
    out = np.full((int(np.prod(shape)), *values.shape[1:]), np.nan, dtype=values.dtype)
    out[flat[order][starts]] = merged
    return out.reshape(*shape, *values.shape[1:])


def merge(values: NDArray, keys: NDArray) -> tuple[NDArray, NDArray[np.intp]]:
    """The last reading of each run of equal keys that is not missing.

    Args:
        values: readings, shape (row, ...).
        keys: sorted keys, shape (row,).

    Returns:
        One row for each key, and where each run starts.
    """
    starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]]) if keys.size else np.zeros(0, int)
    if starts.size == keys.size:
        return values, starts
    rows = np.arange(keys.size).reshape(-1, *[1] * (values.ndim - 1))
    last = np.maximum.reduceat(np.where(np.isfinite(values), rows, -1), starts, axis=0)
    merged = np.take_along_axis(values, np.maximum(last, 0), axis=0)
    return np.where(last >= 0, merged, np.nan).astype(values.dtype), starts


def refuse_too_many(cells: int, what: str) -> None:
    """Refuses a grid that would not fit.

    Raises:
        ValueError: more cells than `MOST_CELLS`.
    """
    if cells > MOST_CELLS:
        raise ValueError(
            f"The union of the stamps of {what} would need {cells:.3g} cells for each variable: select fewer "
            "instances or a shorter period, or put each on a coarse clock with assim.align first."
        )


def _ragged(ds: xr.Dataset) -> list[tuple[str, str, str, bool]]:
    """Count and index variables: name, instance dimension, sample dimension, whether it counts."""
    found = []
    for name, var in ds.variables.items():
        if var.ndim != 1 or var.dtype.kind not in "iu":
            continue
        dim = str(var.dims[0])
        if var.attrs.get("sample_dimension") in ds.dims:
            found.append((str(name), dim, var.attrs["sample_dimension"], True))
        elif var.attrs.get("instance_dimension") in ds.dims:
            found.append((str(name), var.attrs["instance_dimension"], dim, False))
        elif (
            str(name)
            .lower()
            .endswith(("station_index", "instrument_index", "trajectory_index", "profile_index"))
        ):
            stem = str(name).lower().removesuffix("_index")
            other = [str(d) for d in ds.dims if str(d).lower().startswith(stem) and d != dim]
            if other and var.size and 0 <= int(var.min()) and int(var.max()) < ds.sizes[other[0]]:
                found.append((str(name), other[0], dim, False))
    return found


def _counted(ds: xr.Dataset, name: str, sample: str) -> NDArray[np.intp]:
    counts = np.asarray(ds[name].values).astype(np.int64)
    if (counts < 0).any() or counts.sum() != ds.sizes[sample]:
        raise ValueError(
            f"The counts in '{name}' add up to {counts.sum()} and the file has {ds.sizes[sample]} rows along "
            f"'{sample}': the file is damaged or was cut; fetch it again."
        )
    return np.repeat(np.arange(counts.size), counts)


def _indexed(ds: xr.Dataset, name: str, dim: str) -> NDArray[np.intp]:
    index = np.asarray(ds[name].values).astype(np.int64)
    if index.size and (index.min() < 0 or index.max() >= ds.sizes[dim]):
        raise ValueError(
            f"The index '{name}' runs from {index.min()} to {index.max()} and '{dim}' has {ds.sizes[dim]} entries: "
            "correct the index."
        )
    return index


def _position(key: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray]:
    """The place of each row among those of its key, in order."""
    order = np.argsort(key, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(key[order]) != 0])
    sizes = np.diff(np.r_[starts, key.size])
    place = np.empty(key.size, dtype=int)
    place[order] = np.arange(key.size) - np.repeat(starts, sizes)
    return place, np.arange(int(sizes.max()))


def _instance_dim(ds: xr.Dataset, dims: tuple[str, ...]) -> str:
    """Which of the two dimensions of a clock (instance, observation) is the instance."""
    for var in ds.variables.values():
        if "cf_role" in var.attrs and len(var.dims) >= 1 and var.dims[0] in dims:
            return str(var.dims[0])
    known = [d for d in dims if d.lower() in INSTANCES]
    return known[0] if known else dims[0]


def _kind(ds: xr.Dataset, dim: str) -> str:
    if INSTANCES.get(dim.lower()) == "run":  # CF has no word for repeated runs of one rig
        return "run"
    roles = [v.attrs.get("cf_role") for v in ds.variables.values() if dim in v.dims]
    for role in roles:
        if role in KINDS:
            return KINDS[role]
    feature = str(ds.attrs.get("featureType", "")).lower()
    return FEATURES.get(feature, INSTANCES.get(dim.lower(), "station"))
