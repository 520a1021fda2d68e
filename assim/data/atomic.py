"""Nothing half-written: an output is made beside its place and renamed when it is whole."""

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STORE = ("zarr.json", ".zgroup", ".zmetadata", ".zattrs")
"""A directory with one of these is a Zarr store, and may be replaced."""


def require_place(path: Path) -> None:
    """Refuse a place where nothing can be written.

    Args:
        path: the file or directory (Zarr store) that is to be written.

    Raises:
        OSError: no such directory, no permission, or a directory in the way that is no Zarr store.
    """
    if not path.parent.is_dir():
        raise OSError(f"The directory {path.parent} does not exist: make it, or write elsewhere.")
    if not os.access(path.parent, os.W_OK):
        raise OSError(f"There is no permission to write in {path.parent}: write elsewhere.")
    if path.is_dir() and any(path.iterdir()) and not any((path / s).exists() for s in STORE):
        raise OSError(f"{path} is a directory and not a Zarr store: remove it, or write elsewhere.")


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary sibling of `path` that takes its place on success and vanishes on failure.

    Args:
        path: the file or directory (Zarr store) to write.

    Yields:
        The temporary path; write there.

    Raises:
        OSError: as `require_place` does; no room. An error of the system that names no file names `path`.
    """
    path = Path(path)
    require_place(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{path.suffix}")
    old = temporary.with_name(f"{temporary.name}.old")
    try:
        yield temporary
        if path.exists() and (path.is_dir() or temporary.is_dir()):
            os.replace(path, old)  # a directory takes no other's place
        try:
            os.replace(temporary, path)
        except OSError:
            if old.exists():
                os.replace(old, path)
            raise
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise OSError(
                f"There is no room left to write {path}: free some, or write elsewhere."
            ) from error
        blamed = str(error.filename or temporary)
        if error.errno is None or not blamed.startswith(str(temporary)):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        for left in (temporary, old):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)
