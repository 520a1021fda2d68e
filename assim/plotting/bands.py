"""Bands of paths through snapshots, each coordinate along time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from assim.plotting.fan import LEVELS
from assim.plotting.style import PALETTE, TRUTH, finish, label, time_axis, tint
from assim.scoring.transported.clouds import Clouded, as_clouds

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANEL = (6.4, 2.0)


def plot_bands(
    paths: Clouded,
    snapshots: Clouded | None = None,
    *,
    levels: Sequence[float] = LEVELS,
    figure: Figure | None = None,
) -> Figure:
    """Draw the central bands of paths and their median for each coordinate, with the points of snapshots.

    Paths of many draws of the parameters make credible bands: they hold what is not known of the parameters, who
    goes with whom, and chance. What weighs more counts for more.

    Args:
        paths: a variable for each coordinate, on `time` and any dimensions of points such as `sample` and `draw`;
            perhaps a `weight`.
        snapshots: on (time, sample), in any units that can be made of those of the paths.
        levels: probabilities of the central bands.
        figure: where to draw; by default a new one.

    Returns:
        The figure, a row for each coordinate.

    Raises:
        ValueError: positions that cannot be read, or a level that is not between 0 and 1.
    """
    import matplotlib.pyplot as plt

    if not levels or not all(0 < level < 1 for level in levels):
        raise ValueError(f"levels={levels}: give probabilities between 0 and 1, as {LEVELS}.")
    made = as_clouds(paths, who="paths")
    seen = None if snapshots is None else as_clouds(snapshots, who="snapshots", like=made)
    looks = [] if seen is None else list(zip(seen.times, seen.each, strict=True))
    rows = len(made.coordinates)
    if figure is None:
        figure = plt.figure(figsize=(PANEL[0], PANEL[1] * rows), layout="constrained")
    panels = figure.subplots(rows, 1, squeeze=False, sharex=True)[:, 0]
    wide = sorted(levels, reverse=True)
    shares = [0.5, *((1 - p) / 2 for p in wide), *((1 + p) / 2 for p in wide)]
    told = np.stack([_quantiles(cloud.x, cloud.weight, shares) for cloud in made.each], axis=1)
    shades = np.linspace(0.22, 0.5, len(wide))
    for c, axes in enumerate(panels):
        middle, low, high = told[0, :, c], *np.split(told[1:, :, c], 2)
        for n, level in enumerate(wide):
            style = {"color": tint(PALETTE[0], shades[n]), "label": f"{100 * level:g} % interval"}
            axes.fill_between(made.times, low[n], high[n], lw=0, **style)
        axes.plot(made.times, middle, color=PALETTE[0], lw=1.5, label="median")
        for k, (time, cloud) in enumerate(looks):
            at = np.repeat(time, len(cloud))
            axes.plot(at, cloud.x[:, c], ".", color=TRUTH, ms=2, label="" if k else "snapshot")
        axes.set_ylabel(label(made.coordinates[c], made.units[c]))
    if made.times.dtype.kind == "M":
        time_axis(panels[-1])
    finish(panels[0])
    return figure


def _quantiles(x: np.ndarray, weight: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """Of weighed points, shape (share, coordinate)."""
    return np.quantile(x, shares, axis=0, weights=weight, method="inverted_cdf")
