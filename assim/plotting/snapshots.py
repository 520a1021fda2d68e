"""Snapshots of a population and what models make of them: paths in between, and marginals at held-out times."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from assim.plotting.belief import stamp
from assim.plotting.style import PALETTE, QUIET, choose, finish, label, lead_axis, new_axes, tint
from assim.scoring.transported.clouds import Clouded, Kind, as_clouds, as_positions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = "viridis"
BINS, LEVELS = 20, 200
TAIL = 0.15
"""Of the range of a cloud, on either side, where its density is drawn too."""
PANEL = (2.6, 1.9)


def plot_trajectories(
    paths: Clouded,
    snapshots: Clouded | None = None,
    x: str | None = None,
    y: str | None = None,
    *,
    most: int = 100,
    seed: int = 0,
    ax: Axes | None = None,
) -> Axes:
    """Draw paths in the plane of two coordinates, coloured by time, and over them the points of snapshots alike.

    What weighs less is fainter: a path of which particles are lost fades away.

    Args:
        paths: a variable for each coordinate, on `time` and any dimensions of points such as `sample` and `draw`;
            perhaps a `weight`.
        snapshots: on (time, sample), in any units that can be made of those of the paths.
        x: the coordinate to the right; by default the first.
        y: the coordinate upwards; by default the second.
        most: paths that are drawn.
        seed: draws them, where there are more.
        ax: where to draw; by default a new figure.

    Returns:
        The axes, with a bar of times.

    Raises:
        ValueError: positions that cannot be read, or coordinates that are not there.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.collections import LineCollection
    from matplotlib.colors import Normalize

    made = as_positions(paths, who="paths")
    seen = None if snapshots is None else as_positions(snapshots, who="snapshots", like=made)
    columns = _plane(made.coordinates, x, y)
    numbers, units = _elapsed(made.times if seen is None else np.r_[made.times, seen.times])
    hours, later = numbers[: made.times.size], numbers[made.times.size :]
    kept = np.random.default_rng(seed).permutation(made.x.shape[1])[:most]
    route = made.x[:, kept][..., columns].swapaxes(0, 1)
    legs = np.stack([route[:, :-1], route[:, 1:]], axis=2).reshape(-1, 2, 2)
    middles = np.tile((hours[1:] + hours[:-1]) / 2, len(kept))
    clock: dict[str, Any] = {"cmap": COLOURS, "norm": Normalize(numbers.min(), numbers.max())}
    axes = new_axes(ax)
    left = _shade(made.weight[:, kept]).T
    faint = (0.3 * (left[:, 1:] + left[:, :-1])).ravel()
    lines = LineCollection(list(legs), array=middles, lw=0.7, alpha=list(faint), **clock)
    axes.add_collection(lines)
    if seen is not None:
        at = np.repeat(later, seen.x.shape[1])
        style: dict[str, Any] = {"s": 14, "lw": 0.4, "edgecolors": "white", "zorder": 3}
        style |= {"alpha": _shade(seen.weight).ravel()}
        spots = seen.x[..., columns].reshape(-1, 2)
        axes.scatter(spots[:, 0], spots[:, 1], c=at, **style | clock)
    axes.autoscale_view()
    words = "time" if made.times.dtype.kind != "M" else "time since the first"
    axes.figure.colorbar(ScalarMappable(**clock), ax=axes, label=label(words, units))
    axes.set(xlabel=_words(made, columns[0]), ylabel=_words(made, columns[1]))
    return finish(axes)


def plot_marginals(
    truth: Clouded, made: Mapping[str, Clouded], *, figure: Figure | None = None
) -> Figure:
    """Draw each coordinate of each snapshot as a histogram, with kernel estimates of what models have in its place.

    Args:
        truth: held-out snapshots, a variable for each coordinate on (time, sample).
        made: the clouds of models by name, as in `assim.scoring.transported.transported`.
        figure: where to draw; by default a new one.

    Returns:
        The figure: a row for each time, a column for each coordinate.

    Raises:
        ValueError: clouds that cannot be read, or lack a time or coordinate of the snapshots.
    """
    import matplotlib.pyplot as plt

    held = as_clouds(truth)
    models = {
        name: as_clouds(given, who=name, like=held).along(held.times, who=name)
        for name, given in made.items()
    }
    rows, columns = len(held.each), len(held.coordinates)
    if figure is None:
        size = PANEL[0] * columns + 1.4, PANEL[1] * rows
        figure = plt.figure(figsize=size, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    for row, cloud in enumerate(held.each):
        for column, axes in enumerate(panels[row]):
            bars: dict[str, Any] = {"bins": BINS, "density": True, "color": tint(QUIET, 0.45)}
            axes.hist(cloud.x[:, column], weights=cloud.weight, label="snapshot", **bars)
            for index, (name, clouds) in enumerate(models.items()):
                one, color = clouds[row], PALETTE[index % len(PALETTE)]
                _density(axes, one.x[:, column], one.weight, name, color)
            axes.set(yticks=[], ylim=(0, None))
            axes.spines[["top", "right", "left"]].set_visible(False)
        panels[row][0].set_ylabel(_moment(held.times[row]))
    for column, axes in enumerate(panels[-1]):
        axes.set_xlabel(_words(held, column))
    finish(panels[0][-1])
    return figure


def _density(axes: Axes, values: np.ndarray, weight: np.ndarray, name: str, color: str) -> None:
    """A kernel estimate, or a line where nothing varies."""
    from scipy.stats import gaussian_kde

    if np.ptp(values) == 0:
        axes.axvline(values[0], color=color, lw=1.3, label=name)
        return
    beyond = TAIL * np.ptp(values)
    levels = np.linspace(values.min() - beyond, values.max() + beyond, LEVELS)
    axes.plot(levels, gaussian_kde(values, weights=weight)(levels), color=color, lw=1.3, label=name)


def _shade(weight: np.ndarray) -> np.ndarray:
    """Weights as shares of the largest, 0 for padding."""
    known = np.nan_to_num(weight)
    return known / (known.max(initial=0.0) or 1.0)


def _plane(names: tuple[str, ...], x: str | None, y: str | None) -> list[int]:
    """Which two coordinates are drawn."""
    if len(names) < 2:
        raise ValueError(f"A plane has two coordinates, and there is only {list(names)}.")
    right = choose("coordinate", names, x)
    upward = choose("other coordinate", [name for name in names if name != right], y)
    return [names.index(right), names.index(upward)]


def _elapsed(times: np.ndarray) -> tuple[np.ndarray, str]:
    """Times since the first of them, and their units; plain numbers as they are."""
    if times.dtype.kind != "M":
        return times.astype(float), ""
    numbers, words = lead_axis(xr.DataArray(times - times.min()))
    return numbers, words.partition("(")[2].rstrip(")")


def _moment(time: np.datetime64 | float) -> str:
    """A time as it is written."""
    if not isinstance(time, np.datetime64):
        return f"time {time:g}"
    return stamp(str(np.datetime_as_string(time, unit="s")).replace("T", " "))


def _words(held: Kind, column: int) -> str:
    """A coordinate with its units."""
    return label(held.coordinates[column], held.units[column])
