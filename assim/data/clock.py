"""The stamps of a clock as datetime64[ns].

They are decoded here, in integers of nanoseconds, so that one bad stamp costs one row and not the axis: stamps that
are missing, or outside what datetime64[ns] can hold, become NaT before any date is made.
"""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from assim.data.decoding import FILLS, number, valid_range
from assim.data.reading import text

SINCE = re.compile(
    r"^\s*(?P<unit>[a-zµ]+)\s+since\s+(?P<y>-?\d{1,4})-(?P<m>\d{1,2})-(?P<d>\d{1,2})"
    r"(?:[T\s]+(?P<H>\d{1,2})(?::(?P<M>\d{1,2}))?(?::(?P<S>\d{1,2}(?:\.\d*)?))?)?\s*(?P<zone>\S.*)?$",
    re.IGNORECASE,
)
NANOSECONDS = {
    **dict.fromkeys(("ns", "nanosecond", "nanoseconds"), 1),
    **dict.fromkeys(("us", "µs", "microsecond", "microseconds"), 10**3),
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), 10**6),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 10**9),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), 60 * 10**9),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600 * 10**9),
    **dict.fromkeys(("d", "day", "days"), 86_400 * 10**9),
    **dict.fromkeys(("week", "weeks"), 7 * 86_400 * 10**9),
}
MONTHS = {"month", "months"}
STANDARD = {"", "standard", "gregorian", "proleptic_gregorian", "none"}
CALENDARS = {"360_day", "noleap", "365_day", "all_leap", "366_day", "julian"}
FIRST, LAST = (float(np.datetime64(f"{year}-01-01", "s").astype(int)) for year in (1678, 2262))
NOT_A_TIME = np.datetime64("NaT", "ns")
NAMES = {"time", "juld", "date", "datetime", "date_time", "timestamp", "time_utc"}


@dataclass(frozen=True)
class Stamps:
    """The decoded stamps of a clock.

    Args:
        times: datetime64[ns] of the clock's own shape, NaT where there is no time.
        missing: how many stamps the file itself declares missing.
        outside: how many lie outside 1678 to 2262, or outside the clock's valid range.
        said: what was done to read them.
    """

    times: NDArray[np.datetime64]
    missing: int
    outside: int
    said: tuple[str, ...] = ()


def stamps_of(var: xr.Variable) -> Stamps:
    """The stamps of a clock.

    Args:
        var: the clock as stored, any shape: numbers with units "... since ...", dates, or ISO strings.

    Returns:
        The stamps in UTC, and what could not be read as one.

    Raises:
        ValueError: units or a calendar that cannot be read.
    """
    values = np.asarray(var.values)
    if values.dtype.kind == "M":
        return _from_datetimes(values)
    if values.dtype.kind in "OSU":
        first = next((v for v in values.ravel() if v is not None), None)
        if values.dtype.kind == "O" and not isinstance(first, str | bytes):
            return _from_dates(values)
        return _from_strings(text(values))
    return _from_numbers(values, var.attrs)


def tells_time(name: str, var: xr.Variable) -> bool:
    """Whether a variable holds stamps: dates, numbers since a date, or text that CF or its name calls time."""
    kind, attrs = var.dtype.kind, var.attrs
    if kind == "M":
        return True
    marked = attrs.get("standard_name") == "time" or str(attrs.get("axis", "")).upper() == "T"
    if kind in "fiu":
        return SINCE.match(str(attrs.get("units", ""))) is not None
    if kind in "OSU" and (marked or name.lower() in NAMES):
        sample = np.ravel(var[(slice(0, 3),) * var.ndim].values)
        if all(isinstance(v, str | bytes) for v in sample):
            return bool((~np.isnat(_from_strings(text(sample)).times)).any())
        return all(_is_date(v) for v in sample)
    return False


