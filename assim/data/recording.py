"""From one file as stored to one record: the steps in their order.

Find the clock, choose the readings, decode them, let the flags screen them, lay the rows out by their geometry,
put the clock in order. Only the clock and the indices of ragged arrays are read before the readings were chosen.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import xarray as xr

from assim.data.choosing import (
    along_another,
    along_error,
    asked_for,
    coordinates_of,
    errors_of,
    is_position,
    numbers_only,
    readings_of,
    related,
)
from assim.data.decoding import decode, is_flag
from assim.data.finding import clock_along, find_clock
from assim.data.geometry import Rows, index_names, linked_dims, rows_of
from assim.data.identifying import identified, identifier_of
from assim.data.laying import lay_out
from assim.data.mending import is_lazy
from assim.data.reading import load, tidy

ROW = "only_time"
LINKS = (
    *(
        "coordinates",
        "ancillary_variables",
        "bounds",
        "grid_mapping",
        "cell_measures",
        "formula_terms",
    ),
    *("climatology", "units_metadata", "_CoordinateAxisType", "_ChunkSizes", "DIMENSION_LABELS"),
)


@dataclass(frozen=True)
class Record:
    """One file, read.

    Args:
        ds: the readings along time, and their coordinates.
        source: what to call the file in a sentence.
        readings: names of the readings, without their standard errors.
        seen: whether any reading was there before the flags were heard; None if nobody looked.
        kept: whether any was there after; None if nobody looked.
        repairs: what was mended.
    """

    ds: xr.Dataset
    source: str
    readings: tuple[str, ...]
    seen: bool | None
    kept: bool | None
    repairs: tuple[str, ...]


def record_of(
    raw: xr.Dataset,
    source: str,
    variables: Iterable[str] | None,
    qc: Any,
    chunks: Any,
    screen: Callable[[xr.Dataset, xr.Dataset, Any], xr.Dataset],
) -> Record:
    """One file as a record.

    Args:
        raw: the dataset as stored, or an open dataset, decoded or not.
        source: what to call it in a sentence.
        variables: names or standard names; None for all readings.
        qc: the policy on flags.
        chunks: sizes of dask chunks; None to read into memory.
        screen: what turns flagged readings into NaN.

    Raises:
        ValueError: whatever keeps the file from being read, in one sentence.
    """
    earlier = [line for line in str(raw.attrs.get("repairs", "")).split("\n") if line]
    given = {str(n) for n in raw.coords if n not in raw.dims}
    ds = tidy(raw.reset_coords())
    wanted = None if variables is None else asked_for(ds, variables)
    clock = _clock_of(ds, wanted)
    wanted = None if wanted is None else [n for n in wanted if n != clock]
    if ds[clock].ndim == 0:
        ds = _with_row(ds, clock)
    ds = _freed(ds, set(map(str, ds[clock].dims)))
    rows = rows_of(ds, clock, {str(d) for v in ds.variables.values() for d in v.dims})
    elsewhere = [] if wanted is not None else _elsewhere(ds, clock, rows, given)
    readings = _readings(ds, clock, rows, wanted, given)
    errors = {
        n: e for n, e in errors_of(ds, readings).items() if e not in readings or wanted is None
    }
    readings = [n for n in readings if n not in errors.values()]
    skip = {clock, *index_names(ds), *errors.values(), *filter(None, [identifier_of(ds)])}
    numeric = {n for n in given if n in ds.variables and ds[n].dtype.kind in "fiu"}
    coords = sorted({*coordinates_of(ds, readings, skip), *(numeric - skip - set(readings))})
    ds = _brought(
        ds,
        source,
        chunks,
        clock,
        rows,
        None if wanted is None else [*readings, *errors.values()],
        coords,
    )
    numbers, said = decode(ds, [*readings, *errors.values(), *coords])
    lazy = is_lazy(ds)
    seen = None if lazy else any(bool(numbers[n].notnull().any()) for n in readings)
    screened, heard = _screened(ds, numbers, readings, qc, screen)
    kept = None if lazy else any(bool(screened[n].notnull().any()) for n in readings)
    out, mended = lay_out(ds, screened, clock, rows)
    out = identified(_labelled(out, readings, errors), ds)
    others = {f"'{n}'" for n in map(str, raw.data_vars) if wanted is not None and n not in readings}
    earlier = [line for line in earlier if not any(name in line for name in others)]
    repairs = (*earlier, *elsewhere, *said, *heard, *mended)
    return Record(out, source, tuple(readings), seen, kept, repairs)


def _clock_of(ds: xr.Dataset, wanted: list[str] | None) -> str:
    chosen = (
        wanted
        if wanted is not None
        else [n for n, v in ds.variables.items() if v.dtype.kind in "fiu"]
    )
    dims = {str(d) for n in chosen for d in ds[n].dims} or set(map(str, ds.dims))
    along = dims | {dim for dim, sample in linked_dims(ds).items() if sample in dims}
    outer = {o for o, inner in linked_dims(ds).items() if inner in along}
    return find_clock(ds, along | outer, tuple(wanted or ()))


def _freed(ds: xr.Dataset, of_clock: set[str]) -> xr.Dataset:
    """The names of the dimensions that come back, taken from dimensions that are something else."""
    ours = {d for d in ("time", "level") if d in ds.dims and d not in of_clock}
    if not ours:
        return ds
    new = {d: f"{d}_of_file" for d in ours}
    parts = {
        n: xr.Variable([new.get(str(d), d) for d in v.dims], v._data, v.attrs)
        for n, v in ds.variables.items()
    }
    return xr.Dataset(parts, attrs=ds.attrs)


def _readings(
    ds: xr.Dataset, clock: str, rows: Rows, wanted: list[str] | None, given: set[str]
) -> list[str]:
    need = set(rows.dims)
    if wanted is None:
        found = readings_of(ds, need, {clock, *index_names(ds), *given})
        found = [n for n in found if need <= set(map(str, ds[n].dims))]
        elsewhere = errors_of(ds, [str(n) for n in ds.variables if n not in found]).values()
        wanted = [n for n in found if n not in elsewhere]
    numbers_only(ds, wanted)
    off = [n for n in wanted if not need <= set(map(str, ds[n].dims))]
    if off:
        raise along_error(ds, off, clock, {n: clock_along(ds, n, clock) for n in off})
    if not wanted:
        raise _no_reading(ds, clock, need)
    return wanted


def _no_reading(ds: xr.Dataset, clock: str, need: set[str]) -> ValueError:
    others = {str(n): v for n, v in ds.variables.items() if need & set(v.dims) and n != clock}
    numbers = [n for n, v in others.items() if v.dtype.kind not in "OSU"]
    said = f"The file has no sensor reading along its clock '{clock}'"
    if others and not numbers:
        first = next(iter(others))
        return ValueError(
            f"{said}: what lies there holds text ({', '.join([*others][:12])}), and a reading is a number. Open "
            f"the file with xarray.open_dataset, make numbers of it, ds[{first!r}] = ds[{first!r}].astype(float), "
            "and give that dataset."
        )
    has = f"it has {', '.join(numbers[:12])}" if numbers else "it has nothing there"
    return ValueError(f"{said} ({has}): name what to read with variables=[...].")


def _elsewhere(ds: xr.Dataset, clock: str, rows: Rows, given: set[str]) -> list[str]:
    """The sentences on readings that lie along other clocks than the one that is read."""
    every = readings_of(ds, set(map(str, ds.dims)), {clock, *index_names(ds), *given})
    away = [n for n in every if not set(rows.dims) <= set(map(str, ds[n].dims))]
    errors = set(errors_of(ds, every).values())
    by_clock: dict[str, list[str]] = {}
    for name in (n for n in away if n not in errors):
        other = clock_along(ds, name, clock)
        if other is not None:
            by_clock.setdefault(other, []).append(name)
    return [along_another(names, other) for other, names in by_clock.items()]


def _with_row(ds: xr.Dataset, clock: str) -> xr.Dataset:
    """A single stamp as a clock of one row."""
    out = {}
    for name, var in ds.variables.items():
        row = name == clock or (
            var.ndim
            and var.dims != (name,)
            and var.dtype.kind in "fiu"
            and not is_position(str(name), var)
        )
        out[name] = var.set_dims((ROW, *var.dims)) if row else var
    return xr.Dataset(out, attrs=ds.attrs)


def _brought(
    ds: xr.Dataset,
    source: str,
    chunks: Any,
    clock: str,
    rows: Rows,
    wanted: list[str] | None,
    coords: list[str],
) -> xr.Dataset:
    """What is needed, in memory or in chunks."""
    if wanted is not None:
        structure = {
            str(n)
            for n, v in ds.variables.items()
            if "cf_role" in v.attrs or v.dims == (n,) or (v.ndim == 1 and v.dims[0] == rows.dim)
        }
        structure |= {str(n) for n in ds.variables if "cell_index" in str(n).lower()}
        structure |= set(filter(None, [identifier_of(ds)]))
        ds = ds[list({*wanted, *coords, clock, *related(ds, wanted), *index_names(ds), *structure})]
    if chunks is None:
        return ds if is_lazy(ds) else load(ds, source)
    ds[clock].load()
    return _chunked(ds, chunks, rows)


def _chunked(ds: xr.Dataset, chunks: Any, rows: Rows) -> xr.Dataset:
    if find_spec("dask") is None:
        raise ValueError("chunks= needs dask: install it with `pip install 'assim[dask]'`.")
    if isinstance(chunks, dict):
        unknown = [k for k in chunks if k != "time" and k not in ds.dims]
        if unknown:
            has = ["time", *(str(d) for d in ds.dims if d not in rows.dims)]
            raise ValueError(
                f"chunks= names {', '.join(map(repr, unknown))} and the file has "
                f"the dimension{'s' * (len(has) > 1)} {', '.join(has)}: name one of these."
            )
        named = {rows.dims[-1] if k == "time" else k: v for k, v in chunks.items()}
    try:
        return ds.chunk(named if isinstance(chunks, dict) else chunks)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise ValueError(
            f"chunks={chunks!r} gives no sizes of chunks: give rows for each dimension, as in "
            'chunks={"time": 100_000}, or "auto".'
        ) from error


def _screened(
    ds: xr.Dataset,
    numbers: dict[str, xr.Variable],
    readings: list[str],
    qc: Any,
    screen: Callable[[xr.Dataset, xr.Dataset, Any], xr.Dataset],
) -> tuple[xr.Dataset, list[str]]:
    listed = {
        w
        for n in readings
        for w in str(ds[n].attrs.get("ancillary_variables", "")).replace(",", " ").split()
    }
    flags = [
        n
        for n, v in ds.variables.items()
        if n not in numbers and (n in listed or is_flag(str(n), v))
    ]
    decoded = xr.Dataset(numbers, attrs={**ds.attrs, "repairs": ""})
    decoded = decoded.reset_coords().assign({n: ds[n].variable for n in flags})
    screened = screen(decoded, ds, qc)
    heard = [line for line in str(screened.attrs.get("repairs", "")).split("\n") if line]
    screened = screened.drop_vars([n for n in screened.variables if n not in numbers])
    coords = [n for n in numbers if n not in readings and n in screened.variables]
    return screened.set_coords(coords), heard


def _labelled(ds: xr.Dataset, readings: list[str], errors: dict[str, str]) -> xr.Dataset:
    """Errors renamed and linked, attributes that point to what is gone removed."""
    ds = ds.reset_coords([e for e in errors.values() if e in ds.coords])
    ds = ds.rename({e: f"{n}_sd" for n, e in errors.items() if e != f"{n}_sd"})
    for var in ds.variables.values():
        var.attrs = {k: v for k, v in var.attrs.items() if k not in LINKS and ":" not in str(k)}
        var.encoding = {}
    for name in errors:
        ds[name].attrs["ancillary_variables"] = f"{name}_sd"
        said = ds[name].attrs.get("standard_name")
        if said:
            ds[f"{name}_sd"].attrs["standard_name"] = f"{said} standard_error"
    lead = [
        d
        for d in ds.dims
        if d not in ("time",) and d in ("station", "trajectory", "profile", "run")
    ]
    return ds.transpose(*lead, "time", ...)
