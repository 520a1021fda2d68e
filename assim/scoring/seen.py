"""What the background is read as at the sensors, and the error that the filter assumed of the readings.

A filter writes the standard deviation of an innovation, ``sqrt(H B H' + R)``, not its two parts. Where a channel
reads a variable of the state directly, or a grid by linear interpolation, the first part follows from the
background and ``R`` is what is left. Whether it does is not taken on trust: the innovation that follows from it
must be the one that the filter wrote.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import product

import numpy as np
import xarray as xr

from assim.scoring.assimilated import (
    difference,
    held_members,
    innovation,
    members,
    moments,
    variables,
)
from assim.scoring.between import read_between
from assim.scoring.grids import grid_axes

TOLERANCE = 0.05
"""Of the filter's own standard deviation, by which two innovations may differ that are the same."""
SHARE = 0.95
SAME_PLACE = 1e-5
NEGLIGIBLE = 1e-6


def seen_members(tree: xr.DataTree, channel: str) -> xr.DataArray | None:
    """Give what each member of the background is read as.

    Args:
        tree: an assimilation that kept its members.
        channel: of the innovations.

    Returns:
        (time, ..., member) in the units of the channel, without the error of a reading; None where the channel
        is no reading of a variable of the state.

    Raises:
        ValueError: if no members were kept.
    """
    if not _reads_the_state(tree, channel):
        return None
    return _at_sensors(tree, channel, members(tree, "background", channel))


def error_variance(
    tree: xr.DataTree, channel: str, error: Mapping[str, float] | None = None
) -> xr.DataArray | None:
    """Give the variance of the error that the filter assumed of the readings.

    Args:
        tree: an assimilation.
        channel: of the innovations.
        error: standard deviations by channel, units of the channel, which are then taken as they are.

    Returns:
        (time, ...) in the units of the channel squared; None where it cannot be told from the spread.

    Raises:
        ValueError: if a given standard deviation is not positive.
    """
    told = innovation(tree, channel)
    if error is not None and channel in error:
        if not error[channel] > 0:
            raise ValueError(
                f"error={{'{channel}': {error[channel]}}}: a standard deviation is more than 0, in the units of "
                f"'{channel}'."
            )
        return xr.full_like(told["sd"], float(error[channel]) ** 2)
    if "error" in told:
        return told["error"] ** 2
    if not _reads_the_state(tree, channel):
        return None
    _, sd = moments(tree, "background", channel)
    spread = _at_sensors(tree, channel, sd, between=False)
    if spread is None and held_members(tree, "background", channel):
        paths = _at_sensors(tree, channel, members(tree, "background", channel))
        spread = None if paths is None else paths.std("member", ddof=1)
    if spread is None:
        return None
    left = told["sd"] ** 2 - spread**2
    if not float(left.mean()) > NEGLIGIBLE * float((told["sd"] ** 2).mean()):
        return None
    return left.clip(min=0)


def _reads_the_state(tree: xr.DataTree, channel: str) -> bool:
    """Say whether reading minus background, read directly, is the innovation that was written."""
    if not {"background", "observed_data"} <= set(tree.children):
        return False
    if channel not in variables(tree) or channel not in tree["observed_data"].data_vars:
        return False
    read = tree["observed_data"].to_dataset()[channel]
    foreseen = _at_sensors(tree, channel, moments(tree, "background", channel)[0])
    told = innovation(tree, channel)
    if foreseen is None or set(foreseen.dims) != set(read.dims):
        return False
    apart = abs(difference(difference(read, foreseen), told["residual"])) / told["sd"]
    known = apart.values[np.isfinite(apart.values)]
    return bool(known.size and np.mean(known <= TOLERANCE) >= SHARE)


