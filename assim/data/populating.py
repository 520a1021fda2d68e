"""From a dataset of snapshots to aligned arrays: the host-side frame of populations.

Nothing is scaled and nothing is moved: positions stay in file units, times count a unit from an origin, so that the
parameters of a known system read as in the literature. A sample in which no coordinate was seen is padding.
"""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from assim.data.aligning import Duration, nanoseconds
from assim.data.clockwork import stamp, step_words
from assim.data.columns import Columns
from assim.data.projecting import ORIGIN, refuse_mixed
from assim.data.stacking import DIMS, refuse_unordered
from assim.data.units import agree, convert, convert_difference

NOBODY = -1
"""The identity of padding, and of a particle that nobody names."""


@dataclass(frozen=True)
class Population:
    """Snapshots as arrays, with their labels.

    Args:
        names: of the coordinates.
        times: stamps, increasing, shape (snapshot,), datetime64[ns].
        t: the same in units of time since `origin`, shape (snapshot,).
        unit: the unit of time, as "1D".
        origin: what times are counted from: the first stamp, or that of the fit.
        x: positions in file units, shape (snapshot, sample, coordinate); NaN where missing.
        sd: known standard errors, file units, shape (snapshot, sample, coordinate); 0 where none is known.
        weight: what each sample counts, shape (snapshot, sample); 0 in the padding.
        id: whose each sample is, an index in `labels`, shape (snapshot, sample), `NOBODY` where none is told; or
            None where no particle was seen in two snapshots.
        labels: identities of the particles.
        attrs: CF attributes of each coordinate.
    """

    names: tuple[str, ...]
    times: NDArray[np.datetime64]
    t: NDArray[np.float64]
    unit: str
    origin: np.datetime64
    x: NDArray[np.float64]
    sd: NDArray[np.float64]
    weight: NDArray[np.float64]
    id: NDArray[np.int64] | None
    labels: tuple[str, ...] = ()
    attrs: dict[str, dict] = field(default_factory=dict)

    @property
    def counts(self) -> NDArray[np.intp]:
        """How many samples each snapshot holds, shape (snapshot,)."""
        return np.isfinite(self.x).any(axis=-1).sum(axis=-1)

    @property
    def step(self) -> float:
        """The unit of time, seconds."""
        return nanoseconds(self.unit, "unit") / 1e9

    @property
    def columns(self) -> Columns:
        """How the last axis of positions is labelled."""
        return Columns(names=self.names, attrs=self.attrs)


def population_of(
    ds: xr.Dataset,
    unit: Duration = "1s",
    variables: str | Iterable[str] | None = None,
    like: dict | None = None,
) -> Population:
    """The population of a dataset of snapshots; with `like` the coordinates, units and origin of a fitted model.

    Args:
        ds: what `assim.take_snapshots` or `assim.stack_snapshots` gives.
        unit: what times are counted in.
        variables: coordinates; None for all numbers along time and sample.
        like: what `describe_population` stored with the fit, or None.

    Raises:
        ValueError: no snapshots or a single one, times that do not increase, no coordinate or one that is missing
            or constant throughout, mixed units or origins, weights, errors or identities that are none.
    """
    clock = _clock(ds)
    names = _names(ds, variables, like)
    ds = _in_units_of(ds, like) if like else ds
    attrs = {n: dict(ds[n].attrs) for n in names}
    if like:
        attrs = {n: own | like["attrs"].get(n, {}) for n, own in attrs.items()}
    refuse_mixed(names, attrs)
    x = np.stack([_laid(ds[n]) for n in names], axis=-1)
    x = np.where(np.isfinite(x), x, np.nan)
    _refuse_useless(names, x, bool(like))
    seen = np.isfinite(x).any(axis=-1)
    _say_few(clock, seen.sum(axis=-1))
    unit = like["unit"] if like else step_words(nanoseconds(unit, "unit") / 1e9)
    origin = np.datetime64(like["origin"], "ns") if like else clock[0]
    id, labels = _identities(ds, clock, seen)
    return Population(
        names=names,
        times=clock,
        t=(clock - origin).astype(np.int64) / nanoseconds(unit, "unit"),
        unit=unit,
        origin=origin,
        x=x,
        sd=np.stack([_errors(ds, n) for n in names], axis=-1),
        weight=_weights(ds, names[0], seen),
        id=id,
        labels=labels,
        attrs=attrs,
    )


def describe_population(population: Population) -> dict:
    """What a later population of the same coordinates needs, JSON-ready; for `population_of(..., like=)`."""
    return {
        "names": list(population.names),
        "unit": population.unit,
        "origin": str(population.origin),
        "attrs": {
            name: {k: v for k, v in attrs.items() if isinstance(v, str | int | float)}
            for name, attrs in population.attrs.items()
        },
    }


def _clock(ds: xr.Dataset) -> NDArray[np.datetime64]:
    if not set(DIMS) <= set(ds.dims):
        raise ValueError(
            f"The dataset has no snapshots (its dimensions are {', '.join(map(str, ds.dims)) or 'none'}, and "
            f"{' and '.join(DIMS)} are needed): cut some out of a record with assim.take_snapshots(ds, "
            "every='1D'), or give populations to assim.stack_snapshots."
        )
    if "time" not in ds.coords or ds["time"].dtype.kind != "M":
        kind = ds["time"].dtype if "time" in ds.coords else "missing"
        raise ValueError(
            f"The times of the snapshots are no dates ({kind}): give the populations to assim.stack_snapshots, "
            "which makes dates of numbers."
        )
    clock = ds["time"].values.astype("datetime64[ns]")
    refuse_unordered(clock, "the times of the snapshots")
    return clock


