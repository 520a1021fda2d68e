"""Opening one file as it stands: nothing masked, nothing scaled, no time decoded.

The engine is always named, after the file's first bytes. Other libraries' errors end here: a damaged file is one
sentence, whether the damage shows on opening or when values are read.
"""

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from assim.data.classic import Broken, check_classic
from assim.data.storing import ordered

CLASSIC = (b"CDF\x01", b"CDF\x02", b"CDF\x05")
HDF = b"\x89HDF\r\n\x1a\n"
MOST_BYTES = 4 * 2**30
WORDS = (
    *(
        "units",
        "standard_name",
        "long_name",
        "axis",
        "calendar",
        "cf_role",
        "coordinates",
        "bounds",
    ),
    *("ancillary_variables", "sample_dimension", "instance_dimension", "flag_meanings", "positive"),
    *("grid_mapping", "climatology", "featureType", "cell_methods", "Conventions", "formula_terms"),
    *("cell_measures", "_CoordinateAxisType"),
)
"""Attributes that CF defines as text; others of these names are put aside."""


class OnlyGroups(ValueError):
    """A file whose readings are all in groups; its root may place them, and number their runs."""


def open_raw(path: Path, group: str | None = None) -> xr.Dataset:
    """A netCDF file or Zarr store, undecoded and not yet in memory.

    Args:
        path: a file, or the directory of a Zarr store.
        group: one of `groups_in`, or "" for the root, be it empty; None for the root, which is to hold readings.

    Returns:
        The dataset as stored; close it when done.

    Raises:
        FileNotFoundError: nothing there.
        OnlyGroups: nothing at the root, but groups below.
        ValueError: not a netCDF or Zarr, truncated or damaged.
    """
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}: check the name and the folder.")
    engine, options = ("zarr", _zarr_options(path)) if path.is_dir() else ("netcdf4", {})
    if engine == "netcdf4":
        _refuse_other_formats(path)
    with speaking_plainly(path), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Duplicate dimension names present", UserWarning)
        ds = xr.open_dataset(
            path,
            engine=engine,
            group=group or None,
            mask_and_scale=False,
            decode_times=False,
            decode_coords=False,
            concat_characters=False,
            **options,
        )
        ds = ds.drop_vars([n for n, v in ds.variables.items() if len(set(v.dims)) < v.ndim])
    if options.get("consolidated") is False:
        ds = ordered(ds)  # a folder is listed now this way and now that
    if group is None:
        try:
            _tell_of_groups(ds, path)
        except ValueError:
            ds.close()
            raise
    return ds


def groups_in(path: Path) -> list[str]:
    """The groups below the root of a netCDF file or Zarr store, as "fast" or "rig/slow".

    Args:
        path: a file, or the directory of a Zarr store.

    Raises:
        ValueError: truncated or damaged.
    """
    if path.is_dir():
        import zarr

        with speaking_plainly(path):
            found = zarr.open_group(path, mode="r").members(max_depth=None)
        return sorted(name for name, member in found if isinstance(member, zarr.Group))
    import netCDF4

    def below(group: netCDF4.Dataset, above: str = "") -> list[str]:
        parts = [(f"{above}{name}", one) for name, one in group.groups.items()]
        return [n for name, one in parts for n in (name, *below(one, f"{name}/"))]

    with speaking_plainly(path), netCDF4.Dataset(path) as file:
        return below(file)


@contextmanager
def speaking_plainly(path: Path | str) -> Iterator[None]:
    """What other libraries raise on a damaged file, in one sentence."""
    try:
        yield
    except PermissionError as error:
        raise OSError(f"There is no permission to read {path}: ask its owner.") from error
    except MemoryError as error:
        raise ValueError(
            f"{path} does not fit in memory: choose variables=[...], or read it lazily with chunks=."
        ) from error
    except Exception as error:
        said = " ".join(str(error).split())[:120] or type(error).__name__
        raise ValueError(
            f"{path} cannot be read as netCDF or Zarr; it may be truncated or damaged ({said}): "
            "fetch it again."
        ) from error


def load(ds: xr.Dataset, path: Path | str) -> xr.Dataset:
    """The same dataset in memory.

    Raises:
        ValueError: too large, or damaged where the values are.
    """
    if ds.nbytes > MOST_BYTES:
        raise ValueError(
            f"{path} needs {ds.nbytes / 2**30:.0f} GiB of memory: choose variables=[...], or read it lazily "
            'with chunks={"time": 100_000} (needs the extra `dask`).'
        )
    with speaking_plainly(path):
        return ds.load()


