"""A fitted model of fields and the readings of its sensors, ready for a filter: one draw for each member."""

import dataclasses
import warnings

import jax.numpy as jnp
import numpy as np
import xarray as xr

from assim.assimilation.augmenting import Drawn
from assim.assimilation.drawing import drawn, side_by_side, spread_draws
from assim.assimilation.scene import AsItIs, Scene, Table, Units
from assim.data.clockwork import JITTER
from assim.data.columns import Columns
from assim.data.driving import Controls
from assim.data.gridding import Grid
from assim.data.units import agree, convert, convert_difference, warn_of_none
from assim.filters.base import Dynamics
from assim.gridded import controls_for, inputs_of, require_known
from assim.model import AbstractGridded
from assim.observing import NOTHING, Observed, observe_system
from assim.statespace import AbstractObserver, AbstractOnGrid
from assim.tree import Fitted
from assim.types import Key


def of_fields(
    fitted: Fitted,
    ds: xr.Dataset,
    size: int | None,
    *,
    since: np.datetime64 | None,
    whole: bool,
    key: Key,
) -> Scene:
    """A posterior of a model of fields, and its record.

    Args:
        fitted: the posterior.
        ds: readings of its fields on (time, sensor), or at all places, file units; sensors are told by
            `position_0`, ..., or by coordinates of the names of the axes.
        size: members of the filter, None where it has none.
        since: time of the state before the first reading.
        whole: whether the filter draws whole members again, whose parameters would have to go with them.
        key: of the first states.

    Raises:
        TypeError: a filter that cannot carry draws.
        ValueError: a filter that draws members again, of several draws; a record that the model cannot be seen in.
    """
    model, grid = fitted.model, fitted.layout.grid
    assert isinstance(model, AbstractGridded) and grid is not None
    count = int(np.prod(next(iter(fitted.sites.values())).shape[:2]))
    if whole and count > 1:
        raise ValueError(
            f"A particle filter draws whole members again, and a {type(model).__name__} has too many parameters to "
            f"go with them: use an ensemble filter, or a posterior of one draw (this one has {count})."
        )
    several, sites = side_by_side(fitted)
    if size is not None:
        sites = spread_draws(fitted.sites, size)
    dynamics, members = drawn(
        model, fitted.layout, fitted.constants, None, sites, None, None, NOTHING, key
    )
    one, first = dynamics.one, Drawn(members)
    assert isinstance(one, AbstractOnGrid)
    if size is None and not isinstance(one, AbstractObserver):
        raise TypeError(
            f"A filter without members cannot carry the draws of a {type(model).__name__} without a gain: use "
            "ETKF, LETKF, EnKF or DEnKF, or fit it with gain=models.Gain() for the Observer."
        )
    if count == 1:
        dynamics = Dynamics(one)
        first = one.init(NOTHING, key=key) if size is None else first
    elif size is None:
        dynamics = dataclasses.replace(dynamics, each=False)
    placed = _placed(_in_units_of_fit(fitted, ds), grid)
    seen = observe_system(one, placed, since, name=type(model).__name__)
    where = seen.where if seen.cycles.where is None else seen.cycles.where
    if where is not None:
        _require_at_sea(one, np.broadcast_to(where, (*seen.y.shape, where.shape[-1])), seen)
    _warn_of_spans(fitted, seen)
    controls = controls_for(model, ds, fitted.frame)
    u = inputs_of(model, controls, seen.times, fitted.layout.step)
    require_known(u, controls, seen.times)
    _require_one_run(u, controls)
    return Scene(
        dataclasses.replace(dynamics, where=seen.where),
        first,
        seen.times,
        dataclasses.replace(seen.cycles, u=jnp.asarray(u[0], members.dtype)),
        seen.y,
        seen.columns,
        AsItIs(size=members.shape[1]),
        _tables(fitted, grid),
        several=several if size is None and count > 1 else None,
    )


def _require_one_run(u: np.ndarray, controls: Controls) -> None:
    if len(u) > 1:
        raise ValueError(
            f"The controls {', '.join(controls.names)} have {len(u)} runs, and readings are of one: choose it, as "
            "ds.isel(run=0)."
        )


def _in_units_of_fit(fitted: Fitted, ds: xr.Dataset) -> xr.Dataset:
    """Readings, and their errors, in the units of the fields of the fit; an error has those of its reading."""
    for name in (n for n in fitted.layout.channels if n in ds):
        wanted = str(fitted.frame["attrs"].get(name, {}).get("units", ""))
        read = str(ds[name].attrs.get("units", ""))
        if wanted and not read:
            warn_of_none(name, wanted, stacklevel=5)
        for held, change in ((name, convert), (f"{name}_sd", convert_difference)):
            own = str(ds[held].attrs.get("units", read)) if held in ds else ""
            if own and wanted and not agree(own, wanted):
                attrs = ds[held].attrs | {"units": wanted}
                ds = ds.assign({held: change(ds[held], own, wanted).assign_attrs(attrs)})
    return ds


