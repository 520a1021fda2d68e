"""Public files that do not come with the package: fetched when first asked for, kept, and checked by SHA-256.

They are kept in `ASSIM_CACHE`, or else in the folder of caches of the user. A file that lies there is used without
a network; one that was put there by hand counts as fetched.
"""

import hashlib
import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

AGENT = "assim (data assimilation in Python)"


@dataclass(frozen=True)
class Remote:
    """A public file.

    Args:
        url: where it is.
        sha256: of its bytes; None where the publisher appends to it, so that no two copies need be alike.
        licence: what its publisher says of its use.
        about: a line on what it is.
    """

    url: str
    sha256: str | None
    licence: str
    about: str


REMOTE = {
    "ersst_v5": Remote(
        "https://raw.githubusercontent.com/xarray-contrib/xarray-tutorial/"
        "54df4e2fc01e51905210793f7aa01df0d87be86b/data/sst.mnmean.nc",
        "eade01e2085d841f2ff94fa6886b08a65c5018f576b066c57880726006f28ba6",
        "No constraints on data access or use (NOAA)",
        "real monthly sea-surface temperature of the globe, 2010 to 2020, every 2 degrees (NOAA ERSST v5)",
    ),
}
"""Each was fetched, and its sum taken, before it came to stand here."""


def cache_folder() -> Path:
    """Where fetched files are kept."""
    if told := os.environ.get("ASSIM_CACHE"):
        return Path(told)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "assim"


def fetched(name: str, remote: Remote) -> Path:
    """The file on this machine, from the cache or else from the network.

    Args:
        name: under which it is kept.
        remote: where it is.

    Raises:
        ValueError: the package that fetches is not installed; what came, or lies in the cache, is another file.
        ConnectionError: it cannot be reached.
    """
    path = cache_folder() / f"{name}.nc"
    if not path.is_file():
        _download(name, remote, path)
    if remote.sha256 is not None and _sha256(path) != remote.sha256:
        raise ValueError(
            f"{path} is not the file that {name!r} stands for (its SHA-256 begins with {_sha256(path)[:12]}, and "
            f"{remote.sha256[:12]} is expected): delete it, so that it is fetched again."
        )
    return path


def _download(name: str, remote: Remote, path: Path) -> None:
    if find_spec("pooch") is None:
        raise ValueError(
            f"load_dataset({name!r}) fetches a file, which needs pooch: install it with "
            f"`pip install 'assim[fetch]'`, or put {remote.url} into {path} yourself."
        )
    import pooch

    told = pooch.get_logger().level
    pooch.get_logger().setLevel("WARNING")
    ask = pooch.HTTPDownloader(headers={"User-Agent": AGENT}, timeout=60)
    asked = None if remote.sha256 is None else f"sha256:{remote.sha256}"
    try:
        pooch.retrieve(remote.url, asked, fname=path.name, path=path.parent, downloader=ask)
    except ValueError as error:
        raise ValueError(
            f"What came from {remote.url} is not the file that {name!r} stands for (its SHA-256 is another): try "
            f"again later, or put the right file into {path}."
        ) from error
    except OSError as error:  # those of requests are of this kind
        raise ConnectionError(
            f"The dataset {name!r} could not be fetched from {remote.url} ({type(error).__name__}): check the "
            f"connection and try again, or fetch it elsewhere and put it into {path}."
        ) from error
    finally:
        pooch.get_logger().setLevel(told)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
