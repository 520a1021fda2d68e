"""Where fields are rolled out from: complete fields of a record, or the members of an analysis."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from assim.data.driving import Controls
from assim.data.gridding import Fields, fields_of, in_units_of
from assim.gridded import controls_for, lasting
from assim.model import AbstractGridded
from assim.series import Layout
from assim.tree import Fitted


@dataclass(frozen=True)
class Begun:
    """Where fields are rolled out from.

    Args:
        times: when a field is known, shape (time,), datetime64[ns].
        values: shape (run, time, field, place), or (member, time, field, place) of an analysis; NaN where unknown.
        runs: label of each run, or None where there is one.
        members: whether the first axis counts members.
        whole: whether every place with sea is known, shape (time,).
        controls: what drives them, there and beyond.
    """

    times: np.ndarray
    values: np.ndarray
    runs: tuple | None
    members: bool
    whole: np.ndarray
    controls: Controls


def begin_of(
    fitted: Fitted, given: xr.Dataset | xr.DataTree | None, plan: xr.Dataset | None = None
) -> Begun:
    """The fields that a forecast may start from.

    Args:
        fitted: the posterior.
        given: fields on the grid of the fit, or what `assimilate` gave.
        plan: what drives them; None where the dataset of fields tells.

    Raises:
        ValueError: nothing, another grid, an analysis without members.
    """
    layout = fitted.layout
    if given is None:
        raise ValueError(
            "A model of fields is rolled out from a field: give a dataset of complete fields, or what "
            "assim.assimilate made of the readings of sensors."
        )
    if isinstance(given, xr.DataTree):
        return _from_analysis(fitted, given, _driven(fitted, plan))
    fields = in_units_of(fields_of(given, layout.channels), fitted.frame["attrs"])
    _require_grid(layout, fields)
    known = np.isfinite(fields.values)[..., np.asarray(fitted.constants["sea"])]
    whole = lasting(known.all(axis=(0, 2, 3)), _memory(fitted))
    controls = _driven(fitted, given if plan is None else plan)
    return Begun(fields.times, fields.values, fields.runs, False, whole, controls)


def _from_analysis(fitted: Fitted, tree: xr.DataTree, controls: Controls) -> Begun:
    layout, sea = fitted.layout, np.asarray(fitted.constants["sea"])
    if "analysis" not in tree.children:
        raise ValueError(
            f"The tree has no group 'analysis' (it has {', '.join(tree.children) or 'none'}): give what "
            "assim.assimilate made."
        )
    grid, ds = layout.grid, tree["analysis"].to_dataset()
    assert grid is not None
    if lost := [n for n in layout.channels if n not in ds or "draw" not in ds[n].dims]:
        raise ValueError(
            f"The analysis holds no members of '{lost[0]}': assimilate again, without members=0."
        )
    if "log_weight" in ds:
        raise ValueError(
            "The members of the analysis have weights: roll out that of an ensemble filter, whose members weigh "
            "alike."
        )
    order = ("chain", "draw", "time", *grid.dims)
    if absent := [d for d in grid.dims if d not in ds.dims]:
        raise ValueError(f"The analysis has no axis '{absent[0]}': it is of another grid.")
    for axis, dim in enumerate(grid.dims):
        at = grid.axis(axis)
        if ds.sizes[dim] != at.size or not np.allclose(
            ds[dim], at, atol=1e-3 * abs(grid.steps[axis])
        ):
            raise ValueError(
                f"The analysis lies at other places along '{dim}' than the fields of the fit."
            )
    stacked = np.stack([ds[n].transpose(*order).values for n in layout.channels], axis=3)
    values = stacked.reshape(-1, stacked.shape[2], len(layout.channels), grid.places)
    whole = lasting(np.isfinite(values[..., sea]).all(axis=(0, 2, 3)), _memory(fitted))
    times = ds["time"].values.astype("datetime64[ns]")
    return Begun(times, values, None, True, whole, controls)


def _driven(fitted: Fitted, plan: xr.Dataset | None) -> Controls:
    assert isinstance(fitted.model, AbstractGridded)
    return controls_for(fitted.model, plan, fitted.frame)


def _memory(fitted: Fitted) -> int:
    assert isinstance(fitted.model, AbstractGridded)
    return fitted.model.memory()


def _require_grid(layout: Layout, fields: Fields) -> None:
    if fields.grid != layout.grid:
        assert layout.grid is not None
        raise ValueError(
            f"The fields lie on {fields.grid.sizes} places along {', '.join(fields.grid.dims)} that begin at "
            f"{fields.grid.starts}, and those of the fit on {layout.grid.sizes} along "
            f"{', '.join(layout.grid.dims)} that begin at {layout.grid.starts}: bring them to that grid, as "
            "ds.interp(...)."
        )
