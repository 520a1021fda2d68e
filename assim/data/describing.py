"""`describe`: what a record holds, how regular its clock is, and what a fit would do with it."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from assim.data.clockwork import JITTER, regular_clock, seconds_apart, step_words, typical_step
from assim.data.framing import REPEATED
from assim.data.gridding import fields_of
from assim.data.spreading import INSTANCES, MOST_CHANNELS
from assim.data.stepping import Steps
from assim.data.support import support_of

COLUMNS = (
    *("standard_name", "units", "dims", "readings", "missing", "n_bad", "n_suspect", "min", "max"),
    *("support", "longest_gap"),
)
MOST_NAMES, FEW_NAMES = 8, 5
WIDE = 1.5
"""A gap is longer than this many steps."""


@dataclass(frozen=True)
class Description:
    """What a record holds.

    Args:
        table: one row for each variable: standard name, units, dimensions, number of cells, share missing, numbers
            flagged bad and suspect (None where nobody counted), least and greatest reading in file units, support,
            and the longest time between two readings, "none" where it is no more than 1.5 steps.
        clock: what there is to say of the clock, in words.
        verdict: what a fit would do, one sentence each.
        repairs: what was mended on opening, one sentence each.
    """

    table: pd.DataFrame
    clock: dict[str, str]
    verdict: tuple[str, ...]
    repairs: tuple[str, ...]


def describe(ds: xr.Dataset) -> Description:
    """What a record holds, and what a fit would do with it.

    Args:
        ds: what `open_dataset` gives, file units; a lazy one is reduced chunk by chunk.

    Raises:
        ValueError: a dataset without a clock.
    """
    if "time" not in ds.dims or "time" not in ds.coords or ds.sizes["time"] == 0:
        raise ValueError(
            f"The dataset has no 'time' to describe (it has {', '.join(map(str, ds.dims)) or 'no dimension'}): "
            "read it with assim.open_dataset, which finds and renames the clock."
        )
    times = ds["time"].values.astype("datetime64[ns]")
    numeric = [
        str(n) for n, v in ds.data_vars.items() if v.dtype.kind in "fiu" and "time" in v.dims
    ]
    clock, on_clock, step = _clock(ds, times)
    rows = {name: _row(ds[name], times, step) for name in numeric}
    table = pd.DataFrame.from_dict(rows, orient="index", columns=list(COLUMNS))
    table.index.name = "variable"
    repairs = filter(None, str(ds.attrs.get("repairs", "")).splitlines())
    return Description(table, clock, (on_clock, *_verdict(ds, table)), tuple(map(brief, repairs)))


def _row(da: xr.DataArray, times: NDArray[np.datetime64], step: float) -> list:
    there = da.notnull() & (abs(da) < np.inf)
    others = [d for d in da.dims if d != "time" and d not in INSTANCES]
    reduced = xr.Dataset(
        {
            "count": there.sum(),
            "least": da.where(there).min() if da.size else np.nan,
            "most": da.where(there).max() if da.size else np.nan,
            "seen": there.any(others),
        }
    ).compute()
    count = int(reduced["count"])
    attrs = da.attrs
    return [
        str(attrs.get("standard_name", "")),
        str(attrs.get("units", "")),
        ", ".join(map(str, da.dims)),
        int(da.size),
        1 - count / max(da.size, 1),
        _counted(attrs.get("n_bad")),
        _counted(attrs.get("n_suspect")),
        float(reduced["least"]) if count else np.nan,
        float(reduced["most"]) if count else np.nan,
        support_of(da),
        _longest_gap(reduced["seen"], times, step),
    ]


def _counted(value: object) -> int | None:
    return int(value) if isinstance(value, int | np.integer) else None


def _longest_gap(seen: xr.DataArray, times: NDArray[np.datetime64], step: float) -> str:
    """The longest time between two readings of one instance, as if one were a step beyond either end."""
    flat = seen.transpose(..., "time").values.reshape(-1, len(times))
    exact = times.astype("datetime64[us]")
    since = (exact - exact[0]) / np.timedelta64(1, "s")
    longest = 0.0
    for row in flat:
        if not row.any():
            return "all"
        at = np.concatenate([[-step], since[row], [since[-1] + step]])
        longest = max(longest, float(np.diff(at).max()))
    return in_words(longest) if longest > WIDE * step else "none"


def _clock(ds: xr.Dataset, times: NDArray[np.datetime64]) -> tuple[dict[str, str], str, float]:
    """The clock in words, what a fit would say to it, and its step in seconds (NaN for a single stamp)."""
    steps = seconds_apart(times)
    said = {
        "first": _stamp(times[0]),
        "last": _stamp(times[-1]),
        "stamps": str(len(times)),
    }
    try:
        clock, _, step = regular_clock(times)
        absent = len(clock) - len(times)
        verdict = f"The clock is regular, with a step of {step_words(step)}" + (
            f"; {absent} of its {len(clock)} times are not in the file and count as missing."
            if absent
            else "."
        )
    except ValueError as error:
        verdict, step = str(error), typical_step(steps) if len(steps) else np.nan
    if len(steps):
        since = np.append(0.0, np.cumsum(steps))
        off = np.abs(since / step - np.rint(since / step))
        drift = np.abs(steps / step - np.rint(steps / step))
        on = 1.0 if (drift <= JITTER).all() else float(np.mean(off <= JITTER))
        gaps = steps[steps > WIDE * step]
        if months := Steps.of(times, step).months:
            said["step"] = "1 month" if months == 1 else f"{months} months"
            verdict = (
                "The clock is of calendar months, which models of fields take as they are; for others put it on "
                f"one of even steps with assim.align(ds, '{step_words(step)}')."
            )
        else:
            said |= {"step": step_words(step), "on_the_clock": f"{on:.1%} of the stamps"}
        longest = f", the longest of {in_words(float(gaps.max()))}" if gaps.size else ""
        said["gaps"] = f"{gaps.size}{longest}"
    for dim in INSTANCES:
        if dim in ds.dims:
            labels = [str(v) for v in ds[dim].values] if dim in ds.coords else []
            said[f"{dim}s"] = listed(labels) if labels else str(ds.sizes[dim])
    return said, verdict, float(step)


def _verdict(ds: xr.Dataset, table: pd.DataFrame) -> Iterable[str]:
    errors = {f"{n}_sd" for n in table.index} & set(table.index)
    left_out, used, channels = [], [], 0
    for name in (n for n in table.index if n not in errors):
        least, most = float(table.at[name, "min"]), float(table.at[name, "max"])
        if np.isnan(least):
            left_out.append(f"'{name}' (no value)")
        elif least == most:
            left_out.append(f"'{name}' (constant, {least:g})")
        else:
            used.append(name)
            others = [d for d in ds[name].dims if d != "time" and d not in INSTANCES]
            channels += int(np.prod([ds.sizes[d] for d in others], dtype=int))
    if used:
        spread = f", as {channels} channels, one for each level" if channels > len(used) else ""
        yield f"It would forecast {listed(used)}{spread}; a variable can be a control or covariate instead."
    else:
        yield "There is nothing to fit: every variable is constant or has no value."
    if channels > MOST_CHANNELS:
        yield (
            f"At most {MOST_CHANNELS} channels are modelled together: choose some with variables=[...] "
            "(or --variables on the command line)."
        )
    grid, why = _grid(ds[used])
    if grid:
        yield (
            f"It lies on a regular grid of {grid}: a model of fields, such as SemilinearOperator, takes all of it."
        )
    elif channels > max(MOST_CHANNELS, len(used)):
        yield f"No model of fields takes it: {why}"
    if left_out:
        yield f"Left out, as there is nothing to learn from it: {listed(left_out)}."
    if errors:
        yield f"Known standard errors: {listed(sorted(errors))}."
    many = [d for d in INSTANCES if d in ds.dims]
    if len(many) > 1:
        yield f"It has two instance dimensions ({' and '.join(many)}): select one, as in ds.isel({many[1]}=0)."
    elif many and ds.sizes[many[0]] > 1:
        scaling = "with one scaling" if many[0] in REPEATED else "each with a scaling of its own"
        yield f"All {ds.sizes[many[0]]} {many[0]}s are fitted together, {scaling}."


def _grid(ds: xr.Dataset) -> tuple[str, str]:
    """The regular grid on which all variables lie, in words; or else why they lie on none."""
    try:
        grid = fields_of(ds.isel(time=slice(0, 3))).grid  # of a lazy record no more is read
    except ValueError as error:
        return "", str(error)
    sizes = " x ".join(map(str, grid.sizes))
    return f"{sizes} places along {', '.join(grid.dims)}", ""


def listed(names: Sequence[str]) -> str:
    """Names with commas; of many the first few, and how many more there are."""
    if len(names) <= MOST_NAMES:
        return ", ".join(names)
    return f"{', '.join(names[:FEW_NAMES])} and {len(names) - FEW_NAMES} more"


def brief(sentence: str) -> str:
    """The sentence with the long lists of names in it cut as `listed` does."""
    names = rf"(?:[\w@']+, ){{{MOST_NAMES},}}[\w@']+"
    return re.sub(names, lambda match: listed(match[0].split(", ")), sentence)


def needs_aligning(times: NDArray[np.datetime64], step: float) -> bool:
    """Whether stamps are off every clock of this step, and fine enough to be put on one.

    Args:
        times: stamps, shape (time,), datetime64[ns]; those that do not increase can be put on none.
        step: the step that is wanted, seconds.
    """
    try:
        regular_clock(times, step)
    except ValueError:
        steps = seconds_apart(times)
        return len(steps) > 0 and bool(steps.min() > 0) and typical_step(steps) <= WIDE * step
    return False


def holds_times(times: NDArray[np.datetime64], wanted: NDArray[np.datetime64], step: float) -> bool:
    """Whether a record is no finer than a step and has all times of a result that it spans: one by the month has.

    Args:
        times: stamps of the record, shape (time,), datetime64[ns].
        wanted: of the result, any shape, datetime64[ns].
        step: of the result, seconds.
    """
    if times.size < 2 or np.median(np.diff(times)) / np.timedelta64(1, "s") < step:
        return False
    spanned = wanted[(wanted >= times[0]) & (wanted <= times[-1])]
    return spanned.size > 0 and bool(np.isin(spanned, times).all())


def in_words(seconds: float) -> str:
    """A span in its largest whole unit, to three digits: 6h, 1.5D, 90s."""
    for size, unit in ((86_400, "D"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return (
                f"{seconds / size:.3g}{unit}"
                if seconds < 1000 * size
                else f"{seconds / size:.0f}{unit}"
            )
    return f"{seconds:.3g}s"


def _stamp(time: np.datetime64) -> str:
    return str(pd.Timestamp(time).round("ms")).removesuffix(".000")