def _from_numbers(values: NDArray, attrs: dict) -> Stamps:
    units, calendar = str(attrs.get("units", "")), str(attrs.get("calendar", "")).lower()
    match = SINCE.match(units)
    unit = match["unit"].lower() if match else ""
    if match is None or unit not in NANOSECONDS | dict.fromkeys(MONTHS, 0):
        raise ValueError(
            f"The clock's units {units!r} cannot be read: they should be like 'seconds since 1970-01-01 00:00:00'."
        )
    if calendar not in STANDARD | CALENDARS:
        raise ValueError(
            f"The clock's calendar {calendar!r} is not one of CF: write 'standard' in its attribute 'calendar'."
        )
    numbers = values.astype(float)
    absent = ~np.isfinite(numbers)
    for key in FILLS:
        for fill in np.ravel(attrs.get(key, [])):
            absent |= values == np.asarray(number(fill, np.nan)).astype(float)
    low, high, _ = valid_range(attrs, values.dtype, False)
    outside = ~absent & ((numbers < low) | (numbers > high))
    if unit in MONTHS:
        return _from_months(numbers, absent, outside, match, calendar)
    epoch = _epoch(match, calendar)
    with np.errstate(over="ignore", invalid="ignore"):
        seconds = numbers * (NANOSECONDS[unit] / 1e9) + epoch
        outside |= ~absent & ~((seconds > FIRST) & (seconds < LAST))
    good = ~(absent | outside)
    times = np.full(values.shape, NOT_A_TIME, "datetime64[ns]")
    times[good] = _exactly(values[good], NANOSECONDS[unit], epoch)
    stamps = Stamps(times, int(absent.sum()), int(outside.sum()))
    return stamps if calendar in STANDARD else _to_standard(stamps, calendar)


def _exactly(values: NDArray, unit: int, epoch: float) -> NDArray[np.datetime64]:
    """Epoch plus values in integers; to the millisecond where the stored numbers are no finer than that."""
    if values.size == 0:
        return np.zeros(0, "datetime64[ns]")
    first = int(np.floor(values.min()))
    start = (
        int(round(epoch * 1e9)) + first * unit
    )  # in Python's integers: the epoch may be the year 1
    if values.dtype.kind in "iu":
        return (start + (values.astype(np.int64) - first) * unit).astype("datetime64[ns]")
    whole = np.floor(values)
    part = np.rint((values - whole).astype(float) * unit).astype(np.int64)
    nanoseconds = start + (whole.astype(np.int64) - first) * unit + part
    blur = 8 * float(np.spacing(np.abs(values).max())) * unit
    rounded = (nanoseconds + 500_000) // 1_000_000 * 1_000_000
    if np.abs(nanoseconds - rounded).max() <= min(blur, 1e5):
        nanoseconds = rounded
    return nanoseconds.astype("datetime64[ns]")


def _epoch(match: re.Match, calendar: str) -> float:
    """The reference date, seconds since 1970-01-01 in its own calendar."""
    import cftime

    second = float(match["S"] or 0)
    try:
        date = cftime.datetime(
            *(int(match[k]) for k in "ymd"),
            int(match["H"] or 0),
            int(match["M"] or 0),
            calendar=_calendar(calendar),
            has_year_zero=True if _calendar(calendar) == "proleptic_gregorian" else None,
        )
        since = cftime.date2num(date, "seconds since 1970-01-01", calendar=_calendar(calendar))
    except (ValueError, OverflowError) as error:
        raise ValueError(
            f"The clock's units '{match.string}' name no date of the calendar {calendar or 'standard'!r}: "
            "correct the attribute 'units'."
        ) from error
    return float(since) + second - _zone(match["zone"])


def _calendar(name: str) -> str:
    return "standard" if name in STANDARD - {"proleptic_gregorian"} else name


def _zone(zone: str | None) -> float:
    """Seconds east of Greenwich."""
    found = re.match(r"^([+-]?)(\d{1,2}):?(\d{2})?$", zone.strip()) if zone else None
    if not found:
        return 0.0
    size = int(found[2]) * 3600 + int(found[3] or 0) * 60
    return float(-size if found[1] == "-" else size)


