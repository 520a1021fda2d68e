"""From file names to a record that can be fitted: opened, on one clock, without columns that tell nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

from assim.cli.kinds import refuse_results
from assim.cli.speaking import note

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr
    from numpy.typing import NDArray


class Quality(StrEnum):
    """Which flagged readings become missing."""

    bad = "bad"
    suspect = "suspect"
    none = "none"


def names_in(text: str | None) -> tuple[str, ...]:
    """Names separated by commas."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def open_record(
    files: Sequence[str],
    *,
    variables: Iterable[str] = (),
    qc: Quality = Quality.bad,
    step: str | None = None,
    like: tuple[str, float] | tuple[str, float, NDArray[np.datetime64]] | None = None,
    quiet: bool = False,
) -> xr.Dataset:
    """One record from one or several files.

    Args:
        files: netCDF files, Zarr stores or patterns.
        variables: what to read; nothing for all.
        qc: which flagged readings become missing.
        step: clock to align to, such as "10min"; None for that of `like`, or else the record's own.
        like: what the record is for, the step of its clock in seconds, and its times where they are known.
        quiet: whether to keep mends to oneself.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it cannot be read, or not like this; it is a result and no record.
    """
    from assim import data

    chosen = list(dict.fromkeys(variables)) or None
    try:
        ds = data.open_dataset(files[0] if len(files) == 1 else list(files), chosen, qc=qc.value)
    except ValueError:
        refuse_results(files)
        raise
    for sentence in filter(None, str(ds.attrs.get("repairs", "")).splitlines()):
        note(sentence, quiet=quiet)
    if step is not None:
        return data.align(ds, step)
    return ds if like is None else _on_the_clock_of(ds, *like, quiet=quiet)


def open_by_groups(
    files: Sequence[str],
    *,
    variables: Iterable[str] = (),
    qc: Quality = Quality.bad,
    step: str | None = None,
) -> dict[str, xr.Dataset]:
    """The records of one file by its groups; one record, by "", where the readings are in none.

    Args:
        files: netCDF files, Zarr stores or patterns.
        variables: what to read, in whichever group; nothing for all.
        qc: which flagged readings become missing.
        step: clock to align to, such as "10min"; None for the records' own.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it cannot be read, or not like this; it is a result and no record.
    """
    from assim import data
    from assim.data.grouping import records_of
    from assim.data.reading import OnlyGroups

    try:
        return {"": open_record(files, variables=variables, qc=qc, step=step, quiet=True)}
    except OnlyGroups:
        if len(files) > 1:
            raise
    groups = records_of(data.open_groups(files[0], list(variables) or None, qc=qc.value))
    return {name: ds if step is None else data.align(ds, step) for name, ds in groups.items()}


def open_snapshots(
    files: Sequence[str],
    *,
    variables: Iterable[str] = (),
    qc: Quality = Quality.bad,
    step: str | None = None,
    quiet: bool = False,
) -> xr.Dataset:
    """Snapshots of a population from one or several files.

    Args:
        files: of snapshots on (time, sample), or of particles in any layout that `assim.take_snapshots` reads.
        variables: coordinates; nothing for what it finds.
        qc: which flagged readings become missing.
        step: width of the windows that snapshots are cut by; None where each stamp is a snapshot.
        quiet: whether to keep mends to oneself.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it cannot be read, or not like this; it is a result and no record.
    """
    from assim import data

    refuse_results(files)
    chosen = list(dict.fromkeys(variables)) or None
    ds = data.take_snapshots(list(files), every=step, variables=chosen, qc=qc.value)
    for sentence in filter(None, str(ds.attrs.get("repairs", "")).splitlines()):
        note(sentence, quiet=quiet)
    return ds


def _on_the_clock_of(
    ds: xr.Dataset,
    whose: str,
    step: float,
    wanted: NDArray[np.datetime64] | None = None,
    *,
    quiet: bool,
) -> xr.Dataset:
    """The record as it is where it is on that clock or coarser; else the mean of each step."""
    import numpy as np

    from assim import data
    from assim.data.clockwork import step_words
    from assim.data.describing import holds_times, needs_aligning

    times = ds["time"].values
    if not needs_aligning(times, step):
        return ds
    if wanted is not None and holds_times(times, wanted, step):
        return ds
    words = step_words(step)
    note(
        f"The record was put on the clock of {whose}: each {words} holds the mean of its readings "
        f"(as with --step {words}).",
        quiet=quiet,
    )
    return data.align(ds, np.timedelta64(round(step * 1e9), "ns"))


def without_useless(
    ds: xr.Dataset,
    asked_for: Iterable[str] = (),
    *,
    inputs: Sequence[str] = (),
    whole: bool = False,
) -> tuple[xr.Dataset, list[str]]:
    """The record without variables and levels that are constant or missing throughout, and why they went.

    Args:
        ds: the record.
        asked_for: what the user named; it stays, and a model says what is wrong with it.
        inputs: what stays as well, but is not modelled.
        whole: whether all levels stay, as those of a grid do.

    Raises:
        ValueError: nothing is left to model.
    """
    import numpy as np

    from assim.data.describing import listed
    from assim.data.spreading import INSTANCES

    kept, gone = ds, []
    named = {*asked_for, *inputs}
    for name in map(str, ds.data_vars):
        da = ds[name]
        if name in named or name.removesuffix("_sd") in named or "time" not in da.dims:
            continue
        if da.dtype.kind not in "fiu":
            continue
        seen = da.values[np.isfinite(da.values)]
        why = "has no value" if not seen.size else "is constant" if np.ptp(seen) == 0 else ""
        if why and not name.endswith("_sd"):
            kept = kept.drop_vars([n for n in (name, f"{name}_sd") if n in kept])
            gone.append(f"'{name}' {why}")
    told = [n for n, v in kept.data_vars.items() if "time" in v.dims and v.dtype.kind in "fiu"]
    if gone and set(told) <= {*inputs, *(f"{n}_sd" for n in inputs)}:
        raise ValueError(
            f"The record has nothing to model, since {listed(gone)}: give one in which a channel changes, such as "
            "a longer one."
        )
    said = [f"{what} and is left out." for what in gone]
    if whole:
        return kept, said
    spread = {d for v in kept.data_vars.values() for d in v.dims} - {"time", *INSTANCES}
    for dim in sorted(map(str, spread)):
        if dim not in kept.coords:
            kept = kept.assign_coords({dim: np.arange(kept.sizes[dim])})
        telling = np.ones(kept.sizes[dim], bool)
        for da in (v for v in kept.data_vars.values() if dim in v.dims and v.dtype.kind in "fiu"):
            values = np.moveaxis(da.values, da.dims.index(dim), 0).reshape(len(telling), -1)
            seen = np.isfinite(values)
            high, low = (np.where(seen, values, far).T for far in (-np.inf, np.inf))
            telling &= high.max(0) > low.min(0)
        if not telling.all() and telling.any():
            said.append(
                f"{(~telling).sum()} of {len(telling)} values of '{dim}' are constant or missing "
                "throughout and are left out."
            )
            kept = kept.isel({dim: np.flatnonzero(telling)})
    return kept, said
