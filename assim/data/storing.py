"""Trees in a Zarr store, written part by part and read back in the order in which they were written.

A store is a folder, and a folder has no order: what its variables are called is listed as it is found, now this way
and now that. The order is therefore an attribute of the root.
"""

import json
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path

import xarray as xr
import zarr

from assim.data.atomic import replacing

CLOCK = {"units": "nanoseconds since 2000-01-01", "dtype": "int64"}
"""How times are stored, so that a later part counts from where the first did."""
ORDER = "order"
"""The attribute of the root: names of variables by group."""

type Part = Mapping[str, xr.Dataset]


def write_store(
    root: xr.DataTree, parts: Iterable[Part], path: Path, *, along: Mapping[str, str]
) -> None:
    """Parts one behind the other in a store, which appears when it is whole.

    Args:
        root: a tree of attributes alone.
        parts: datasets by group.
        path: the store.
        along: the dimension that a group grows along; that of "" for all others.

    Raises:
        ValueError: a folder that is no store.
        OSError: a place where nothing can be written.
    """
    if path.is_dir() and any(path.iterdir()) and not (path / "zarr.json").is_file():
        raise ValueError(
            f"{path} is a folder and no Zarr store, so it is not replaced: give another name in to=."
        )
    order: dict[str, list[str]] = {}
    with replacing(path) as temporary:
        root.to_zarr(temporary, mode="w", consolidated=False)
        for part in parts:
            for name, ds in part.items():
                for clock in (v for v in ds.variables.values() if v.dtype.kind == "M"):
                    clock.encoding = CLOCK
                append = along.get(name, along[""]) if name in order else None
                ds.to_zarr(temporary, group=name, mode="a", consolidated=False, append_dim=append)
                order.setdefault(name, [str(n) for n in ds.variables])
        zarr.open_group(temporary, mode="a").attrs[ORDER] = json.dumps(order)


def open_store(path: Path, *, lazy: bool = False) -> xr.DataTree:
    """A tree as it was written.

    Args:
        path: the store.
        lazy: leave it in pieces (dask's, where that is installed).
    """
    chunks: dict | None = {} if lazy and find_spec("dask") else None
    tree = xr.open_datatree(path, engine="zarr", chunks=chunks, consolidated=False)
    order = json.loads(tree.attrs.pop(ORDER, "{}"))
    groups = [*order, *sorted(set(tree.children) - set(order))]
    nodes = {name: ordered(tree[name].to_dataset(), order.get(name, [])) for name in groups}
    whole = xr.DataTree.from_dict({"/": tree.to_dataset(), **nodes})
    whole.set_close(tree.close)
    return whole


def ordered(ds: xr.Dataset, names: Iterable[str] = ()) -> xr.Dataset:
    """A dataset with its variables in an order, those that it does not name last, by the alphabet.

    Args:
        ds: the dataset.
        names: of the first variables; none that it lacks matters.
    """
    told = [n for n in names if n in ds.data_vars]
    told += sorted(str(n) for n in ds.data_vars if n not in told)
    return ds.drop_vars(told).assign({n: ds[n] for n in told})
