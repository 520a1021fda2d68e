"""The drift of a population in the plane of two coordinates, and how uncertain it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from assim.plotting.style import QUIET, TRUTH, finish, label, new_axes
from assim.scoring.transported.clouds import AXIS, Clouded, Clouds, as_clouds

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SPREAD = "Oranges"


def plot_drift(
    drift: xr.DataArray,
    snapshots: Clouded | None = None,
    *,
    level: float = 0.9,
    ax: Axes | None = None,
) -> Axes:
    """Draw a drift on a grid of two coordinates: arrows of its mean over draws, on how uncertain its speed is.

    Args:
        drift: on two dimensions that are called as two coordinates are, on `coordinate` with their names, and on
            draws of any dimensions; units of the coordinates per time.
        snapshots: whose points are drawn under the arrows.
        level: of the credible interval of the speed, whose width is coloured.
        ax: where to draw; by default a new figure.

    Returns:
        The axes, with a bar of widths; of speeds where there are no draws.

    Raises:
        ValueError: a drift on another grid, or a level that is not between 0 and 1.
    """
    names = [] if AXIS not in drift.dims else [str(n) for n in drift[AXIS].values]
    pair = [str(dim) for dim in drift.dims if dim in names and dim in drift.coords]
    if len(pair) != 2 or not 0 < level < 1:
        raise ValueError(
            f"The drift lies on {dict(drift.sizes)}, and level={level}: give it on two dimensions with values, "
            f"called as two of its coordinates {names} are, on '{AXIS}', and a level between 0 and 1."
        )
    arrows = drift.sel({AXIS: pair}).transpose(..., *pair[::-1], AXIS)
    draws = arrows.values.reshape(-1, *arrows.shape[-3:])
    speed = np.linalg.norm(draws, axis=-1)
    units = [str(held.attrs.get("units", "")) for held in (drift, drift[pair[0]], drift[pair[1]])]
    words, shade = "speed", speed[0]
    if len(draws) > 1:
        words = f"width of the {100 * level:g} % interval of the speed"
        shade = np.subtract(*np.quantile(speed, [(1 + level) / 2, (1 - level) / 2], axis=0))
    axes, mean = new_axes(ax), draws.mean(axis=0)
    grid = drift[pair[0]].values, drift[pair[1]].values
    area = axes.pcolormesh(*grid, shade, cmap=SPREAD, vmin=0, shading="nearest")
    frame = axes.axis()
    if snapshots is not None:
        plane = Clouds(np.empty(0), tuple(pair), tuple(units[1:]), ())
        for cloud in as_clouds(snapshots, who="snapshots", like=plane).each:
            axes.scatter(cloud.x[:, 0], cloud.x[:, 1], s=8, color=QUIET, alpha=0.5, lw=0)
    axes.quiver(*grid, mean[..., 0], mean[..., 1], angles="xy", color=TRUTH, width=0.003)
    axes.figure.colorbar(area, ax=axes, label=label(words, units[0]))
    axes.axis(frame)
    axes.set(xlabel=label(pair[0], units[1]), ylabel=label(pair[1], units[2]))
    return finish(axes)