def _placed(ds: xr.Dataset, grid: Grid) -> xr.Dataset:
    """Coordinates of sensors with the names of the axes as positions, longitudes as the grid counts them."""
    held, places = set(ds.variables), {dim: f"position_{i}" for i, dim in enumerate(grid.dims)}
    if set(places) <= held - set(ds.dims) and not held & set(places.values()):
        ds = ds.rename(places)
    for axis, name in enumerate(places.values()):
        unit, half = grid.units[axis], 0.5 * abs(grid.steps[axis])
        if name in ds and unit.startswith("degree") and unit.endswith(("east", "E")):
            low, high = grid.axis(axis).min() - half, grid.axis(axis).max() + half
            again = low + (ds[name] - low) % 360.0
            off = ((ds[name] < low) | (ds[name] > high)) & (again <= high)
            ds = ds.assign_coords({name: ds[name].where(~off, again)})
    return ds


def _require_at_sea(ssm: AbstractOnGrid, where: np.ndarray, seen: Observed) -> None:
    """Refuse sensors that read where there is nothing: beyond an end of the grid, or on land."""
    grid, mask = ssm.grid, np.asarray(seen.cycles.mask)
    where = where[..., : len(grid.sizes)]  # behind that may be the number of the field
    sensors = mask.shape[1] // len(seen.columns.names)
    position = (where - np.array(grid.starts)) / np.array(grid.steps)
    off = ~np.array(ssm.periodic) & ((position < -0.5) | (position > np.array(grid.sizes) - 0.5))
    if lost := np.argwhere(off.any(axis=-1) & mask).tolist():
        ends = [f"{d} {grid.axis(i)[0]:g} to {grid.axis(i)[-1]:g}" for i, d in enumerate(grid.dims)]
        raise ValueError(
            f"{_read(grid, where, lost[0], sensors)} and the grid spans {', '.join(ends)}: leave that sensor "
            "out, or check its coordinates."
        )
    angle = np.array([unit.startswith("degree") for unit in grid.units])
    far = (
        ~angle
        & np.array(ssm.periodic)
        & (np.abs(position - 0.5 * np.array(grid.sizes)) > grid.sizes)
    )
    if lost := np.argwhere(far.any(axis=-1) & mask).tolist():
        warnings.warn(
            f"{_read(grid, where, lost[0], sensors)}, more than once round the grid, and is taken for the place "
            "there: check its coordinates and their units.",
            UserWarning,
            stacklevel=5,
        )
    nearest = np.round(position).astype(int) % np.array(grid.sizes)
    place = np.ravel_multi_index(tuple(np.moveaxis(nearest, -1, 0)), grid.sizes)
    if lost := np.argwhere(~np.asarray(ssm.sea)[place] & mask).tolist():
        raise ValueError(
            f"{_read(grid, where, lost[0], sensors)}, where the fields of the fit are missing throughout (land): "
            "leave that sensor out, or check its coordinates."
        )


def _warn_of_spans(fitted: Fitted, seen: Observed) -> None:
    """Say where readings lie further apart than the fields that were learned from, or much nearer."""
    assert isinstance(fitted.model, AbstractGridded)
    dt = np.asarray(seen.cycles.span.dt)[1:]
    shortest, longest = (float(f(dt)) for f in (np.min, np.max)) if dt.size else (np.inf, 0.0)
    least, most = (at * fitted.layout.step for at in fitted.model.trusted())
    if shortest < (1.0 - JITTER) * least:
        warnings.warn(
            f"Readings lie {shortest:g} s apart, and the fields of the fit {fitted.layout.step:g} s: a model that "
            "learned such steps is off in shorter ones; bring readings to its clock, as "
            "ds.resample(time=...).mean(), or fit a record of such steps with spans=.",
            UserWarning,
            stacklevel=5,
        )
    if longest > (1.0 + JITTER) * most:
        warnings.warn(
            f"Readings lie up to {longest:g} s apart, and the fields of the fit {fitted.layout.step:g} s: insert "
            "rows without readings at that step (ds.reindex(time=...)), so that the model steps as it learned.",
            UserWarning,
            stacklevel=5,
        )


def _read(grid: Grid, where: np.ndarray, lost: list[int], sensors: int) -> str:
    """Which sensor a channel is, and where it reads."""
    time, channel = lost
    at = zip(grid.dims, where[time, channel], strict=True)
    return f"Sensor {channel % sensors} reads at {', '.join(f'{d} {v:g}' for d, v in at)}"


def _tables(fitted: Fitted, grid: Grid) -> tuple[Table, ...]:
    """Each field on its grid."""
    attrs, count = fitted.frame["attrs"], grid.places
    land = ~np.asarray(fitted.constants["sea"])
    blank = land if land.any() else None
    shape = tuple(zip(grid.dims, grid.sizes, strict=True))
    return tuple(
        Table(
            Columns((name,), "place", grid.coords(), {name: attrs.get(name, {})}, shape, blank),
            slice(i * count, (i + 1) * count),
            Units(),
        )
        for i, name in enumerate(fitted.layout.channels)
    )