def tidy(ds: xr.Dataset) -> xr.Dataset:
    """Attributes of the types that CF asks for, and characters as strings."""
    shared = {d for v in ds.variables.values() if v.dtype.kind in "fiu" for d in v.dims}
    texts = {}
    for name, var in ds.variables.items():
        joined = var.dtype == "S1" and var.ndim > 0 and var.dims[-1] not in shared
        if joined and var.size <= 2**22:
            texts[name] = (var.dims[:-1], _joined(np.asarray(var.values)), var.attrs)
    ds = ds.drop_vars(list(texts)).assign({n: xr.Variable(*parts) for n, parts in texts.items()})
    ds.attrs = _sane(ds.attrs)
    for var in ds.variables.values():
        var.attrs = _sane(var.attrs)
    return ds


def text(values: np.ndarray) -> np.ndarray:
    """Strings of bytes, characters or numbers, without padding."""
    clean = [
        (v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v)).strip("\x00 ")
        for v in np.ravel(values)
    ]
    return np.array(clean, dtype=str).reshape(np.shape(values))


def _joined(characters: np.ndarray) -> np.ndarray:
    if characters.shape[-1] == 0:
        return np.zeros(characters.shape[:-1], dtype="U1")
    whole = np.ascontiguousarray(characters).view(f"S{characters.shape[-1]}")[..., 0]
    return text(whole)


def _sane(attrs: dict) -> dict[str, Any]:
    """Attributes that can be compared and written back."""
    kept: dict[str, Any] = {}
    for name, value in attrs.items():
        value = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        if name in WORDS and not isinstance(value, str):
            continue
        if isinstance(value, str | int | float | np.number):
            kept[name] = value
        elif isinstance(value, np.ndarray | list | tuple):
            array = np.asarray(value)
            if array.dtype.kind in "fiuU" and array.ndim == 1 and array.size:
                kept[name] = array.tolist() if array.dtype.kind == "U" else array
    return kept


def _refuse_other_formats(path: Path) -> None:
    if not path.is_file():
        raise ValueError(f"{path} is not a file: give a netCDF file or a Zarr store.")
    with speaking_plainly(path), path.open("rb") as file:
        head = file.read(8)
    if not head:
        raise ValueError(f"{path} is empty: fetch it again.")
    if head[:4] not in CLASSIC and head != HDF:
        raise ValueError(
            f"{path} is not a netCDF file (it starts with {head[:4]!r}): {_made_netcdf(path)}."
        )
    if head[:4] in CLASSIC:
        try:
            check_classic(path)
        except Broken as error:
            raise ValueError(
                f"{path} is truncated or damaged ({error}): fetch it again."
            ) from error


def _made_netcdf(path: Path) -> str:
    """How what another format holds becomes a netCDF file."""
    if ".csv" in path.name.lower():
        return (
            f"make one of the table, as pandas.read_csv({path.name!r}, index_col='time', parse_dates=True)"
            ".tz_localize(None).to_xarray().to_netcdf('table.nc'), with its column of times in the place of 'time'"
        )
    return "give a netCDF file or a Zarr store; arrays become one by xarray.Dataset(...).to_netcdf('arrays.nc')"


def _tell_of_groups(ds: xr.Dataset, path: Path) -> None:
    """Notes groups beside what the root holds, and refuses a root that holds no readings."""
    groups = groups_in(path)
    bare = all(v.ndim == 0 or n in v.dims for n, v in ds.variables.items())
    if groups and not bare:
        said = filter(None, str(ds.attrs.get("repairs", "")).split("\n"))
        beside = (
            f"Not read: the groups {', '.join(groups)}; assim.open_groups reads a file by groups."
        )
        ds.attrs["repairs"] = "\n".join((*said, beside))
    if groups and bare:
        raise OnlyGroups(
            f"{path.name} holds only the groups {', '.join(groups)}: read it with assim.open_groups, and bring "
            "them onto one clock with assim.join_rates."
        )
    if not ds.variables and not path.is_dir():
        raise ValueError(f"{path.name} holds no variable: give a file with readings.")


def _zarr_options(path: Path) -> dict:
    if (path / "zarr.json").is_file():
        with speaking_plainly(path):
            meta = json.loads((path / "zarr.json").read_text())
        return {"consolidated": bool(meta.get("consolidated_metadata")), "chunks": None}
    if (path / ".zgroup").is_file():
        return {"consolidated": (path / ".zmetadata").is_file(), "chunks": None}
    raise ValueError(
        f"{path} is a folder and no Zarr store: give a file, or a pattern such as {path}/*.nc."
    )
