r"""A field on a regular grid as sensors between its places read it: linear along each axis, land left out.

$$y(x) = \frac{\sum_c w_c(x)\, f(x_c)}{\sum_c w_c(x)}, \qquad w_c(x) = \prod_i (1 - |x_i - x_{c,i}| / h_i)$$

over the corners c of the cell of x that are no land. An axis that closes goes on at its first place; beyond the end
of one that does not its last place is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import xarray as xr

SAME_PLACE = 1e-5
"""Of a step: nearer than this a sensor stands at a place."""


def read_between(
    field: xr.DataArray,
    where: xr.DataArray,
    axes: Sequence[str],
    closes: Sequence[bool],
    *,
    between: bool = True,
) -> xr.DataArray | None:
    """Read a field at the positions of sensors.

    Args:
        field: on (time, ...) and the axes, any units, NaN on land.
        where: (sensor, coordinate) or (time, sensor, coordinate), units of the axes in their order.
        axes: of the grid, coordinates at equal steps.
        closes: whether each axis comes back to its beginning.
        between: whether it may be read between its places, which makes sense of values and not of a spread.

    Returns:
        On (time, sensor, ...), the same units; None where a sensor stands between places and must not.
    """
    at = []
    for i, (dim, closed) in enumerate(zip(axes, closes, strict=True)):
        places, size = field[dim].values.astype(float), field.sizes[dim]
        position = (where.isel(coordinate=i, drop=True) - places[0]) / (places[1] - places[0])
        near = np.rint(position)
        position = xr.where(abs(position - near) < SAME_PLACE, near, position)
        at.append(position if closed else position.clip(0, size - 1))
    whole = all(bool((position == np.floor(position)).all()) for position in at)
    if not whole and not between:
        return None
    rows = {}
    if "time" in where.dims:
        rows = {"time": xr.DataArray(np.arange(field.sizes["time"]), dims="time")}
    bare = field.drop_vars(list(axes))
    seen = total = xr.DataArray(0.0)
    for corner in product((0, 1) if not whole else (0,), repeat=len(axes)):
        weight, chosen = xr.ones_like(at[0]), dict(rows)
        for far, position, dim, closed in zip(corner, at, axes, closes, strict=True):
            left, size = np.floor(position).astype(int), field.sizes[dim]
            weight = weight * (position - left if far else 1 - (position - left))
            chosen[dim] = (left + far) % size if closed else (left + far).clip(max=size - 1)
        value = bare.isel(chosen)
        seen = seen + weight * value.fillna(0.0)
        total = total + weight * value.notnull()
    told = seen / total.where(total > 0)
    return told.transpose("time", *(dim for dim in at[0].dims if dim != "time"), ...)
