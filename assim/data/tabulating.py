"""A table of rows as a dataset: which column tells the time, and what the heads say of units.

A head such as "x [km]" or "x (km)" is a name and its units. Longitude and latitude, known by their names, are in
degrees. Dates are read by ISO 8601, or in any order that leaves no doubt which is the day and which the month.
"""

import gzip
import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from assim.data.clock import NAMES, SINCE, stamps_of
from assim.data.projecting import ANGLES, axis_of, degrees

SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt", ".txt.gz")
HEAD = re.compile(r"^(?P<name>.*?)\s*[\[(](?P<units>[^\])]*)[\])]\s*$")
DOUBTFUL = re.compile(r"^\s*\d{1,2}[/.\-]\d{1,2}[/.\-]\d{2,4}\b")
DELIMITERS = (",", ";", "\t")


def is_table(source: object) -> bool:
    """Whether a source is a table: a DataFrame, or a file whose name says so."""
    named = isinstance(source, str | Path) and str(source).lower().endswith(SUFFIXES)
    return named or isinstance(source, pd.DataFrame)


def table_of(source: str | Path | pd.DataFrame, time: str | None = None) -> tuple[xr.Dataset, str]:
    """A table along `row`, and what to call it in a sentence.

    Args:
        source: a file of comma, semicolon or tab separated values with a line of heads, or a DataFrame.
        time: the column of dates; None to find it.

    Returns:
        Columns of numbers and of text that are not empty, file units; the clock in datetime64[ns], NaT where there
        is no date.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no table, no column of dates that can be read, or a word among the numbers of a coordinate or
            of what has units.
    """
    if isinstance(source, pd.DataFrame):
        bare = source.index.name is None and not isinstance(source.index, pd.DatetimeIndex)
        table, label = source.copy() if bare else source.reset_index(), "the table"
    else:
        table, label = _read(Path(source).expanduser()), str(source)
    heads = {str(c): HEAD.match(str(c)) for c in table.columns}
    units = {m["name"]: m["units"].strip() for m in heads.values() if m is not None}
    table.columns = [m["name"] if m is not None else c for c, m in heads.items()]
    clock = _clock_of(table, label, time)
    columns = {}
    for name in map(str, table.columns):
        column = table[name]
        attrs = {"units": units[name]} if units.get(name) else {}
        if name == clock:
            dates = _dates(column, name, label, units.get(name, ""))
            columns[name] = xr.Variable("row", dates)
        elif column.isna().all():
            continue
        elif pd.api.types.is_numeric_dtype(column):
            axis = axis_of(name, attrs)
            if axis and name.lower() in ANGLES and not attrs:
                attrs = degrees(axis)
            columns[name] = xr.Variable("row", column.to_numpy(float, na_value=np.nan), attrs)
        elif not pd.api.types.is_datetime64_any_dtype(column):
            words = column.astype(object).where(column.notna(), "")
            _refuse_word(words.astype(str), name, label, measured=bool(attrs))
            columns[name] = xr.Variable("row", words.astype(str).to_numpy(str), attrs)
    return xr.Dataset(columns), label


def _read(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}: check the name and the folder.")
    try:
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
            head = file.readline()
        by = max(DELIMITERS, key=head.count)
        return pd.read_csv(path, sep=by, skipinitialspace=True)
    except (ValueError, UnicodeDecodeError, OSError, EOFError) as error:
        said = " ".join(str(error).split())[:120] or type(error).__name__
        raise ValueError(
            f"{path} cannot be read as a table ({said}): give comma separated values under one line of heads."
        ) from error


def _refuse_word(words: pd.Series, name: str, label: str, *, measured: bool) -> None:
    """Refuses a word where numbers have to be: all along an angle, and among the numbers of what has units."""
    some = (words.str.strip() != "").to_numpy()
    odd = np.flatnonzero(some & pd.to_numeric(words, errors="coerce").isna().to_numpy())
    if odd.size and (name.lower() in ANGLES or (measured and 2 * odd.size < some.sum())):
        raise ValueError(
            f"The column '{name}' of {label} holds {words.iloc[odd[0]]!r} in row {odd[0] + 1}, and {odd.size} of "
            f"its {some.sum()} entries are no numbers: write decimals (degrees as 10.25), and leave out what was "
            "not read."
        )


def _clock_of(table: pd.DataFrame, label: str, time: str | None) -> str:
    """The column of dates: by its type, else by its name, else by its first value."""
    names = list(map(str, table.columns))
    if time is not None:
        if time not in names:
            raise ValueError(f"{label} has no column {time!r}: it has {', '.join(names)}.")
        return time
    dated = [n for n in names if pd.api.types.is_datetime64_any_dtype(table[n])]
    called = [n for n in names if n.lower() in NAMES]
    like = [n for n in names if re.search(r"(?i)date|time", n) and n not in called]
    found = [*dated, *called, *like]
    if not found:
        raise ValueError(
            f"{label} has no column of dates (it has {', '.join(names)}): name one with time=, or give it the head "
            "'time' and dates such as 2020-01-31T12:00:00."
        )
    return found[0]


def _dates(column: pd.Series, name: str, label: str, units: str) -> NDArray[np.datetime64]:
    """The stamps of a column, shape (row,), NaT where there is none."""
    if pd.api.types.is_datetime64_any_dtype(column):
        aware = column.dt.tz is not None
        column = column.dt.tz_convert(None) if aware else column
        return column.to_numpy("datetime64[ns]")
    if pd.api.types.is_numeric_dtype(column):
        if SINCE.match(units):
            attrs = {"units": units}
            return stamps_of(xr.Variable("row", column.to_numpy(float), attrs)).times
        raise ValueError(
            f"The column '{name}' of {label} holds numbers and not dates: say what they count in its head, as in "
            f"'{name} [hours since 2020-01-01]', or make dates of them with pandas.to_datetime."
        )
    words = column.astype(object).where(column.notna(), "").astype(str)
    times = stamps_of(xr.Variable("row", words.to_numpy(str))).times
    if not np.isnat(times).all():
        return times
    first = next((w for w in words if w.strip()), "")
    if not DOUBTFUL.match(first):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            parsed = pd.to_datetime(words, errors="coerce", utc=True)
        times = parsed.dt.tz_localize(None).to_numpy("datetime64[ns]")
    if np.isnat(times).all():
        raise ValueError(
            f"The column '{name}' of {label} holds no date that can be read (it starts with {first!r}): write "
            "dates as 2020-01-31T12:00:00, or name another column with time=."
        )
    return times
