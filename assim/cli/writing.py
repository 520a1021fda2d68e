"""Results to disk, whole or not at all; what cannot be written is known before the work begins."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from assim.data.atomic import replacing, require_place

if TYPE_CHECKING:
    import xarray as xr


def require_place_of_file(path: Path) -> None:
    """Refuse a place where no file can be written, before the work begins.

    Args:
        path: the file that is to be written.

    Raises:
        OSError: a folder in its place, no folder around it, no permission.
    """
    if path.is_dir():
        raise OSError(f"{path} is a folder: name a file to write, for example {path / 'out.nc'}.")
    require_place(path)


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """A temporary path that becomes `path` when the work is done; the folder is asked first.

    Args:
        path: the file to write.

    Raises:
        OSError: a folder in its place, no folder around it, no permission, no room.
    """
    require_place_of_file(path)
    with replacing(path) as temporary:
        yield temporary


def save(result: xr.DataTree | xr.Dataset, path: Path) -> None:
    """Write a result as netCDF, by way of memory: HDF5 takes the whole program down when a disk is full.

    Args:
        result: tree or table.
        path: where.

    Raises:
        OSError: no room.
    """
    path.write_bytes(result.to_netcdf(engine="h5netcdf"))
