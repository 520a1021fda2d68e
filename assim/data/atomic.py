"""Nothing half-written: an output is made beside its place and renamed when it is whole."""

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary sibling of `path` that takes its place on success and vanishes on failure.

    Args:
        path: the file or directory (Zarr store) to write.

    Yields:
        The temporary path; write there.

    Raises:
        OSError: no such directory, no permission, or no room, in one sentence.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise OSError(f"The directory {path.parent} does not exist: make it, or write elsewhere.")
    if not os.access(path.parent, os.W_OK):
        raise OSError(f"There is no permission to write in {path.parent}: write elsewhere.")
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        yield temporary
        if path.is_dir() and temporary.is_dir():
            shutil.rmtree(path)
        os.replace(temporary, path)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise OSError(
                f"There is no room left to write {path}: free some, or write elsewhere."
            ) from error
        raise
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)
