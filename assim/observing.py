"""A labelled record as a known system sees it: cycles of arrays, and the labels that give them back.

No clock is asked for: each time stands where it is. A field is read from a variable on (time, sensor), its
sensors told by `position_0`, `position_1`, ... on (sensor,) or, where they move, on (time, sensor); of several
fields any has a variable, and a channel is a sensor in one of them. Any other system is read from one variable for
each channel. Units are those of the system, and one unit of its time is a second.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from assim.data.clockwork import stamp
from assim.data.columns import Columns
from assim.filters.base import Cycle
from assim.statespace import (
    AbstractCorrelated,
    AbstractField,
    AbstractNamed,
    AbstractStateSpace,
    Context,
    Span,
    regular_spans,
)
from assim.types import Array

NOTHING = Context(*(jnp.zeros((0, 0)),) * 4)
"""What a known system knows of a record before it starts."""
SENSOR = "sensor"


@dataclass(frozen=True)
class Observed:
    """A record of a known system.

    Args:
        times: of the cycles, shape (time,), datetime64[ns].
        cycles: stacked on a leading time axis.
        columns: labels of the channels.
        where: positions of sensors that stay, shape (channel, coordinate), or None; of a system of several fields
            the number of the field is behind the coordinates.
    """

    times: np.ndarray
    cycles: Cycle
    columns: Columns
    where: Array | None = None

    @property
    def y(self) -> np.ndarray:
        """Readings, shape (time, channel); NaN where missing."""
        return np.where(np.asarray(self.cycles.mask), np.asarray(self.cycles.y, float), np.nan)

    def labelled(self, values: np.ndarray, suffix: str = "") -> dict[str, tuple]:
        """Variables on (time[, sensor]) of an array (time, channel)."""
        return self.columns.labelled(values, ("time",), suffix)


def observe_system(
    system: AbstractStateSpace,
    ds: xr.Dataset,
    since: np.datetime64 | None = None,
    *,
    name: str | None = None,
) -> Observed:
    """The record of a system in a labelled dataset, in units of the system.

    Args:
        system: the model.
        ds: readings along `time`; NaN where missing.
        since: the time of the state before the first reading; None for that of the attribute `start_time` where the
            record begins there, or for as long before its first reading as the second comes after.
        name: what the system is called; None for that of its class.

    Raises:
        ValueError: no usable time or variable, another number of channels than the system has, readings before the
            state's time.
    """
    times = _times(ds)
    start = (
        _start(times, ds.attrs.get("start_time")) if since is None else np.datetime64(since, "ns")
    )
    if np.isnat(start):
        raise ValueError("since=NaT is no time: give that of the state before the first reading.")
    if (times < start).any():
        raise ValueError(
            f"The record begins at {stamp(times[0])}, and the state is of {stamp(start)}: give readings that "
            "do not come before it, or an earlier since=."
        )
    name = type(system).__name__ if name is None else name
    take = _field if _is_field(system) else _channels
    y, sd, where, columns = take(system, ds, name)
    if where is not None and _own(system, where):
        where = None
    elif where is not None and len(system.channels()) > 1:  # type: ignore[attr-defined]
        where = _numbered(where, system.channels(), columns.names)  # type: ignore[attr-defined]
    count = y.shape[1]
    if where is None and count != (asked := channels_of(system)):
        raise ValueError(
            f"The record has {count} channels and {name} is seen through {asked}: give as many "
            "sensors, or say where they are by position_0 on (sensor,)."
        )
    mask = np.isfinite(y) & (np.isfinite(sd))
    dtype = jnp.zeros(0).dtype
    dt = np.diff(np.concatenate([[start], times])) / np.timedelta64(1, "ns") * 1e-9
    moving = where is not None and where.ndim == 3
    if moving:
        gone = ~np.isfinite(where).all(axis=-1)
        mask, where = mask & ~gone, np.nan_to_num(where)
    cycles = Cycle(
        Span(jnp.asarray(dt, dtype), jnp.zeros((len(times), 0), dtype)),
        jnp.asarray(np.where(mask, y, 0.0), dtype),
        jnp.asarray(mask),
        jnp.asarray(np.where(mask, sd, 0.0), dtype),
        where=jnp.asarray(where, dtype) if moving else None,
    )
    stay = None if where is None or moving else jnp.asarray(where, dtype)
    _require_errors(system, cycles, stay, name)
    return Observed(times, cycles, columns, stay)


@eqx.filter_jit
def _own_variance(system: AbstractStateSpace, x: Array, span: Span, where: Array | None) -> Array:
    """The variance of a reading by the system alone, 0 not refused."""
    return system.observation(x, span, where).variance


def _require_errors(
    system: AbstractStateSpace, cycles: Cycle, where: Array | None, name: str
) -> None:
    """Refuse readings without an error of their own, and errors that cannot go together."""
    x = system.init(NOTHING, key=jax.random.key(0)).sample(jax.random.key(0))
    span = jax.tree.map(lambda leaf: leaf[0], cycles.span)
    where = cycles.where[0] if cycles.where is not None else where
    own = np.asarray(_own_variance(system, x, span, where), float)
    whole = own + np.asarray(cycles.sd, float) ** 2
    wrong = np.asarray(cycles.mask) & ~(np.isfinite(whole) & (whole > 0.0))
    if wrong.any():
        raise ValueError(
            f"A reading has an error of variance {whole[wrong][0]:g} by {name} and the record together: "
            "give the system an error above 0, or the record a variable that ends in _sd."
        )
    if isinstance(system, AbstractCorrelated):
        root = np.asarray(system.error_root(span, where), float)
        least = float(np.linalg.eigvalsh(root @ root.T + np.diag(np.asarray(cycles.sd[0]) ** 2))[0])
        if not least > 0.0:
            raise ValueError(
                f"The covariance of the errors of {name} is not positive definite (its least "
                f"eigenvalue is {least:.3g}): give each reading an error of its own."
            )


def state_columns(system: AbstractStateSpace, size: int) -> Columns:
    """Labels of the state of a system; of a field the places, by number where they do not stand in a row.

    Args:
        system: the model.
        size: components of its state.
    """
    named = system.components() if isinstance(system, AbstractNamed) else ()
    if _is_field(system):
        places = np.asarray(system.places())  # type: ignore[attr-defined]
        if places.shape[1] == 1 and (np.diff(places[:, 0]) > 0).all():
            return Columns(named[:1], "place", {"place": ("place", places[:, 0])})
        coords: dict[str, Any] = {"place": ("place", np.arange(size))}
        coords |= {f"place_{i}": ("place", places[:, i]) for i in range(places.shape[1])}
        return Columns(named[:1], "place", coords)
    names = named if len(named) == size else tuple(f"x{i}" for i in range(size))
    return Columns(names)


def channels_of(system: AbstractStateSpace) -> int:
    """How many channels a system is seen through where its sensors stay where they are."""

    def see() -> Array:
        x = system.init(NOTHING, key=jax.random.key(0)).sample(jax.random.key(0))
        span = jax.tree.map(lambda leaf: leaf[0], regular_spans(1.0, 1))
        return system.observation(x, span).mean

    return int(np.prod(jax.eval_shape(see).shape))


def _own(system: AbstractStateSpace, where: np.ndarray) -> bool:
    """Whether sensors are where the system has its own."""
    assert isinstance(system, AbstractField)
    own = np.asarray(system.sensors(None))
    return where.shape == own.shape and bool((np.asarray(where, own.dtype) == own).all())


def _numbered(where: np.ndarray, fields: tuple[str, ...], read: tuple[str, ...]) -> np.ndarray:
    """Positions with the number of the field that is read behind them."""
    number = np.repeat([fields.index(name) for name in read], where.shape[-2] // len(read))
    behind = np.broadcast_to(number[:, None], (*where.shape[:-1], 1))
    return np.concatenate([where, behind], axis=-1)


def _is_field(system: AbstractStateSpace) -> bool:
    return isinstance(system, AbstractField) and isinstance(system, AbstractNamed)


def _times(ds: xr.Dataset) -> np.ndarray:
    if "time" not in ds.dims or ds["time"].dtype.kind != "M":
        raise ValueError(
            f"The dataset has no clock of dates along 'time' (its dimensions are {', '.join(map(str, ds.dims))}): "
            "read it with assim.open_dataset, which finds and renames the clock."
        )
    times = ds["time"].values.astype("datetime64[ns]")
    if times.size == 0:
        raise ValueError("The record holds no time at all: check the file, or the split.")
    if (times[1:] <= times[:-1]).any():
        raise ValueError(
            "The times do not increase from row to row: read the file with assim.open_dataset, which sorts them "
            "and resolves duplicates."
        )
    return times


def _start(times: np.ndarray, told: str | None) -> np.datetime64:
    """The time of the state: that told of the record, where its beginning was not cut off."""
    if told is not None:
        start = np.datetime64(told, "ns")
        longest = np.diff(times).max() if times.size > 1 else np.timedelta64(2**61, "ns")
        if np.timedelta64(0, "ns") <= times[0] - start <= 2 * longest:
            return start
    if times.size < 2:
        raise ValueError("One reading does not tell the time of the state before it: give since=.")
    return times[0] - (times[1] - times[0])


def _field(system: AbstractStateSpace, ds: xr.Dataset, name: str) -> tuple:
    assert isinstance(system, AbstractNamed) and isinstance(system, AbstractField)
    names = system.channels()
    held = tuple(n for n in names if n in ds.data_vars)
    if not held:
        lacking = f"no variable '{names[0]}'" if len(names) == 1 else f"none of {', '.join(names)}"
        raise ValueError(
            f"The dataset has {lacking}, which {name} is read from; it has "
            f"{', '.join(map(str, ds.data_vars)) or 'none'}."
        )
    dim = _sensors(ds, held)
    coords = {str(c): (v.dims, v.values) for c, v in ds[held[0]].coords.items() if dim in v.dims}
    found = [f"position_{i}" for i in range(system.places().shape[1])]
    absent = [p for p in found if p not in ds.variables]
    if absent and len(absent) < len(found):
        raise ValueError(
            f"The dataset has no {', '.join(absent)}: give every coordinate of the sensors."
        )
    coords |= {p: (ds[p].dims, ds[p].values) for p in found if p not in absent}
    read = names if absent else held  # its own sensors are of every field
    nothing, ds = np.full((ds.sizes["time"], ds.sizes[dim]), np.nan), ds.transpose("time", dim, ...)
    parts = {n: ds[n].values.astype(float) if n in held else nothing for n in read}
    errors = [_errors(ds, n, y) if n in held else np.zeros_like(y) for n, y in parts.items()]
    y, sd = np.concatenate(list(parts.values()), axis=1), np.concatenate(errors, axis=1)
    columns = Columns(read, dim, coords, {n: dict(ds[n].attrs) for n in held})
    if absent:
        return y, sd, None, columns
    moving = any("time" in ds[p].dims for p in found)
    dims = ("time", dim) if moving else (dim,)
    shape = {d: ds.sizes[d] for d in dims}
    where = [ds[p].variable.set_dims(shape) for p in found]
    stacked = np.stack([w.transpose(*dims).values.astype(float) for w in where], axis=-1)
    if not moving and not np.isfinite(stacked).all():
        raise ValueError("A sensor has no position: give all, or leave that sensor out.")
    return y, sd, np.concatenate([stacked] * len(read), axis=-2), columns


def _sensors(ds: xr.Dataset, names: tuple[str, ...]) -> str:
    """The dimension of the sensors, which all fields have in common."""
    found = {}
    for name in names:
        across = [str(d) for d in ds[name].dims if d != "time"]
        if "time" not in ds[name].dims or len(across) != 1:
            raise ValueError(
                f"'{name}' has the dimensions {', '.join(map(str, ds[name].dims))}: readings of a field lie on "
                "(time, sensor)."
            )
        found[across[0]] = name
    if len(found) > 1:
        (dim, name), (other, another), *_ = found.items()
        raise ValueError(
            f"'{name}' is read along '{dim}' and '{another}' along '{other}': put the sensors of all fields along "
            "one dimension, NaN where one does not read a field."
        )
    return next(iter(found))


def _channels(system: AbstractStateSpace, ds: xr.Dataset, name: str) -> tuple:
    held = [
        str(n) for n, v in ds.data_vars.items() if v.dims == ("time",) and v.dtype.kind in "fiu"
    ]
    held = [n for n in held if not (n.endswith("_sd") and n.removesuffix("_sd") in held)]
    names = system.channels() if isinstance(system, AbstractNamed) else tuple(held)
    if not set(names) & set(held):
        there = [f"{n} ({', '.join(map(str, v.dims))})" for n, v in ds.data_vars.items()]
        wide = set(names) & set(map(str, ds.data_vars))
        raise ValueError(
            f"The dataset has none of the variables that {name} is seen through "
            f"({', '.join(names) or 'numbers'} on (time)); it has {', '.join(there) or 'none'}: "
            f"{'select one run, or one sample' if wide else 'rename what is meant'}."
        )
    absent, strange = [n for n in names if n not in held], [n for n in held if n not in names]
    if absent and strange:
        warnings.warn(
            f"The record has no readings of {', '.join(absent)}, and {', '.join(strange)} is nothing that "
            f"{name} is seen through: rename it, if it is what is missing.",
            UserWarning,
            stacklevel=5,
        )
    nothing = np.full(ds.sizes["time"], np.nan)
    y = np.stack([ds[n].values.astype(float) if n in held else nothing for n in names], axis=-1)
    sd = np.stack(
        [_errors(ds, n, y[:, c]) if n in held else np.zeros(len(y)) for c, n in enumerate(names)],
        axis=-1,
    )
    attrs = {n: dict(ds[n].attrs) for n in names if n in held}
    return y, sd, None, Columns(tuple(names), attrs=attrs)


def _errors(ds: xr.Dataset, name: str, y: np.ndarray) -> np.ndarray:
    if f"{name}_sd" not in ds.data_vars:
        return np.zeros_like(y)
    values = (
        ds[f"{name}_sd"].broadcast_like(ds[name]).transpose(*ds[name].dims).values.astype(float)
    )
    if (values < 0).any() or np.isinf(values).any():
        raise ValueError(
            f"'{name}_sd' holds negative or infinite standard errors: they must be finite and >= 0, or missing "
            "where no error is known."
        )
    return np.nan_to_num(values)