def _names(
    ds: xr.Dataset, variables: str | Iterable[str] | None, like: dict | None
) -> tuple[str, ...]:
    errors = {f"{n}_sd" for n in ds.data_vars}
    fit = [
        str(n)
        for n, v in ds.data_vars.items()
        if set(v.dims) == set(DIMS) and v.dtype.kind in "fiu" and n not in errors | {"weight", "id"}
    ]
    asked = like["names"] if like else variables
    names = tuple(fit if asked is None else [asked] if isinstance(asked, str) else asked)
    strange = [n for n in names if n not in fit]
    if strange and like:
        raise ValueError(
            f"The model was fitted on {', '.join(names)}, and the snapshots have no {', '.join(strange)}: give "
            "some of the same coordinates."
        )
    if strange or not names:
        named = ", ".join(map(repr, strange))
        raise ValueError(
            f"There is no coordinate {named or 'of any name'} in the snapshots: one is numeric and lies along time "
            f"and sample, as {', '.join(fit) or 'nothing here'} does."
        )
    return names


def _laid(da: xr.DataArray) -> NDArray[np.float64]:
    return da.transpose(*DIMS).values.astype(float)


def _errors(ds: xr.Dataset, name: str) -> NDArray[np.float64]:
    if f"{name}_sd" not in ds:
        return np.zeros((ds.sizes["time"], ds.sizes["sample"]))
    sd = _laid(ds[f"{name}_sd"].broadcast_like(ds[name]))
    if (sd < 0).any() or np.isinf(sd).any():
        raise ValueError(
            f"'{name}_sd' holds negative or infinite standard errors: they must be finite and >= 0, or missing "
            "where no error is known."
        )
    return np.nan_to_num(sd)


def _weights(ds: xr.Dataset, name: str, seen: NDArray[np.bool_]) -> NDArray[np.float64]:
    if "weight" not in ds:
        return seen.astype(float)
    weight = _laid(ds["weight"].broadcast_like(ds[name]))
    wrong = seen & ~(np.isfinite(weight) & (weight >= 0))
    if wrong.any():
        raise ValueError(
            f"'weight' is negative or missing for {int(wrong.sum())} samples: give each a weight of 0 or more."
        )
    return np.where(seen, weight, 0.0)


def _identities(
    ds: xr.Dataset, clock: NDArray, seen: NDArray[np.bool_]
) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
    if "id" not in ds.variables:
        return None, ()
    if set(ds["id"].dims) != set(DIMS):
        raise ValueError(
            f"'id' lies along {', '.join(map(str, ds['id'].dims)) or 'nothing'}: give each sample of each snapshot "
            "its identity, along time and sample."
        )
    values = ds["id"].transpose(*DIMS).values
    if values.dtype.kind == "f":
        values = np.where(np.isfinite(values), values, NOBODY).astype(np.int64)
    told = seen & (values >= 0 if values.dtype.kind in "iu" else values.astype(str) != "")
    labels, index = np.unique(values[told].astype(str), return_inverse=True)
    id = np.full(seen.shape, NOBODY)
    id[told] = index
    for row, when in zip(id, clock, strict=True):
        twice = np.flatnonzero(np.bincount(row[row >= 0], minlength=1) > 1)
        if twice.size:
            raise ValueError(
                f"The identity {str(labels[twice[0]])!r} stands twice in the snapshot of {stamp(when)}: a particle "
                "is in one place; keep one of its samples, or drop 'id'."
            )
    again = np.bincount(id[told], minlength=1).max() > 1
    return (id, tuple(labels.tolist())) if again else (None, ())


def _in_units_of(ds: xr.Dataset, like: dict) -> xr.Dataset:
    """The dataset with the fitted coordinates, and their standard errors, in the units of the fit."""
    for name, attrs in like["attrs"].items():
        own, fitted = str(ds[name].attrs.get("units") or ""), str(attrs.get("units", ""))
        apart = [k for k in ORIGIN if k in attrs and ds[name].attrs.get(k, attrs[k]) != attrs[k]]
        if apart:
            origin = tuple(attrs[k] for k in ORIGIN)
            raise ValueError(
                f"'{name}' was projected about another origin than that of the fit: take the snapshots with "
                f"projection={origin}."
            )
        if not fitted or not own or agree(own, fitted):
            continue
        ds = ds.assign(
            {name: convert(ds[name], own, fitted).assign_attrs(ds[name].attrs, units=fitted)}
        )
        if f"{name}_sd" in ds:
            error = ds[f"{name}_sd"]
            ds = ds.assign({f"{name}_sd": convert_difference(error, own, fitted)})
    return ds


def _refuse_useless(names: tuple[str, ...], x: NDArray[np.float64], fitted: bool) -> None:
    for c, name in enumerate(names):
        seen = x[..., c][np.isfinite(x[..., c])]
        if seen.size == 0:
            raise ValueError(
                f"'{name}' has no value in any snapshot (all missing): leave it out with variables=[...]."
            )
        if not fitted and np.ptp(seen) == 0:
            raise ValueError(
                f"'{name}' is constant ({seen[0]:g} throughout), so there is nothing to learn from it: leave it "
                "out with variables=[...]."
            )
    if not fitted and x.shape[0] < 2:
        raise ValueError(
            "There is one snapshot, and what happens between two cannot be learned from it: take more, with a "
            "shorter every= or more stamps at=."
        )


def _say_few(clock: NDArray[np.datetime64], counts: NDArray[np.intp]) -> None:
    few = np.flatnonzero(counts <= 1)
    if few.size:
        when = ", ".join(stamp(t) for t in clock[few[:3]]) + (", ..." if few.size > 3 else "")
        warnings.warn(
            f"{few.size} of {counts.size} snapshots hold one particle or none ({when}): they are kept, and tell "
            "little of a population; wider windows would hold more.",
            UserWarning,
            stacklevel=3,
        )
