"""The small files that come with the package: in the wheel beside the modules, in a checkout in `datasets/`.

Beside them stand larger public ones, which are fetched when first asked for (`fetching.py`). All are read as any
other file is, by `open_dataset`: bad readings are NaN, `time` is in datetime64[ns].
"""

from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

import xarray as xr

from assim.data.fetching import REMOTE, fetched
from assim.data.grouping import open_groups
from assim.data.opening import open_dataset

PACKAGE = Path(__file__).resolve().parent.parent
FOLDERS = (PACKAGE / "_datasets", PACKAGE.parent / "datasets")
DATASETS = {
    "met_mast": "a real met mast: 12 channels of weather and radiation every 5 minutes, 4 days, with gaps",
    "mauna_loa_co2": "real weekly carbon dioxide at Mauna Loa, 1958 to 2001, with 59 gaps",
    "test_bench": "a simulated thermoacoustic test bench: 24 runs of 7 channels and 2 planned controls",
    "test_bench_raw": "the signals behind its first 4 s, 3 runs: a tree of groups at 2 kHz, 10 Hz and 20 Hz",
    "lotka_volterra": "simulated prey and predators: 11 snapshots of 200 unpaired populations",
    "lotka_volterra_held_out": "the same at the 10 half times between, to judge by",
}

GROUPED = ("test_bench_raw",)


def list_datasets() -> dict[str, str]:
    """The names that `load_dataset` takes, each with a line on what it is."""
    return DATASETS | {n: f"{r.about}; fetched when first asked for" for n, r in REMOTE.items()}


if TYPE_CHECKING:

    @overload
    def load_dataset(name: Literal["test_bench_raw"]) -> xr.DataTree: ...  # type: ignore[overload-overlap]

    @overload
    def load_dataset(name: str) -> xr.Dataset: ...


def load_dataset(name: str) -> xr.Dataset | xr.DataTree:
    """A record that comes with the package, or a public one that is fetched, as `open_dataset` gives it.

    Args:
        name: one of `list_datasets`.

    Returns:
        Readings along (run,) time, fields along time and a grid, or snapshots (time, sample), in the units of the
        file, NaN where missing, with their CF attributes. "test_bench_raw" is a tree, as `open_groups` gives it.

    Raises:
        ValueError: no such dataset; one that is fetched, without the package that does so, or another file than it.
        FileNotFoundError: an installation without its files.
        ConnectionError: one that is fetched, and cannot be reached.
    """
    if name in REMOTE:
        return open_dataset(fetched(name, REMOTE[name]))
    if name not in DATASETS:
        raise ValueError(
            f"There is no dataset {name!r}: choose one of {', '.join(list_datasets())}, or read a file of your own "
            "with assim.open_dataset."
        )
    found = [path for path in (folder / f"{name}.nc" for folder in FOLDERS) if path.is_file()]
    if not found:
        raise FileNotFoundError(
            f"The file {name}.nc did not come with this installation: install the package again, or make it with "
            "datasets/make.py."
        )
    return open_groups(found[0]) if name in GROUPED else open_dataset(found[0])
