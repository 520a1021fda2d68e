"""The clock of a file: which of its variables it is.

A clock is known by what CF says of it (`axis = "T"`, `standard_name = "time"`, a coordinate variable, units
"... since ..."), and by its name only where nothing else tells. Where a file calls two its time and they differ,
the user is asked.
"""

import numpy as np
import xarray as xr

from assim.data.clock import NAMES, stamps_of, tells_time

SECONDARY = {
    *("base_time", "time_offset", "juld_location", "forecast_reference_time", "forecast_period"),
}
"""Names and standard names of times that are no clock where there is another."""
SAME = np.timedelta64(1, "ms")
"""Stamps no further apart than this are one, written in other units."""


def find_clock(ds: xr.Dataset, along: set[str], named: tuple[str, ...] = ()) -> str:
    """The variable that is the clock.

    Args:
        ds: the dataset as stored.
        along: dimensions that the readings have, or are linked to by a ragged layout.
        named: variables that the user asked for; a clock among them is the one.

    Raises:
        ValueError: no time coordinate; several, and nothing that prefers one.
    """
    ranks = _ranked(ds, along)
    asked = [n for n in named if n in ranks]
    if asked:
        return asked[0]
    if not ranks:
        raise ValueError(
            "The file has no time coordinate (no variable with units such as 'seconds since 1970-01-01' along "
            f"its readings); it has {_listed(ds)}: add one, or name its units."
        )
    best = max(ranks, key=lambda n: ranks[n])
    ties = [n for n in ranks if ranks[n] == ranks[best] or _contradicts(ds, n, best)]
    if len(ties) > 1:
        raise ValueError(
            f"The file has {len(ties)} time coordinates, {' and '.join(ties)}, and nothing says which counts: name "
            f"one with the variables, variables=[..., {ties[0]!r}], or drop one from the dataset."
        )
    return ties[0]


def clock_along(ds: xr.Dataset, name: str, clock: str) -> str | None:
    """The clock that a variable lies along in place of the one that is read; None where it has none.

    Args:
        ds: the dataset as stored.
        name: a variable.
        clock: the clock that is read.
    """
    ranks = _ranked(ds, set(map(str, ds[name].dims)))
    others = {
        n: rank
        for n, rank in ranks.items()
        if n not in (name, clock) and ds[n].ndim and not _is_second(n, ds[n].variable)
    }
    return max(others, key=lambda n: others[n], default=None)


def _ranked(ds: xr.Dataset, along: set[str]) -> dict[str, tuple[int, ...]]:
    """All that tells time along some dimensions, with what speaks for it as the clock."""
    bounds = {v.attrs.get(k) for v in ds.variables.values() for k in ("bounds", "climatology")}
    ranks = {}
    for name, var in ds.variables.items():
        name = str(name)
        fits = set(map(str, var.dims)) <= along and var.ndim <= 2 and var.size > 0
        if fits and name not in bounds and tells_time(name, var):
            served = sum(
                set(var.dims) <= set(v.dims) and v.dtype.kind in "fiu"
                for v in ds.variables.values()
            )
            ranks[name] = (*_rank(name, var), served)
    return ranks


def _contradicts(ds: xr.Dataset, name: str, best: str) -> bool:
    """Whether a file calls two variables of one dimension its time, and they differ."""
    one, other = ds[name].variable, ds[best].variable
    if name == best or set(one.dims) != set(other.dims):
        return False
    if not (_is_told(name, one) and _is_told(best, other)):
        return False
    try:
        stamps = [stamps_of(v.transpose(*other.dims)).times for v in (one, other)]
    except ValueError:  # one that cannot be read says nothing against the other
        return False
    apart = np.abs(stamps[0] - stamps[1])
    return bool((apart[~np.isnat(apart)] > SAME).any())


def _is_told(name: str, var: xr.Variable) -> bool:
    return not _is_second(name, var) and var.ndim > 0 and (_marks(var) > 0 or var.dims == (name,))


def _rank(name: str, var: xr.Variable) -> tuple[int, ...]:
    """What speaks for a clock, most important first."""
    low, marks, own = name.lower(), _marks(var), var.dims == (name,)
    known = low in NAMES and not marks
    return (
        -int(_is_second(name, var)),
        int(var.ndim > 0),
        marks,
        int(own),
        int(known),
        -int(low == "base_time"),
    )


def _marks(var: xr.Variable) -> int:
    """How often CF calls a variable the time."""
    return (str(var.attrs.get("axis", "")).upper() == "T") + (
        var.attrs.get("standard_name") == "time"
    )


def _is_second(name: str, var: xr.Variable) -> bool:
    return name.lower() in SECONDARY or str(var.attrs.get("standard_name", "")) in SECONDARY


def _listed(ds: xr.Dataset) -> str:
    names = [f"{n}({', '.join(map(str, v.dims))})" for n, v in ds.variables.items()]
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return ", ".join(names[:12]) + more if names else "no variable"
