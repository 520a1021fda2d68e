"""Readings laid out: rows in order on one clock, or a ragged table spread over (instance, time, level)."""

from dataclasses import replace

import numpy as np
import xarray as xr

from assim.data.clock import stamps_of
from assim.data.geometry import (
    Rows,
    instance_of,
    labels_of,
    levels_within,
    refuse_too_many,
    say_repeated,
    spread,
)
from assim.data.mending import is_lazy, put_in_order, say_dropped


def lay_out(
    ds: xr.Dataset, screened: xr.Dataset, clock: str, rows: Rows
) -> tuple[xr.Dataset, list[str]]:
    """The readings along (instance, time, ...).

    Args:
        ds: the dataset as stored, with its clock and the indices of its rows.
        screened: the readings and their coordinates, in file units.
        clock: name of the clock.
        rows: which instance each row belongs to.

    Returns:
        The readings on a strictly increasing clock, and what was mended.

    Raises:
        ValueError: no usable time, or a grid that would be too large.
    """
    stamps = stamps_of(
        ds[clock].variable.transpose(*rows.dims) if rows.profile is None else ds[clock].variable
    )
    said = [*stamps.said, *say_dropped(stamps.missing, stamps.outside)]
    times = stamps.times if rows.profile is None else stamps.times[rows.profile]
    times = times.ravel()
    good = np.flatnonzero(~np.isnat(times))
    if good.size == 0:
        raise ValueError(
            f"No row of the clock '{clock}' has a usable time ({stamps.missing} missing, {stamps.outside} outside "
            "its range): correct its values or units."
        )
    screened = _squeezed(screened, {*rows.dims, rows.dim})
    if rows.instance is None and rows.profile is None:
        dim = rows.dims[0]
        if good.size < times.size:
            screened = screened.drop_indexes([n for n in screened.indexes if n == dim]).isel(
                {dim: good}
            )
        out, mended = put_in_order(screened, dim, times[good])
        placed, numbered = _with_instances(ds, out, dim)
        return placed, said + mended + numbered
    if is_lazy(screened):
        screened = screened.load()
        said.append("The ragged array was read whole; chunks= does not apply to it.")
    out, mended = _spread_out(ds, screened, rows, times, good)
    return out, said + list(rows.said) + mended


def _spread_out(
    ds: xr.Dataset, screened: xr.Dataset, rows: Rows, times: np.ndarray, good: np.ndarray
) -> tuple[xr.Dataset, list[str]]:
    """A ragged table on (instance, time, level)."""
    said = []
    rows = replace(
        rows,
        instance=None if rows.instance is None else rows.instance[good],
        profile=None if rows.profile is None else rows.profile[good],
    )
    flat = ds if good.size == times.size or len(rows.dims) > 1 else ds.isel({rows.dims[0]: good})
    level, levels, words = levels_within(flat, rows, times[good])
    clock, at = np.unique(times[good], return_inverse=True)
    axes: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    if rows.instance is not None:
        axes[rows.kind] = (rows.instance, labels_of(ds, rows.dim))
        said += say_repeated(ds, rows.dim)
    axes["time"] = (at, clock)
    if level is not None and levels is not None:
        axes["level"] = (level, levels)
        said.append(words)
    clash = {
        d: f"{d}_of_file" for d in axes if d in screened.dims and d not in (*rows.dims, rows.dim)
    }
    screened = screened.drop_vars([d for d in clash if d in screened.variables]).rename_dims(clash)
    shape = tuple(len(labels) for _, labels in axes.values())
    places = tuple(index for index, _ in axes.values())
    repeats = good.size - np.unique(np.ravel_multi_index(places, shape) if _fits(shape) else 0).size
    refuse_too_many(int(np.prod(shape, dtype=object)), f"the {shape[0]} {rows.kind or 'profile'}s")
    if repeats:
        said.append(
            f"{repeats} row(s) repeated a stamp; the last reading that is not missing was kept."
        )
    out: dict[str, xr.Variable] = {}
    coords: dict[str, xr.Variable] = {}
    for name, var in screened.variables.items():
        into = coords if name in screened.coords else out
        if set(rows.dims) <= set(var.dims):
            moved = var.transpose(*rows.dims, ...)
            extra = moved.dims[len(rows.dims) :]
            table = moved.values.reshape(times.size, *moved.shape[len(rows.dims) :])[good]
            refuse_too_many(int(np.prod((*shape, *table.shape[1:]), dtype=object)), f"'{name}'")
            into[str(name)] = xr.Variable((*axes, *extra), spread(table, places, shape), var.attrs)
        elif not (set(rows.dims) - {rows.dim}) & set(var.dims):
            into[str(name)] = xr.Variable(
                [rows.kind if d == rows.dim else d for d in var.dims], var.values, var.attrs
            )
    for dim, (_, labels) in axes.items():
        attrs = {"standard_name": "time", "axis": "T"} if dim == "time" else {}
        coords[dim] = xr.Variable((dim,), labels, attrs)
        out.pop(dim, None)
    if rows.profile is not None:
        inner = set(ds.dims) - set(rows.dims) - {rows.dim}
        coords = {
            n: v
            for n, v in coords.items()
            if set(v.dims) <= set(axes) | inner and _sized(v, coords)
        }
    return xr.Dataset(out, coords, screened.attrs), said


def _fits(shape: tuple[int, ...]) -> bool:
    refuse_too_many(int(np.prod(shape, dtype=object)), f"{shape[0]} instances")
    return True


def _sized(var: xr.Variable, coords: dict[str, xr.Variable]) -> bool:
    return all(d not in coords or coords[d].size == s for d, s in var.sizes.items())


def _with_instances(
    ds: xr.Dataset, out: xr.Dataset, clock_dim: str
) -> tuple[xr.Dataset, list[str]]:
    """An orthogonal array (station, time) with its instance dimension named and labelled, and what was decided."""
    dims = tuple(dict.fromkeys(str(d) for v in out.data_vars.values() for d in v.dims))
    dim, kind = instance_of(ds, dims, clock_dim)
    if not dim or (kind != dim and kind in dims):
        return out, []
    labels = labels_of(ds, dim)
    out = out.drop_vars([n for n in (dim, kind) if n in out.variables])
    out = out.rename({dim: kind} if dim != kind else {}).assign_coords({kind: (kind, labels)})
    return out, say_repeated(ds, dim)


def _squeezed(ds: xr.Dataset, keep: set[str]) -> xr.Dataset:
    """Without the dimensions of length one that only say where, or that no reading lies along."""
    names = {"latitude", "longitude", "lat", "lon"}
    lain = {d for v in ds.data_vars.values() for d in v.dims} | keep
    single = [
        d for d, n in ds.sizes.items() if n == 1 and (str(d).lower() in names or d not in lain)
    ]
    return ds.isel({d: 0 for d in single})