def _at_sensors(
    tree: xr.DataTree, channel: str, field: xr.DataArray, *, between: bool = True
) -> xr.DataArray | None:
    """A variable of the state at the sensors of the channel of the same name, None where there is no way.

    A grid is read between its places where `between` allows it, which makes sense of values and not of a spread.
    """
    read = tree["observed_data"].to_dataset()[channel]
    field, axes = field.reset_coords(drop=True), grid_axes(field)
    if axes and "place" not in field.dims:
        where = _coordinates(read, "position", "no such coordinate")
        if where is None or where.sizes["coordinate"] != len(axes):
            return None
        return read_between(field, where, axes, _closes(tree, len(axes)), between=between)
    if "place" not in field.dims:
        return field
    sensors = [str(dim) for dim in read.dims if dim not in field.dims] or ["place"]
    if len(sensors) > 1:
        return None
    where = _coordinates(read, "position", "no such coordinate")
    if where is None:
        if read.sizes[sensors[0]] != field.sizes["place"]:
            return None
        return field.rename(place=sensors[0]).drop_vars(sensors[0], errors="ignore")
    places = _coordinates(tree["background"].to_dataset(), "place", "place")
    if places is None or places.sizes["coordinate"] != where.sizes["coordinate"]:
        return None
    field, points = field.drop_vars("place", errors="ignore"), places.transpose("place", ...)
    distance, number = _nearest(points.values, where)
    if bool((distance < SAME_PLACE).all()):
        return _picked(field, number)
    return _interpolated(field, points.values, where) if between else None


def _closes(tree: xr.DataTree, axes: int) -> tuple[bool, ...]:
    """Whether each axis of the grid closes, by the settings of what was assimilated into."""
    told = json.loads(str(tree.attrs.get("assimilated", "{}"))).get("periodic", True)
    return tuple(map(bool, told)) if isinstance(told, list) else (bool(told),) * axes


def _coordinates(held: xr.Dataset | xr.DataArray, prefix: str, alone: str) -> xr.DataArray | None:
    """Where things are, along `coordinate`: from `prefix_0`, `prefix_1`, or from one coordinate `alone`."""
    names = [f"{prefix}_{i}" for i in range(3) if f"{prefix}_{i}" in held.coords] or [alone]
    if names[0] not in held.coords:
        return None
    parts = [held.coords[name].reset_coords(drop=True).astype(float) for name in names]
    bare = [part.drop_vars(list(part.coords)).fillna(0.0) for part in parts]
    return xr.concat(bare, "coordinate").transpose(..., "coordinate")


def _nearest(points: np.ndarray, where: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """The distance to the nearest place, and its number."""
    from scipy.spatial import cKDTree

    distance, number = cKDTree(points).query(where.values)
    dims = where.dims[:-1]
    return xr.DataArray(distance, dims=dims), xr.DataArray(number, dims=dims)


def _picked(field: xr.DataArray, number: xr.DataArray) -> xr.DataArray:
    """The field at places by number, which may be others at every time."""
    if "time" not in number.dims:
        return field.isel(place=number)
    rows = xr.DataArray(np.arange(field.sizes["time"]), dims="time")
    return field.isel(place=number, time=rows)


def _interpolated(
    field: xr.DataArray, points: np.ndarray, where: xr.DataArray
) -> xr.DataArray | None:
    """The field between the places of a periodic grid, None where these make no grid."""
    axes = [np.unique(axis) for axis in points.T]
    sizes = [axis.size for axis in axes]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))
    steps = [np.diff(axis) for axis in axes]
    if min(sizes) < 2 or grid.shape != points.shape or not np.allclose(grid, points):
        return None
    if not all(np.allclose(step, step[0]) for step in steps):
        return None
    parts = []
    for corner in product((0, 1), repeat=len(axes)):
        weight = xr.ones_like(where.isel(coordinate=0))
        number = xr.zeros_like(weight, dtype=int)
        for i, far in enumerate(corner):
            at = ((where.isel(coordinate=i) - axes[i][0]) / steps[i][0]) % sizes[i]
            left = np.floor(at)
            weight = weight * (at - left if far else 1 - (at - left))
            number = number * sizes[i] + (left.astype(int) + far) % sizes[i]
        parts.append(_picked(field, number) * weight)
    return sum(parts[1:], parts[0])
