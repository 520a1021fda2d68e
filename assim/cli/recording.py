"""What goes into an assimilation from files: a fit, and the record as the fit or a known system reads it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from assim.cli.kinds import read, refuse_results
from assim.cli.opening import Quality, open_record
from assim.cli.speaking import note

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

    from assim.tree import Fitted


def fit_and_files(inputs: list[str]) -> tuple[xr.DataTree, list[str]]:
    """The fit that comes first, and the files of the record behind it.

    Args:
        inputs: as typed.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the first is no fit, or it stands alone.
    """
    first, *files = inputs
    if not Path(first).exists():
        raise FileNotFoundError(
            f"There is no file {first}: give what assim fit wrote, or name a known system by --system, for "
            "example --system lorenz-96."
        )
    fit = read(Path(first), "a fit")
    if not files:
        raise ValueError(f"There is no record: give its files behind {first}.")
    return fit, files


def readings(files: list[str], *, step: str | None, qc: Quality, quiet: bool) -> xr.Dataset:
    """The record of a known system or of fields, what a file calls stations or trajectories as its sensors.

    Args:
        files: netCDF files, Zarr stores or patterns.
        step: clock to align to, None for the times as they are.
        qc: which flagged readings become missing.
        quiet: whether to keep mends to oneself.
    """
    ds = open_record(files, qc=qc, step=step, quiet=quiet)
    return ds.rename({d: "sensor" for d in ("station", "trajectory") if d in ds.dims})


def record(
    files: list[str], fitted: Fitted, *, step: str | None, qc: Quality, quiet: bool
) -> xr.Dataset:
    """The record of a fit, on its clock; sensors that no file has are left to be told of.

    Args:
        files: netCDF files, Zarr stores or patterns.
        fitted: the fit.
        step: another clock to align to.
        qc: which flagged readings become missing.
        quiet: whether to keep mends to oneself.
    """
    controls = fitted.layout.inputs[: fitted.layout.num_controls]
    return open_record(
        files,
        variables=[*sensors_in(files, fitted), *controls],
        qc=qc,
        step=step,
        like=("the fit", fitted.frame["step"]),
        quiet=quiet,
    )


def sensors_in(files: list[str], fitted: Fitted) -> list[str]:
    """The sensors of a fit that any of the files has, which may hold a plan alone; else all, to be refused.

    Args:
        files: netCDF files, Zarr stores or patterns.
        fitted: the fit.
    """
    from assim.data.opening import present
    from assim.model import AbstractGridded

    sensors = list(dict.fromkeys(n.partition("@")[0] for n in fitted.layout.channels))
    if isinstance(fitted.model, AbstractGridded):
        return sensors
    try:
        here = present(files, sensors)
    except ValueError:
        refuse_results(files)
        raise
    return here if here or fitted.layout.num_controls else sensors


def analysis_in(files: list[str]) -> xr.DataTree | None:
    """What `assim assimilate` wrote, where that is given in place of a record."""
    import h5py

    path = Path(files[0])
    if path.is_dir():
        found = (path / "analysis").is_dir()
    else:
        found = path.is_file() and h5py.is_hdf5(path)
        if found:
            with h5py.File(path) as file:
                found = "analysis" in file
    return read(path, "an assimilation") if found and len(files) == 1 else None


def seen_until(fit: xr.DataTree) -> np.datetime64 | None:
    """The last time that a fit has learned from, None where it does not say."""
    import numpy as np

    told = fit.attrs.get("trained_until")
    return None if told is None else np.datetime64(told, "ns")


def unseen(ds: xr.Dataset, fit: xr.DataTree, *, quiet: bool) -> xr.Dataset:
    """The part of the record that comes after the training; the whole where none does.

    Args:
        ds: the record.
        fit: what was fitted.
        quiet: whether to keep that to oneself.
    """
    from assim.data.clockwork import stamp

    end, times = seen_until(fit), ds["time"].values
    if end is None or times.size == 0 or times[0] > end:
        return ds
    if times[-1] <= end:
        note("The fit has seen all of the record, so that it is judged too well here.", quiet=quiet)
        return ds
    note(f"The fit has seen the record up to {stamp(end)}: the filter begins there.", quiet=quiet)
    return ds.isel(time=times > end)
