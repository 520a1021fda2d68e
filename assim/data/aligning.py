r"""Sensors at different rates onto one regular clock; a gap stays a gap.

The clock ticks at whole steps from the midnight before the first reading. Each tick stands for the step that *ends*
there, $(t - \mathrm{step}, t]$: what is stamped t was known at t, so a forecast from t has seen no future. A record
that is on the clock already comes back as it is.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from itertools import pairwise

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from assim.data import gathering
from assim.data.clockwork import JITTER, MOST_ROWS, step_words
from assim.data.support import bounds_of, support_of

HOWS = ("mean", "last", "interpolate", "sum")
DAY = 86_400_000_000_000
type Duration = str | timedelta | np.timedelta64 | pd.Timedelta


def align(
    ds: xr.Dataset | Iterable[xr.Dataset],
    step: Duration,
    how: str | Mapping[str, str] = "mean",
    *,
    max_gap: Duration | None = None,
    tolerance: Duration | None = None,
) -> xr.Dataset:
    """One record, or several at different rates, on one regular clock.

    Args:
        ds: a record with an increasing `time`, or several without a variable in common.
        step: the step of the clock, for example "10min".
        how: "mean" of the readings in the step that ends at each tick (angles as unit vectors), the "last" of them,
            their "sum" (for amounts such as rain), or "interpolate" linearly at the tick (angles the short way
            round; it looks ahead to the next reading, which no forecast could); or one of these for each
            variable, "mean" for those not named. Flags are "last" if not named.
        max_gap: the widest gap that is interpolated across; None for 1.5 times the typical spacing of a variable's
            readings, or 1.5 steps, whichever is larger.
        tolerance: a reading late by no more than this still counts as at the tick; None for 5 % of the step or of
            the record's typical spacing, whichever is smaller.

    Returns:
        The record with NaN where a step holds no reading. Standard errors `<name>_sd` combine as those of
        independent readings. Chunked data stay lazy, except for "interpolate".

    Raises:
        ValueError: no such method or variable, a step that is none, a clock of too many rows, a name that two
            records share, or interpolation of chunked data.
    """
    records = list(ds) if not isinstance(ds, xr.Dataset) else [ds]
    if not records:
        raise ValueError("There is no dataset to align: give one, or a list of them.")
    step_ns = nanoseconds(step, "step")
    gap_ns = None if max_gap is None else nanoseconds(max_gap, "max_gap")
    hows = [_methods(record, how) for record in records]
    _refuse_strangers(records, how)
    if gap_ns is not None and not any("interpolate" in h.values() for h in hows):
        raise ValueError(
            f"max_gap={max_gap!r} is how far to interpolate, and nothing is interpolated: say "
            "how='interpolate', or leave it out."
        )
    late = None if tolerance is None else nanoseconds(tolerance, "tolerance", least=0)
    stamps = [stamps_in(record) for record in records]
    forgiven = [_forgiven(s, step_ns, late) for s in stamps]
    points_only = all(set(h.values()) == {"interpolate"} for h in hows)
    clock = _clock(stamps, forgiven, step_ns, points_only)
    parts = [
        _aligned(record, methods, clock, -((clock[0] - reading) // step_ns), step_ns, gap_ns)
        for record, methods, reading in zip(records, hows, forgiven, strict=True)
    ]
    merged = parts[0] if len(parts) == 1 else _merge(parts)
    return merged.assign_attrs(repairs=_told(records, hows, step_ns))


def _forgiven(stamps: NDArray[np.int64], step: int, late: int | None) -> NDArray[np.int64]:
    """Stamps moved ahead by the tolerance, so that one just after a tick falls in the step that ends there."""
    if late is None:
        typical = int(np.median(np.diff(stamps))) if stamps.size > 1 else step
        late = int(JITTER * min(step, typical))
    return stamps - late


def _clock(
    stamps: list[NDArray[np.int64]], forgiven: list[NDArray[np.int64]], step: int, points_only: bool
) -> NDArray[np.int64]:
    """The ticks, shape (cell,), nanoseconds since 1970."""
    origin = min(int(s[0]) for s in stamps) // DAY * DAY
    held = stamps if points_only else forgiven
    first, last = min(int(s[0]) for s in held), max(int(s[-1]) for s in held)
    low = -((origin - first) // step)
    high = (last - origin) // step if points_only else -((origin - last) // step)
    rows = high - low + 1
    if rows > MOST_ROWS:
        raise ValueError(
            f"A clock of {pd.Timedelta(step)} from {_date(first)} to {_date(last)} would have {rows} rows, and at "
            f"most {MOST_ROWS} are made: take a longer step, or cut the record first."
        )
    if rows < 1:
        raise ValueError(
            f"No tick of a clock of {pd.Timedelta(step)} lies within the record, from {_date(first)} to "
            f"{_date(last)}: take a shorter step."
        )
    return origin + step * np.arange(low, high + 1)


def _aligned(
    ds: xr.Dataset,
    hows: dict[str, str],
    clock: NDArray[np.int64],
    cells: NDArray[np.intp],
    step: int,
    max_gap: int | None,
) -> xr.Dataset:
    stamps = stamps_in(ds)
    lies_in = xr.DataArray(cells, dims="time")
    chunked = next((ds[n].chunksizes["time"] for n in hows if ds[n].chunks), None)
    lies_in = lies_in if chunked is None else lies_in.chunk(time=chunked)  # once, for all variables
    done: dict[str, xr.DataArray] = {}
    for name, how in hows.items():
        da, base = ds[name], name.removesuffix("_sd")
        sd_of = ds[base] if base != name and base in hows else None
        sd_of = None if sd_of is None or set(sd_of.dims) != set(da.dims) else sd_of
        if how == "interpolate":
            values = _interpolated(da, sd_of, stamps, clock, max_gap, step)
        else:
            values = _by_cell(da, sd_of, how, cells, lies_in, clock.size)
        done[name] = values.transpose(*da.dims).assign_attrs(_attributes(da, how, values))
    beside = {n: v for n, v in ds.variables.items() if "time" not in v.dims}
    out = xr.Dataset({n: v for n, v in beside.items() if n in ds.data_vars}, attrs=ds.attrs)
    out = out.assign_coords({n: v for n, v in beside.items() if n in ds.coords})
    ticks = xr.Variable("time", clock.astype("datetime64[ns]"), ds["time"].attrs)
    out = out.assign_coords(time=ticks).assign(done)
    return out.set_coords([n for n in done if n in ds.coords])


def _by_cell(
    da: xr.DataArray,
    sd_of: xr.DataArray | None,
    how: str,
    cells: NDArray[np.intp],
    lies_in: xr.DataArray,
    count: int,
) -> xr.DataArray:
    """A variable gathered into the cells of the clock, piece by piece where it is chunked."""
    chunks = da.chunksizes.get("time", (da.sizes["time"],))
    cuts = np.concatenate([[0], np.searchsorted(cells, cells[np.cumsum(chunks)[:-1] - 1], "right")])
    cuts = np.unique(np.append(cuts, cells.size))
    edges = [0, *(int(cells[c]) for c in cuts[1:-1]), count]
    at, pieces = lies_in if da.chunks else xr.DataArray(cells, dims="time"), []
    for (a, b), (low, high) in zip(pairwise(cuts), pairwise(edges), strict=True):
        inputs = [x.isel(time=slice(a, b)) for x in (at, da, sd_of) if x is not None]
        inputs = [x.drop_vars(x.coords) for x in inputs]
        inputs = [x.chunk(time=-1) if x.chunks else x for x in inputs]
        pieces.append(
            xr.apply_ufunc(
                _kernel(da, sd_of, how),
                *inputs,
                kwargs={"low": low, "count": high - low},
                input_core_dims=[["time"]] * len(inputs),
                output_core_dims=[["cell"]],
                dask="parallelized",
                output_dtypes=[_dtype(da)],
                dask_gufunc_kwargs={"output_sizes": {"cell": high - low}},
            )
        )
    return (pieces[0] if len(pieces) == 1 else xr.concat(pieces, "cell")).rename(cell="time")


def _kernel(da: xr.DataArray, sd_of: xr.DataArray | None, how: str) -> Callable[..., NDArray]:
    """What turns readings (..., time) into cells (..., cell)."""
    dtype, period = _dtype(da), _period(da)

    def gather(
        cells: NDArray, x: NDArray, of: NDArray | None = None, *, low: int, count: int
    ) -> NDArray:
        cells = cells - low
        if of is not None and how in ("mean", "sum"):
            out = gathering.error_of_total(of, x, cells, count, of_mean=how == "mean")
        elif how == "last":
            out = gathering.newest(x.astype(float), cells, count, of)
        elif how == "sum":
            out = gathering.total(x, cells, count)
        else:
            out = gathering.mean(x, cells, count, period)
        return out.astype(dtype)

    return gather


def _interpolated(
    da: xr.DataArray,
    sd_of: xr.DataArray | None,
    stamps: NDArray[np.int64],
    clock: NDArray[np.int64],
    max_gap: int | None,
    step: int,
) -> xr.DataArray:
    if da.chunks:
        raise ValueError(
            f"'{da.name}' is chunked, and interpolation needs its neighbours in memory: call ds.load() first, or "
            "use how='mean'."
        )
    dims = (*(d for d in da.dims if d != "time"), "time")
    x = da.transpose(*dims).values
    of = x if sd_of is None else sd_of.transpose(*dims).values
    sd = None if sd_of is None else x
    values, errors = gathering.interpolated(
        of, sd, stamps, clock, max_gap, step, _period(sd_of if sd_of is not None else da)
    )
    return xr.DataArray((values if errors is None else errors).astype(_dtype(da)), dims=dims)


def _methods(ds: xr.Dataset, how: str | Mapping[str, str]) -> dict[str, str]:
    """How each variable along time is put on the clock; an error follows its reading."""
    stamps_in(ds)
    named = dict(how) if isinstance(how, Mapping) else {}
    default = "mean" if isinstance(how, Mapping) else how
    for method in (default, *named.values()):
        if method not in HOWS:
            raise ValueError(f"how={method!r} is none of {', '.join(HOWS)}: choose one of these.")
    methods: dict[str, str] = {}
    for name, var in ds.variables.items():
        if name == "time" or "time" not in var.dims or var.dtype.kind not in "fiub":
            continue
        flag = var.dtype.kind == "b" or "flag_meanings" in var.attrs
        methods[str(name)] = named.get(str(name), "last" if flag else default)
    for name in methods:
        base = name.removesuffix("_sd")
        if base != name and base in methods:
            methods[name] = methods[base]
    return methods


def _refuse_strangers(records: list[xr.Dataset], how: str | Mapping[str, str]) -> None:
    known = [str(n) for r in records for n in r.variables if n != "time" and "time" in r[n].dims]
    strange = sorted(set(how) - set(known)) if isinstance(how, Mapping) else []
    if strange:
        raise ValueError(
            f"how names {', '.join(map(repr, strange))}, which is no variable along time; there are "
            f"{', '.join(sorted(known))}."
        )
    twice = sorted({n for n in known if known.count(n) > 1})
    if twice:
        raise ValueError(
            f"Two datasets both have {', '.join(map(repr, twice))}: rename one, for example "
            f"ds.rename({twice[0]}='{twice[0]}_2'), or lay runs side by side before with xr.concat(runs, 'run')."
        )


def _merge(parts: list[xr.Dataset]) -> xr.Dataset:
    """One dataset of all; a position or label on which they differ is left out."""
    scalars = {n for p in parts for n in p.coords if not p[n].dims}
    differ = [n for n in scalars if len({str(p[n].values) for p in parts if n in p.coords}) > 1]
    return xr.merge(
        [p.drop_vars(differ, errors="ignore") for p in parts],
        join="outer",
        compat="no_conflicts",
        combine_attrs="override",
    )


def _attributes(da: xr.DataArray, how: str, values: xr.DataArray) -> dict:
    attrs = dict(da.attrs)
    if da.name not in da.coords:
        made = {"last": "time: point", "interpolate": "time: point"}.get(how, f"time: {how}")
        before = attrs.get("cell_methods", "")
        attrs["cell_methods"] = made if before in ("", made, "time: point") else f"{before} {made}"
    if attrs.pop("n_missing", None) is not None and not values.chunks:
        attrs["n_missing"] = int(values.isnull().sum())
    return attrs


def _told(records: list[xr.Dataset], hows: list[dict[str, str]], step: int) -> str:
    """What was repaired before, and how the record came to its clock."""
    by_method: dict[str, list[str]] = {}
    for methods in hows:
        for name, method in methods.items():
            by_method.setdefault(method, []).append(name)
    words = "; ".join(f"{method} of {', '.join(names)}" for method, names in by_method.items())
    lost = [
        str(n)
        for r in records
        for n, v in r.variables.items()
        if n != "time" and "time" in v.dims and v.dtype.kind not in "fiub"
    ]
    said = [r.attrs["repairs"] for r in records if r.attrs.get("repairs")]
    said.append(
        f"Put on a clock of {step_words(step / 1e9)}, each stamp the end of its step: {words}."
    )
    said += [f"No number, left out on the clock: {', '.join(lost)}."] if lost else []
    return "\n".join(said)


def _period(da: xr.DataArray) -> float | None:
    return bounds_of(da)[1] if support_of(da) == "circle" else None


def _dtype(da: xr.DataArray) -> np.dtype:
    return da.dtype if da.dtype.kind == "f" else np.dtype(float)


def stamps_in(ds: xr.Dataset) -> NDArray[np.int64]:
    """The times of a record, shape (time,), nanoseconds since 1970.

    Raises:
        ValueError: none, or some that do not increase.
    """
    if "time" not in ds.dims or ds.sizes["time"] == 0 or ds["time"].dtype.kind != "M":
        raise ValueError(
            f"The dataset has no times to align (dimensions: {dict(ds.sizes)}): read it with assim.open_dataset."
        )
    stamps = ds["time"].values.astype("datetime64[ns]").astype(np.int64)
    if (np.diff(stamps) <= 0).any():
        raise ValueError(
            "The times of the dataset do not increase: sort them with ds.sortby('time') and drop duplicates, or "
            "read the file with assim.open_dataset."
        )
    return stamps


def nanoseconds(given: Duration, name: str, least: int = 1) -> int:
    """A duration, nanoseconds.

    Args:
        given: the duration, as "10min".
        name: of the argument, for a refusal.
        least: nanoseconds that it has to have.

    Raises:
        ValueError: no duration, or too short a one.
    """
    try:
        span = pd.Timedelta(given).as_unit("ns").value
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{name}={given!r} is not a duration: write it as '10min' or '1h'."
        ) from error
    if span < least:
        raise ValueError(f"{name}={given!r} is not positive: write it as '10min' or '1h'.")
    return span


def _date(ns: int) -> str:
    return str(np.datetime64(ns, "ns").astype("datetime64[s]"))
