"""Fields on a grid: which dimensions are its axes, and what each place weighs."""

from __future__ import annotations

import numpy as np
import xarray as xr

from assim.data.gridding import REPEATED, folded
from assim.scoring.assimilated import stages, variables
from assim.scoring.pairing import predictions

NO_AXIS = REPEATED | {"run", "trajectory", "profile", "time", "init_time", "lead_time"}
"""Dimensions that number things, or time."""
LATITUDES = {"degrees_north", "degree_north", "degrees_n", "degree_n", "degreesn", "degreen"}


def grid_axes(field: xr.DataArray | xr.Dataset) -> tuple[str, ...]:
    """Name the dimensions that are axes of a grid: coordinates in numbers, of what is neither counted nor time."""
    return tuple(
        str(dim)
        for dim in field.dims
        if str(dim).lower() not in NO_AXIS
        and field.sizes[dim] > 1
        and (dim in field.indexes or dim == "place")
        and field[dim].dtype.kind in "fiu"
        and not (dim == "place" and "place_1" in field.coords)
    )


def laid_out(field: xr.DataArray) -> xr.DataArray:
    """Fold a field whose places stand in one row, where they make a whole square; any other stays as it is."""
    sides = [c for c in ("place_0", "place_1", "place_2") if c in field.coords]
    if "place" not in field.dims or not sides:
        return field
    sizes = [np.unique(field[side]).size for side in sides]
    return folded(field) if np.prod(sizes) == field.sizes["place"] else field


def field_axes(tree: xr.DataTree) -> dict[str, tuple[str, ...]]:
    """Name the fields of a forecast or an assimilation, and the axes of the grid on which each lies.

    Args:
        tree: what `assim.forecast`, `assim.assimilate` or `assim.reconstruct` gives.

    Returns:
        Axes by variable; variables that lie on no grid are left out.

    Raises:
        ValueError: if it is neither.
    """
    if "predictions" in tree.children:
        held = {str(n): v for n, v in predictions(tree).data_vars.items()}
    else:
        last = tree[stages(tree)[-1]].to_dataset()
        held = {name: last[f"{name}_mean"] for name in variables(tree)}
    axes = {name: grid_axes(laid_out(field)) for name, field in held.items()}
    return {name: found for name, found in axes.items() if found}


def area_weights(field: xr.DataArray | xr.Dataset) -> xr.DataArray:
    """Give the weight of each place: the cosine of the latitude where an axis is one, else 1.

    Args:
        field: on a grid, a latitude in degrees_north.

    Returns:
        On the latitude, or a single 1.
    """
    weights = xr.DataArray(1.0)
    for dim in grid_axes(field):
        units, name = (str(field[dim].attrs.get(k, "")) for k in ("units", "standard_name"))
        if units.lower() in LATITUDES or name == "latitude":
            weights = weights * np.cos(np.deg2rad(field[dim])).clip(min=0.0)
    return weights.drop_attrs()
