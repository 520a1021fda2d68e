"""Snapshots as one dataset: (time, sample), NaN where a snapshot holds fewer than the largest.

`assim.take_snapshots` cuts them out of records, `assim.stack_snapshots` takes populations that are snapshots
already, as published sets are. Either way each coordinate is a variable, `<name>_sd` its known error, `weight` what
a sample counts, and the coordinate `id` whose it is; a sample of one snapshot and one of another are the same
particle if and only if they share an `id`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from assim.data.aligning import Duration, nanoseconds
from assim.data.projecting import refuse_mixed

DIMS = ("time", "sample")


def stack_snapshots(
    populations: Sequence[ArrayLike],
    times: ArrayLike,
    names: Iterable[str],
    *,
    unit: Duration = "1s",
    origin: str | np.datetime64 = "2000-01-01",
    sd: Sequence[ArrayLike] | None = None,
    weight: Sequence[ArrayLike] | None = None,
    id: Sequence[ArrayLike] | None = None,
    attrs: Mapping[str, Mapping[str, Any]] | None = None,
) -> xr.Dataset:
    """Populations that were seen at a few times, as snapshots.

    Args:
        populations: one array (sample, coordinate) for each snapshot, of any numbers of samples, in units of the
            coordinates; NaN where missing.
        times: when, shape (snapshot,): dates, or numbers that count `unit` from `origin`.
        names: what the coordinates are called.
        unit: what numbers of `times` count, for example "1h".
        origin: date of the number 0.
        sd: known standard errors, shaped and in units as `populations`; NaN where unknown.
        weight: how much each sample counts, one array (sample,) for each snapshot; None for 1.
        id: whose each sample is, one array (sample,) of words or whole numbers for each snapshot; None where nobody
            knows.
        attrs: CF attributes of each coordinate, as {"x": {"units": "km"}}.

    Returns:
        Snapshots (time, sample), in the order in which the samples were given.

    Raises:
        ValueError: times that do not increase, arrays that do not fit, nothing but NaN, coordinates of mixed units.
    """
    names = (names,) if isinstance(names, str) else tuple(names)
    arrays = [np.asarray(p, float) for p in populations]
    stamps = _stamps(np.asarray(times), unit, origin)
    _refuse_misfits(arrays, stamps, names, sd, weight, id)
    at = np.repeat(np.arange(len(arrays)), [len(a) for a in arrays])
    who, labels = None, ()
    if id is not None:
        words = np.concatenate([np.asarray(one).astype(str).ravel() for one in id])
        unique, who = np.unique(words, return_inverse=True)
        labels = tuple(unique.tolist())
    ds = stacked(
        stamps,
        at,
        np.concatenate(arrays),
        names,
        sd=None if sd is None else np.concatenate([np.asarray(s, float) for s in sd]),
        weight=None
        if weight is None
        else np.concatenate([np.ravel(w).astype(float) for w in weight]),
        who=who,
        labels=labels,
        attrs={n: dict((attrs or {}).get(n, {})) for n in names},
    )
    return ds.assign_attrs(repairs="")


def stacked(
    stamps: NDArray[np.datetime64],
    at: NDArray[np.intp],
    x: NDArray[np.float64],
    names: Sequence[str],
    *,
    sd: NDArray[np.float64] | None = None,
    weight: NDArray[np.float64] | None = None,
    who: NDArray[np.intp] | None = None,
    labels: Sequence[str] = (),
    attrs: Mapping[str, Mapping[str, Any]],
) -> xr.Dataset:
    """Rows laid out by snapshot, those of one snapshot in the order given.

    Args:
        stamps: of the snapshots, shape (snapshot,), datetime64, increasing.
        at: the snapshot of each row, shape (row,), never decreasing.
        x: coordinates, shape (row, coordinate).
        names: of the coordinates.
        sd: their errors, shape (row, coordinate), NaN where unknown; None for none.
        weight: of each row, shape (row,); None for 1.
        who: index in `labels` of each row, -1 for no name, shape (row,); None where nobody tells.
        labels: identities.
        attrs: CF attributes of each coordinate.

    Raises:
        ValueError: nothing but NaN, or coordinates of mixed units.
    """
    if not np.isfinite(x).any():
        raise ValueError(
            f"The snapshots hold no value of {', '.join(names)} (all missing): check what was read."
        )
    refuse_mixed(names, attrs)
    counts = np.bincount(at, minlength=stamps.size)
    place = np.arange(at.size) - np.repeat(np.cumsum(counts) - counts, counts)
    shape = (stamps.size, int(counts.max()))

    def laid(values: NDArray, otherwise: Any) -> NDArray:
        out = np.full(shape, otherwise, dtype=values.dtype)
        out[at, place] = values
        return out

    out: dict[str, tuple] = {}
    for c, name in enumerate(names):
        own = {k: v for k, v in attrs.get(name, {}).items() if k != "ancillary_variables"}
        own.setdefault("long_name", name)
        if sd is not None and np.isfinite(sd[:, c]).any():
            out[f"{name}_sd"] = (DIMS, laid(sd[:, c], np.nan), _error_attrs(own))
            own["ancillary_variables"] = f"{name}_sd"
        out[name] = (DIMS, laid(x[:, c], np.nan), own)
    if weight is not None and (weight != 1).any():
        about = {"long_name": "weight of the sample", "units": "1"}
        out["weight"] = (DIMS, laid(weight, 0.0), about)
    clock = {"standard_name": "time", "long_name": "time of the snapshot", "axis": "T"}
    coords: dict[str, tuple] = {"time": ("time", stamps.astype("datetime64[ns]"), clock)}
    if who is not None:
        words = laid(np.array([*labels, ""], dtype=str)[who], "")
        coords["id"] = (DIMS, words, {"long_name": "identity of the particle"})
    return xr.Dataset({n: out[n] for n in (*names, *(k for k in out if k not in names))}, coords)


def _error_attrs(attrs: Mapping[str, Any]) -> dict[str, Any]:
    said = {"long_name": f"standard error of {attrs['long_name']}"}
    said |= {"units": attrs["units"]} if "units" in attrs else {}
    name = attrs.get("standard_name")
    return said | ({"standard_name": f"{name} standard_error"} if name else {})


def _stamps(times: NDArray, unit: Duration, origin: str | np.datetime64) -> NDArray[np.datetime64]:
    if times.dtype.kind in "fiu":
        if not np.isfinite(times).all():
            raise ValueError(
                f"The times {times.tolist()} are not all finite: give one for each snapshot."
            )
        since = np.rint(times.astype(float) * nanoseconds(unit, "unit")).astype("timedelta64[ns]")
        stamps = np.datetime64(origin, "ns") + since
    else:
        try:
            stamps = pd.DatetimeIndex(np.ravel(times)).to_numpy("datetime64[ns]")
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"The times are no dates (they are of type {times.dtype}): give dates such as 2020-01-31T12:00, or "
                "numbers that count unit= from origin=."
            ) from error
    return stamps


def refuse_unordered(stamps: NDArray[np.datetime64], what: str) -> None:
    """Refuses stamps that do not increase.

    Raises:
        ValueError: a stamp that is missing, stands twice, or comes before the one that it follows.
    """
    if np.isnat(stamps).any():
        raise ValueError(
            f"{int(np.isnat(stamps).sum())} of {what} are missing: give a time to each."
        )
    wrong = np.flatnonzero(np.diff(stamps.astype(np.int64)) <= 0)
    if wrong.size:
        first, then = (str(t)[:19] for t in stamps[wrong[0] : wrong[0] + 2])
        raise ValueError(
            f"{what[0].upper()}{what[1:]} do not increase ({then} follows {first}): sort the snapshots by time, as "
            "with ds.sortby('time'), and put those of one time together."
        )


def _refuse_misfits(
    arrays: list[NDArray],
    stamps: NDArray,
    names: tuple[str, ...],
    sd: Sequence[ArrayLike] | None,
    weight: Sequence[ArrayLike] | None,
    id: Sequence[ArrayLike] | None,
) -> None:
    shapes = [a.shape for a in arrays]
    fit = all(len(s) == 2 and s[1] == len(names) for s in shapes)
    if not fit or not shapes or stamps.shape != (len(arrays),):
        told = ", ".join(map(str, shapes[:4])) + (", ..." if len(shapes) > 4 else "")
        raise ValueError(
            f"{len(arrays)} populations of shapes {told or 'none'} do not fit {stamps.size} times and the names "
            f"{', '.join(names) or 'none'}: give one array (sample, {len(names)}) for each time."
        )
    refuse_unordered(stamps, "the times of the snapshots")
    beside = {"sd": (sd, shapes), "weight": (weight, [s[:1] for s in shapes])}
    beside["id"] = (id, beside["weight"][1])
    for name, (given, wanted) in beside.items():
        found = wanted if given is None else [np.shape(one) for one in given]
        if found != wanted:
            raise ValueError(
                f"{name} has arrays of shapes {', '.join(map(str, found[:4]))}, and the populations ask for "
                f"{', '.join(map(str, wanted[:4]))}: give one for each sample."
            )
