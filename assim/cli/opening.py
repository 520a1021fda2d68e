"""From file names to a record that can be fitted: opened, on one clock, without columns that tell nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

from assim.cli.speaking import note

if TYPE_CHECKING:
    import xarray as xr


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
    quiet: bool = False,
) -> xr.Dataset:
    """One record from one or several files.

    Args:
        files: netCDF files, Zarr stores or patterns.
        variables: what to read; nothing for all.
        qc: which flagged readings become missing.
        step: clock to align to, such as "10min"; None to keep the record's own.
        quiet: whether to keep mends to oneself.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it cannot be read, or not like this.
    """
    from assim import data

    chosen = list(dict.fromkeys(variables)) or None
    ds = data.open_dataset(files[0] if len(files) == 1 else list(files), chosen, qc=qc.value)
    for sentence in filter(None, str(ds.attrs.get("repairs", "")).splitlines()):
        note(sentence, quiet=quiet)
    return ds if step is None else data.align(ds, step)


def without_useless(ds: xr.Dataset, asked_for: Iterable[str] = ()) -> tuple[xr.Dataset, list[str]]:
    """The record without variables and levels that are constant or missing throughout, and why they went.

    Args:
        ds: the record.
        asked_for: what the user named; it stays, and a model says what is wrong with it.
    """
    import numpy as np

    from assim.data.spreading import INSTANCES

    kept, said = ds, []
    named = set(asked_for)
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
            said.append(f"'{name}' {why} and is left out.")
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
