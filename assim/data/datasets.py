"""The small files that come with the package: in the wheel beside the modules, in a checkout in `datasets/`.

They are read as any other file is, by `open_dataset`: bad readings are NaN, `time` is in datetime64[ns].
"""

from pathlib import Path

import xarray as xr

from assim.data.opening import open_dataset

PACKAGE = Path(__file__).resolve().parent.parent
FOLDERS = (PACKAGE / "_datasets", PACKAGE.parent / "datasets")
DATASETS = {
    "met_mast": "a real met mast: 12 channels of weather and radiation every 5 minutes, 4 days, with gaps",
    "mauna_loa_co2": "real weekly carbon dioxide at Mauna Loa, 1958 to 2001, with 59 gaps",
    "test_bench": "a simulated thermoacoustic test bench: 24 runs of 7 channels and 2 planned controls",
}


def list_datasets() -> dict[str, str]:
    """The names that `load_dataset` takes, each with a line on what it is."""
    return dict(DATASETS)


def load_dataset(name: str) -> xr.Dataset:
    """A small record that comes with the package, as `open_dataset` gives it.

    Args:
        name: one of `list_datasets`.

    Returns:
        Readings along (run,) time in the units of the file, NaN where missing, with their CF attributes.

    Raises:
        ValueError: no such dataset.
        FileNotFoundError: an installation without its files.
    """
    if name not in DATASETS:
        raise ValueError(
            f"There is no dataset {name!r}: choose one of {', '.join(DATASETS)}, or read a file of your own with "
            "assim.open_dataset."
        )
    found = [path for path in (folder / f"{name}.nc" for folder in FOLDERS) if path.is_file()]
    if not found:
        raise FileNotFoundError(
            f"The file {name}.nc did not come with this installation: install the package again, or make it with "
            "datasets/make.py."
        )
    return open_dataset(found[0])
