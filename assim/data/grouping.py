"""`open_groups`: a file whose groups hold sensors at rates of their own, as a tree of records.

Each group is read as `open_dataset` reads a file: decoded, screened, on a clock of its own. A variable of a group
above counts in those below where it is a coordinate of their dimensions or has none (CF 2.7, the nearest counts).
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from assim.data.choosing import has
from assim.data.clock import tells_time
from assim.data.opening import open_dataset
from assim.data.reading import groups_in, open_raw

OWN = "own"
"""Readings of a group that has groups of readings below stand in this one; no tree holds two clocks on one path."""

ROOT = ("Conventions", "external_variables", "repairs")
"""Attributes that are of the root alone."""


def open_groups(
    path: str | Path | xr.DataTree,
    variables: str | Iterable[str] | None = None,
    qc: str = "bad",
    chunks: Any = None,
) -> xr.DataTree:
    """Opens a file by its groups, each a record with a clock of its own.

    Args:
        path: a netCDF file or Zarr store, or a tree that is already open.
        variables: readings to keep, by name or standard name, in whichever group they are; None for all.
        qc: which flagged readings become NaN, as in `open_dataset`.
        chunks: sizes of dask chunks, for example {"time": 100_000}, to keep the readings lazy.

    Returns:
        A tree of what `open_dataset` gives of each group: readings (instance, time, ...) in file units. Groups
        without a clock are left out, which `tree.attrs["repairs"]` tells. Readings of a group that has others below
        stand in its group "own".

    Raises:
        FileNotFoundError: no such file.
        ValueError: no netCDF, damaged, no group with a clock, a variable that no group has, or a group that cannot
            be read.
    """
    label = "the tree" if isinstance(path, xr.DataTree) else Path(path).name
    wanted = [variables] if isinstance(variables, str) else variables
    wanted = None if wanted is None else list(wanted)
    stored = _nodes(path) if isinstance(path, xr.DataTree) else _groups(Path(path).expanduser())
    raws = {name: _with_what_is_above(name, stored) for name in stored}
    timed = {
        name: raw
        for name, raw in raws.items()
        if any(tells_time(str(n), v) for n, v in raw.variables.items())
        and any(v.ndim and not tells_time(str(n), v.variable) for n, v in raw.data_vars.items())
    }
    try:
        met = {name: None if wanted is None else has(raw, wanted) for name, raw in timed.items()}
        strange = set(wanted or ()) - {n for here in met.values() for n in here or ()}
        if strange or not timed or wanted == []:
            raise _nothing(label, raws, timed, sorted(strange))
        found: dict[str, xr.Dataset] = {}
        for name, raw in timed.items():
            if met[name] == []:
                continue
            try:
                found[name] = open_dataset(raw, met[name], qc, chunks)
            except ValueError as error:
                raise ValueError(f"Group '{name or '/'}' of {label}: {error}") from error
    finally:
        if chunks is None and not isinstance(path, xr.DataTree):
            for raw in stored.values():
                raw.close()
    left = [
        name or "/"
        for name, raw in raws.items()
        if name not in timed and any(v.ndim for v in raw.data_vars.values())
    ]
    told = f"Groups without readings on a clock were left out: {', '.join(left)}." if left else ""
    placed = _placed(found)
    tree = xr.DataTree.from_dict(placed)
    if "/" not in placed:
        tree.attrs = stored[""].attrs | {"repairs": told}
    return tree


def records_of(tree: xr.DataTree | Mapping[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    """The records of a tree by the paths of their groups, as "fast" or "rig/slow".

    Args:
        tree: what `open_groups` gives, or records by names of one's own.
    """
    if isinstance(tree, xr.DataTree):
        return {n.path.strip("/"): n.to_dataset() for n in tree.subtree if n.data_vars}
    return dict(tree)


def _groups(path: Path) -> dict[str, xr.Dataset]:
    """What a file holds by groups, the root first, as stored."""
    return {name: open_raw(path, name) for name in ("", *groups_in(path))}


def _nodes(tree: xr.DataTree) -> dict[str, xr.Dataset]:
    return {node.path.strip("/"): node.to_dataset(inherit=False) for node in tree.subtree}


def _with_what_is_above(name: str, stored: dict[str, xr.Dataset]) -> xr.Dataset:
    """A group with the coordinates and attributes of the groups that it lies in."""
    own = stored[name]
    if not own.data_vars:
        return own
    parts = name.split("/")
    above = [stored["/".join(parts[:i])] for i in range(len(parts) - 1, -1, -1)] if name else []
    told: dict[str, xr.Variable] = {}
    for group in above:
        for n, var in group.variables.items():
            fits = var.ndim == 0 or (var.dims == (n,) and own.sizes.get(n) == var.size)
            if fits and n not in own.variables:
                told.setdefault(str(n), var)
    attrs = {k: v for group in reversed(above) for k, v in group.attrs.items() if k not in ROOT}
    return own.assign(told).assign_attrs(attrs | own.attrs)


def _placed(found: dict[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    """Each record at a leaf of the tree."""
    placed: dict[str, xr.Dataset] = {}
    for name, ds in found.items():
        path = name
        while path in placed or any(
            other.startswith(f"{path}/".lstrip("/")) for other in found if other != name
        ):
            path = f"{path}/{OWN}".lstrip("/")
        placed[path or "/"] = ds
    return placed


def _nothing(
    label: str, raws: dict[str, xr.Dataset], timed: dict[str, xr.Dataset], strange: list[str]
) -> ValueError:
    if strange:
        held = "; ".join(
            f"{name or '/'} has {', '.join([str(n) for n, v in ds.data_vars.items() if v.ndim][:8])}"
            for name, ds in timed.items()
        )
        return ValueError(
            f"No group of {label} has a variable {strange[0]!r}: {held or 'none has a clock'}."
        )
    if timed:
        return ValueError("variables=[] chooses nothing: name some, or leave it out to read all.")
    inside = ", ".join(name or "/" for name in raws)
    return ValueError(
        f"No group of {label} ({inside}) has a clock, a variable with units such as 'seconds since 1970-01-01': "
        "add one, or read the file with xarray.open_datatree."
    )