def _from_months(
    numbers: NDArray, absent: NDArray, outside: NDArray, match: re.Match, calendar: str
) -> Stamps:
    """Months are calendar months; a part of one is that share of its length."""
    origin = np.datetime64(f"{int(match['y']):04d}-{int(match['m']):02d}", "M").astype(int)
    with np.errstate(invalid="ignore"):
        outside = outside | (~absent & ~(np.abs(numbers + origin) < 3500))
    good = ~(absent | outside)
    times = np.full(numbers.shape, NOT_A_TIME, "datetime64[ns]")
    whole = np.floor(numbers[good]).astype(int)
    start = (origin + whole).astype("datetime64[M]").astype("datetime64[ns]")
    end = (origin + whole + 1).astype("datetime64[M]").astype("datetime64[ns]")
    share = (numbers[good] - whole) * (end - start).astype(float)
    times[good] = (
        start
        + np.rint(share).astype("timedelta64[ns]")
        + (int(match["d"]) - 1) * np.timedelta64(1, "D")
    )
    said = "The clock counts months; they were taken as calendar months."
    return Stamps(times, int(absent.sum()), int(outside.sum()), (said,))


def _to_standard(stamps: Stamps, calendar: str) -> Stamps:
    """The same year, month, day and hour in the standard calendar; dates that it lacks become NaT."""
    import cftime

    flat = stamps.times.ravel()
    good = np.flatnonzero(~np.isnat(flat))
    seconds = (flat[good] - np.datetime64(0, "ns")) / np.timedelta64(1, "s")
    dates = (
        cftime.num2date(seconds, "seconds since 1970-01-01", calendar=calendar) if good.size else []
    )
    out = np.full(flat.shape, NOT_A_TIME, "datetime64[ns]")
    out[good] = [_same_date(d) for d in dates]
    lost = int(np.isnat(out[good]).sum())
    said = f"The dates of the calendar '{calendar}' were taken as those of the standard calendar"
    said += f"; {lost} that it lacks were dropped." if lost else "."
    return Stamps(
        out.reshape(stamps.times.shape), stamps.missing, stamps.outside, (*stamps.said, said)
    )


def _same_date(date: Any) -> np.datetime64:
    try:
        return np.datetime64(date.isoformat().replace(" ", "T"), "ns")
    except ValueError:
        return NOT_A_TIME


def _is_date(value: object) -> bool:
    import cftime

    return isinstance(value, cftime.datetime)


def _from_dates(values: NDArray) -> Stamps:
    """Objects of cftime, as xarray decodes other calendars and years that it cannot hold."""
    flat = values.ravel()
    good = np.array([_is_date(v) for v in flat], dtype=bool)
    inside = np.array(
        [ok and 1678 <= v.year < 2262 for ok, v in zip(good, flat, strict=True)], dtype=bool
    )
    times = np.full(flat.shape, NOT_A_TIME, "datetime64[ns]")
    times[inside] = [_same_date(v) for v in flat[inside]]
    calendars = {v.calendar for v in flat[inside]} - STANDARD
    lost = int(np.isnat(times[inside]).sum())
    said = [
        f"The dates of the calendar '{c}' were taken as those of the standard calendar"
        + (f"; {lost} that it lacks were dropped." if lost else ".")
        for c in sorted(calendars)
    ]
    return Stamps(
        times.reshape(values.shape), int((~good).sum()), int((good & ~inside).sum()), tuple(said)
    )


def _from_datetimes(values: NDArray) -> Stamps:
    absent = np.isnat(values)
    seconds = values.astype("datetime64[s]").astype(np.int64)
    outside = ~absent & ~((seconds > FIRST) & (seconds < LAST))
    times = np.full(values.shape, NOT_A_TIME, "datetime64[ns]")
    good = ~(absent | outside)
    times[good] = values[good].astype("datetime64[ns]")
    return Stamps(times, int(absent.sum()), int(outside.sum()))


def _from_strings(values: NDArray) -> Stamps:
    import pandas as pd

    parsed = pd.to_datetime(pd.Series(values.ravel()), format="ISO8601", errors="coerce", utc=True)
    return _from_datetimes(parsed.dt.tz_localize(None).to_numpy().reshape(values.shape))
