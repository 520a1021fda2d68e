"""`regrid`: a posterior of fields on another grid of the same domain, its parameters as they are."""

import json
from dataclasses import replace

import numpy as np
import xarray as xr

from assim.data.gridding import Grid, grid_along
from assim.model import AbstractResolving
from assim.tree import arrays_dataset, restore

ALIKE = 0.01
"""Share of a domain by which its length may differ on another grid, and of a step by which its start may."""


def regrid(post: xr.DataTree, like: xr.Dataset) -> xr.DataTree:
    """A posterior that holds on the grid of another dataset: trained on one resolution, run on another.

    Args:
        post: what `assim.infer` gave for a model whose parameters know nothing of the grid: `SemilinearOperator`.
        like: a dataset with coordinates along the axes of the fields, of the same domain, in the same units.

    Returns:
        The posterior with the same draws; what was told of single places stays behind.

    Raises:
        TypeError: a model that holds on its own grid alone.
        ValueError: no such axes, or another domain.
    """
    fitted = restore(post)
    grid = fitted.layout.grid
    if not isinstance(fitted.model, AbstractResolving) or grid is None:
        raise TypeError(
            f"A {type(fitted.model).__name__} holds on the grid that it was fitted to: fit it again on the other, "
            "or use SemilinearOperator."
        )
    other = replace(grid_along(like, grid.dims), units=grid.units)
    _require_domain(grid, other)
    layout = replace(fitted.layout, grid=other, origin=fitted.layout.origin or grid)
    constants = fitted.model.regridded(fitted.constants, fitted.layout, other)
    # draws of a prior have no sample_stats
    kept = [name for name in ("posterior", "sample_stats") if name in post.children]
    groups = {name: post[name].to_dataset() for name in kept} | {
        "constant_parameters": arrays_dataset(
            constants={k: np.asarray(v) for k, v in constants.items()}
        ),
    }
    found = xr.DataTree.from_dict({f"/{name}": ds for name, ds in groups.items()})
    found.attrs = dict(post.attrs) | {"layout": json.dumps(layout.to_dict())}
    return found


def _require_domain(grid: Grid, other: Grid) -> None:
    for i, dim in enumerate(grid.dims):
        long, short = grid.lengths[i], other.lengths[i]
        coarse = max(abs(grid.steps[i]), abs(other.steps[i]))
        turned = np.sign(grid.steps[i]) != np.sign(other.steps[i])
        away = abs(grid.starts[i] - other.starts[i])
        if turned or abs(long - short) > ALIKE * long or away > (0.5 + ALIKE) * coarse:
            raise ValueError(
                f"Along '{dim}' the fit spans {long:g} from {grid.starts[i]:g} and the other grid {short:g} from "
                f"{other.starts[i]:g}: its waves are those of its own domain, so give the same, at another step."
            )
