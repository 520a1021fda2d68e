r"""`twin_experiment`: a system lives through a record and its sensors read it, both as labelled data.

$$x_0 \sim p(x_0), \qquad x_k \sim p(x_k \mid x_{k-1}, t_k - t_{k-1}), \qquad
y_k \sim p(y_k \mid x_k, \text{where}_k, \text{sd}_k)$$

Readings have the error of the system's own sensors, which its `observation` has built in. An error that is asked
for comes on top of it, in squares, and it alone is written beside the readings. One unit of the time of a system is
one second of the clock.
"""

import importlib.metadata
import json
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from reprlib import repr as in_short

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from assim.registry import settings_of
from assim.statespace import AbstractField, AbstractNamed, Context, Span, simulate
from assim.tree import require_key
from assim.types import Array, Float, Key

EPOCH = np.datetime64("2000-01-01", "ns")
LONGEST = 8e9
"""Seconds after `EPOCH` that a clock of nanoseconds still holds."""
NEVER_MISSING = {"_FillValue": None}


def twin_experiment(
    system: AbstractNamed,
    times: tuple[float, int] | ArrayLike,
    *,
    key: Key,
    every: int = 1,
    sensors: ArrayLike | Sequence[str] | None = None,
    missing: ArrayLike = 0.0,
    sd: ArrayLike | None = None,
    start: ArrayLike | None = None,
    spin_up: int = 0,
) -> tuple[xr.Dataset, xr.Dataset]:
    """A path of a known system, and what its sensors read of it.

    Args:
        system: the system, with its parameters.
        times: when the state is kept. A tuple (step, count), or increasing numbers (time,), in units of the
            system's time: the path starts at 0, which is 2000-01-01. Or increasing datetimes (time,): it starts at
            the first.
        key: all randomness.
        every: the state is read at every `every`-th of these times.
        sensors: None for the system's own. Of a field, positions in units of its grid, shape (sensor, coordinate),
            or (reading, sensor, coordinate) where sensors move; the coordinate may be left out where there is but
            one. Of another system, the names of the channels that are read.
        missing: share of the readings that are missing, shape () or (sensor,), from 0 to 1; or a mask, shape
            (reading, sensor), True where one is.
        sd: standard error on top of the system's own, shape (), (sensor,) or (reading, sensor), units of the
            readings; for readings with this error alone give a system whose own is 0.
        start: state that is walked from, shape (state,); None to draw it from the system's `init`.
        spin_up: number of steps, of the median length, that are walked before the path starts.

    Returns:
        The truth: a field (time, place), or a variable (time,) for each component of the state. The readings: a
        field (time, sensor), or a variable (time,) for each channel, NaN where missing; `<variable>_sd` beside each
        where `sd` is given.

    Raises:
        ValueError: times that do not increase, shapes that do not fit, a share outside [0, 1], a negative error, an
            unknown channel, a path that does not stay finite.
        TypeError: a system without names, a seed in place of a key, times or sensors of another kind.
    """
    require_key(key)
    if not isinstance(system, AbstractNamed):
        raise TypeError(
            f"system={in_short(system)} does not name its state and channels: give a system of assim.systems, "
            "or derive yours from AbstractNamed."
        )
    for name, number, least in (("every", every, 1), ("spin_up", spin_up, 0)):
        if not isinstance(number, Integral) or number < least:
            raise ValueError(f"{name}={number!r} must be a whole number of at least {least}.")
    stamps, begun = _clock(times)
    seen = stamps[every - 1 :: every]
    if not seen.size:
        raise ValueError(f"every={every} leaves no reading of {stamps.size} times: give less.")
    network = _network(system, sensors, seen.size)
    errors = None if sd is None else _errors(sd, network)
    k_missing, k_start, k_path = jax.random.split(key, 3)
    lost = _lost(missing, network, key=k_missing)
    reading = np.clip(np.arange(-spin_up, stamps.size) // every, 0, seen.size - 1)
    x, y = _simulated(
        system,
        _first(system, start, key=k_start),
        _spans(stamps, begun, spin_up),
        key=k_path,
        where=None if network.where is None else jnp.asarray(network.where[reading], float),
        sd=None if errors is None else jnp.asarray(errors[reading], float),
    )
    _require_finite(system, np.concatenate([x, y], axis=1), stamps, spin_up)
    x, y = np.asarray(x)[spin_up:], np.asarray(y)[spin_up:][every - 1 :: every, network.columns]
    y = np.where(lost, np.asarray(np.nan, y.dtype), y)
    about = made_by("twin_experiment", system, key=key) | {"start_time": str(begun)}
    beside = None if errors is None else errors[:, network.columns].astype(y.dtype)
    return (
        _truth(system, stamps, x).assign_attrs(about),
        _readings(system, seen, network, y, beside).assign_attrs(about),
    )


@dataclass(frozen=True)
class Network:
    """What is read.

    Args:
        names: of the variables.
        columns: which channels are kept of those that the system's `observation` gives, shape (sensor,).
        readings: how many times they are read.
        channels: how many the system gives.
        positions: of the sensors of a field, shape (sensor, coordinate), or (reading, sensor, coordinate).
        where: what the system is told of them, shape (reading, sensor, coordinate); None for its own sensors.
    """

    names: tuple[str, ...]
    columns: NDArray[np.int64]
    readings: int
    channels: int
    positions: NDArray[np.float64] | None = None
    where: NDArray[np.float64] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Of the readings (reading, sensor)."""
        return self.readings, self.columns.size


_simulated = eqx.filter_jit(simulate)


def _clock(times: tuple[float, int] | ArrayLike) -> tuple[NDArray, np.datetime64]:
    """The times as datetimes in nanoseconds, and when the path starts."""
    if isinstance(times, tuple):
        if len(times) != 2 or not isinstance(times[1], Integral) or not times[0] > 0 < times[1]:
            raise ValueError(
                f"times={in_short(times)} is no tuple (step, count) of a positive step and a whole number: write "
                "(0.05, 400), or give the times themselves as an array."
            )
        times = float(times[0]) * np.arange(1, int(times[1]) + 1)
    given = np.asarray(times)
    if given.dtype.kind not in "iufM":
        raise TypeError(
            f"times={in_short(times)} are neither numbers nor datetimes: give a tuple (step, count), or an array "
            "of numbers or of type datetime64."
        )
    if given.ndim != 1 or not given.size:
        raise ValueError(f"times has shape {given.shape}: give at least one, along one axis.")
    if given.dtype.kind == "M":
        stamps, known = given.astype("datetime64[ns]"), ~np.isnat(given)
        begun = stamps[0]
    else:
        known, begun = (given >= 0) & (given <= LONGEST), EPOCH
        whole = np.rint(np.where(known, given, 0.0) * 1e9).astype(np.int64)
        stamps = begun + whole.astype("timedelta64[ns]")
    if not known.all():
        raise ValueError(
            f"times holds {given[~known][0]}: give datetimes, or numbers from 0 to {LONGEST:g}."
        )
    late = np.flatnonzero(np.diff(stamps) <= np.timedelta64(0, "ns"))
    if late.size:
        first, second = given[late[0] : late[0] + 2]
        raise ValueError(
            f"times must increase by a nanosecond or more, and {second} follows {first}: sort them, each once."
        )
    return stamps, begun


def _spans(stamps: NDArray, begun: np.datetime64, spin_up: int) -> Span:
    """The steps of the spin-up and those of the path."""
    steps = np.diff(stamps, prepend=begun) / np.timedelta64(1, "s")
    usual = np.median(steps[1:] if steps.size > 1 else steps)
    dt = jnp.asarray(np.concatenate([np.full(spin_up, usual), steps]), float)
    return Span(dt, jnp.zeros((dt.size, 0)))


def _network(
    system: AbstractNamed, sensors: ArrayLike | Sequence[str] | None, readings: int
) -> Network:
    names = system.channels()
    if isinstance(system, AbstractField):
        at, where = np.asarray(system.sensors(), float), None
        if sensors is not None:
            at = _positions(sensors, at.shape[1], readings)
            where = np.broadcast_to(at, (readings, *at.shape[-2:]))
        count = at.shape[-2]
        return Network(names, np.arange(count), readings, count, at, where)
    asked = names if sensors is None else tuple(np.atleast_1d(np.asarray(sensors)).tolist())
    if not asked or not set(asked) <= set(names) or len(set(asked)) < len(asked):
        raise ValueError(
            f"sensors={in_short(sensors)} must name channels of {type(system).__name__}, each once: it has "
            f"{', '.join(names)}."
        )
    columns = np.array([names.index(name) for name in asked])
    return Network(asked, columns, readings, len(names))


def _positions(sensors: object, coordinates: int, readings: int) -> NDArray[np.float64]:
    """Positions as (sensor, coordinate), or as (reading, sensor, coordinate) where they move."""
    try:
        at = np.asarray(sensors, float)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"sensors={in_short(sensors)} are no positions: a field is read at numbers in units of its grid."
        ) from error
    given = at.shape
    if coordinates == 1 and given == (readings, 1) and readings > 1:
        raise ValueError(
            f"sensors has shape {given}, which may be one sensor that moves or {readings} that stay: give "
            "(reading, sensor, 1) or (sensor,)."
        )
    if coordinates == 1 and given[1:] != (1,) and at.ndim < 3:
        at = at[..., None]
    stays, moves = at.ndim == 2, at.ndim == 3 and len(at) == readings
    fits = (stays or moves) and at.shape[-1] == coordinates and at.size > 0
    if not fits or not np.isfinite(at).all():
        raise ValueError(
            f"sensors has shape {given}: give finite positions of shape (sensor, {coordinates}), or "
            f"({readings}, sensor, {coordinates}) for sensors that move between the {readings} readings."
        )
    return at


def _errors(sd: ArrayLike, network: Network) -> NDArray[np.float64]:
    """Standard errors of all channels, shape (reading, channel), 0 of those that are not kept."""
    given, shape = np.asarray(sd, float), network.shape
    if given.shape not in ((), shape[1:], shape) or not (np.isfinite(given) & (given >= 0)).all():
        raise ValueError(
            f"sd={in_short(sd)} must be finite and not negative, and of shape (), {shape[1:]} or {shape}: one for "
            f"all, for each sensor, or for each reading; it has shape {given.shape}."
        )
    errors = np.zeros((network.readings, network.channels))
    errors[:, network.columns] = given
    return errors


def _lost(missing: ArrayLike, network: Network, *, key: Key) -> NDArray[np.bool_]:
    """Which readings are missing, shape (reading, sensor)."""
    given, shape = np.asarray(missing), network.shape
    if given.dtype == bool and given.shape == shape:
        return given
    shares = given.dtype.kind in "iuf" and given.shape in ((), shape[1:])
    if not shares or not ((given >= 0) & (given <= 1)).all():
        raise ValueError(
            f"missing={in_short(missing)} must be shares from 0 to 1 of shape () or {shape[1:]}, or a mask of "
            f"shape {shape}; it has shape {given.shape}."
        )
    return np.asarray(jax.random.uniform(key, shape)) < given


@eqx.filter_jit
def _drawn(system: AbstractNamed, channels: int, *, key: Key) -> Float[Array, " state"]:
    """A first state, at the end of a record in which nothing was read."""
    k_init, k_sample = jax.random.split(key)
    none = jnp.zeros((0, channels))
    context = Context(none, none.astype(bool), none, jnp.zeros((0, 0)))
    return system.init(context, key=k_init).sample(k_sample)


def _first(system: AbstractNamed, start: ArrayLike | None, *, key: Key) -> Float[Array, " state"]:
    own = _network(system, None, 1).channels
    if start is None:
        return _drawn(system, own, key=key)
    x0, wanted = jnp.asarray(start, float), eqx.filter_eval_shape(_drawn, system, own, key=key)
    if x0.shape != wanted.shape or not jnp.isfinite(x0).all():
        raise ValueError(
            f"start has shape {x0.shape}, and a state of {type(system).__name__} has {wanted.shape}, of finite "
            "numbers: give one, or None to draw it."
        )
    return x0


def _require_finite(system: object, path: NDArray, stamps: NDArray, spin_up: int) -> None:
    wrong = np.flatnonzero(~np.isfinite(path).all(axis=1)) - spin_up
    if wrong.size:
        when = "in the spin-up" if wrong[0] < 0 else f"from {stamps[wrong[0]]} on"
        raise ValueError(
            f"The path of {type(system).__name__} is not finite {when}: take shorter steps, or another start."
        )


def _places(system: AbstractField) -> dict[str, tuple]:
    """Coordinates of `place`: in a row the place itself, else its number with `place_0`, `place_1` beside it."""
    points = np.asarray(system.places(), float)
    if points.shape[1] == 1 and (np.diff(points[:, 0]) > 0).all():
        return {"place": ("place", points[:, 0], _words("place on the grid"), NEVER_MISSING)}
    return _numbered("place", "place", points)


def _numbered(dim: str, prefix: str, points: NDArray) -> dict[str, tuple]:
    """A numbered dimension, and where on the grid that lies which it numbers."""
    dims = (dim,) if points.ndim == 2 else ("time", dim)
    numbers = np.arange(points.shape[-2], dtype=np.int32)
    coords: dict[str, tuple] = {dim: (dim, numbers, _words(f"number of the {dim}"))}
    for i in range(points.shape[-1]):
        words = _words(f"coordinate {i} of the {dim} on the grid")
        coords[f"{prefix}_{i}"] = (dims, points[..., i], words)
    return coords


def _truth(system: AbstractNamed, stamps: NDArray, x: NDArray) -> xr.Dataset:
    kind, field = type(system).__name__, isinstance(system, AbstractField)
    coords = _places(system) if isinstance(system, AbstractField) else {}
    words = [_words(f"{name} of {kind}", "modelResult") for name in system.components()]
    ds = _labelled(system.components(), x, words, "place" if field else None, stamps, coords)
    return ds.assign_attrs(title=f"A path of {kind}", summary=f"The state of {kind} along a path.")


def _readings(
    system: AbstractNamed, seen: NDArray, network: Network, y: NDArray, errors: NDArray | None
) -> xr.Dataset:
    kind, names, at = type(system).__name__, network.names, network.positions
    dim, coords = (None, {}) if at is None else ("sensor", _numbered("sensor", "position", at))
    words = [_words(f"reading of {name} of {kind}", "modelResult") for name in names]
    ds = _labelled(names, y, words, dim, seen, coords)
    if errors is not None:
        said = "standard error of the reading of {}, on top of the sensor's own"
        words = [_words(said.format(name), "qualityInformation") for name in names]
        beside = tuple(f"{name}_sd" for name in names)
        ds = ds.merge(_labelled(beside, errors, words, dim, seen, coords))
        for name, sd in zip(names, beside, strict=True):
            ds[name].attrs["ancillary_variables"] = sd
    if at is not None:
        feature = "trajectory" if at.ndim == 3 else "timeSeries"
        ds["sensor"].attrs["cf_role"] = f"{feature.lower()}_id"
        ds.attrs["featureType"] = feature
    return ds.assign_attrs(
        title=f"Readings of {kind}",
        summary=f"What sensors read along a path of {kind}.",
        comment="Sensors have an error of their own; a variable that ends in _sd tells what comes on top of it.",
    )


def _labelled(
    names: tuple[str, ...],
    values: NDArray,
    words: list[dict],
    dim: str | None,
    stamps: NDArray,
    coords: dict,
) -> xr.Dataset:
    """A field along `dim`, or a variable for each column."""
    dims, columns = (("time", dim), values[None]) if dim else (("time",), values.T)
    clock = {"standard_name": "time", "long_name": "time", "axis": "T"}
    found = zip(names, columns, words, strict=True)
    return xr.Dataset(
        {name: (dims, column, attrs) for name, column, attrs in found},
        {"time": ("time", stamps, clock, {"dtype": "float64", **NEVER_MISSING}), **coords},
    )


def _words(long_name: str, content: str | None = None) -> dict[str, str]:
    said = {"long_name": long_name, "units": "1"}
    return said | (
        {"coverage_content_type": content, "cell_methods": "time: point"} if content else {}
    )


def made_by(verb: str, system: AbstractNamed, *, key: Key) -> dict[str, str]:
    """Attributes that tell what a path was made of.

    Args:
        verb: what made it.
        system: of which.
        key: all its randomness.
    """
    source = f"assim {importlib.metadata.version('assim')}"
    return {
        "Conventions": "CF-1.8",
        "source": f"simulation by {source}",
        "history": f"made by {verb} of {source}",
        "system": json.dumps(settings_of(system, own=True)),
        "key": json.dumps(np.asarray(jax.random.key_data(key)).tolist()),
    }
