"""Fields as maps and along a line in time: truth, mean, spread and error beside each other, sensors as dots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from assim import scoring
from assim.plotting.belief import Belief, belief_of, field_named, stamp
from assim.plotting.panels import Panel, axis_words, draw, panels_of
from assim.plotting.sensors import mark_readings, mark_sensors, readings_of
from assim.plotting.style import choose, lead_axis, time_axis
from assim.verifying import lead_words, pick_lead

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 9.6
FLATTEST = 0.2
"""Maps flatter than this fill their panels, whatever the units."""


def plot_map(
    tree: xr.DataTree,
    truth: xr.Dataset | None = None,
    variable: str | None = None,
    *,
    time: str | np.datetime64 | None = None,
    init_time: str | np.datetime64 | None = None,
    lead_time: str | None = None,
    stage: str | None = None,
    place: str | int = 0,
    climate: xr.Dataset | None = None,
    readings: xr.Dataset | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Draw a field on two axes at one time: truth, mean, spread and error.

    Land is grey. Dots on the mean are the sensors, hollow where they read nothing at that time.

    Args:
        tree: a forecast or an assimilation.
        truth: what happened, in its units or others that they can be made of.
        variable: the field; by default the first on two axes.
        time: of an assimilation, to the nearest; by default the last.
        init_time: origin of a forecast, to the nearest; by default the middle one.
        lead_time: of a forecast, such as "6h"; by default the last.
        stage: "background", "analysis" or "smoothed"; by default the last that there is.
        place: which run or station, by label or number.
        climate: a dataset whose mean over its times is taken off, so that anomalies are drawn.
        readings: whose `position_0` and `position_1` are drawn; by default those that were assimilated.
        figure: where to draw; by default a new one.

    Returns:
        The figure; one colour bar for truth and mean, one for the spread, one for the error.

    Raises:
        ValueError: if there is no such field on two axes, time or place, or truth or climate does not fit.
    """
    flat = [name for name, axes in scoring.field_axes(tree).items() if len(axes) == 2]
    name = choose("field on two axes", flat, variable)
    held = belief_of(
        tree, truth, name, init_time=init_time, stage=stage, place=place, climate=climate
    )
    panels = panels_of(held, anomaly=climate is not None)
    row, when = _row(held, time, lead_time)
    up, right = held.axes
    level = _alike(held.mean, up, right)
    figure = _new(figure, len(panels), _height(held.mean, up, right) if level else 0.8, level)
    rows = -(-len(panels) // 2)
    axes = figure.subplots(rows, 2, sharex=True, sharey=True, squeeze=False)
    at = [held.mean[dim].values for dim in (right, up)]

    def mesh(ax: Axes, values: np.ndarray, style: dict[str, Any]) -> Any:
        return ax.pcolormesh(*at, values, shading="nearest", rasterized=True, **style)

    shown = [Panel(p.title, p.kind, p.values.isel({held.along: row})) for p in panels]
    draw(figure, list(axes.ravel()), shown, mesh, (up, right), held.mean.attrs.get("units"))
    figure.supylabel(axis_words(held.mean, up), fontsize="medium")
    for ax in axes[-1]:
        ax.set_xlabel(axis_words(held.mean, right))
    if level:
        for ax in axes.ravel():
            ax.set_aspect("equal")
    mean = next(ax for ax, p in zip(axes.ravel(), panels, strict=True) if "mean of" in p.title)
    moment = held.mean["time"].values[row] if held.along == "time" else None
    mark_sensors(mean, readings_of(tree, readings, name), held, moment)
    figure.suptitle(", ".join([held.words, *held.where, when]), fontsize="medium")
    return figure


def plot_hovmoller(
    tree: xr.DataTree,
    truth: xr.Dataset | None = None,
    variable: str | None = None,
    *,
    axis: str | None = None,
    init_time: str | np.datetime64 | None = None,
    stage: str | None = None,
    place: str | int = 0,
    climate: xr.Dataset | None = None,
    readings: xr.Dataset | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Draw a field along one axis in time, or from one origin ahead: truth, mean, spread and error.

    Dots on the mean are readings, where the field has no other axis.

    Args:
        tree: a forecast or an assimilation.
        truth: what happened, in its units or others that they can be made of.
        variable: the field; by default the first.
        axis: of the grid; by default the last. Over the others means are taken, by area.
        init_time: origin of a forecast, to the nearest; by default the middle one.
        stage: "background", "analysis" or "smoothed"; by default the last that there is.
        place: which run or station, by label or number.
        climate: a dataset whose mean over its times is taken off, so that anomalies are drawn.
        readings: whose `position_0` is drawn; by default those that were assimilated.
        figure: where to draw; by default a new one.

    Returns:
        The figure, one panel below the other; one colour bar for truth and mean, one for the spread, one for the
        error. The spread of a mean over places is left out where no members were kept.

    Raises:
        ValueError: if there is no such field, axis or place, or truth or climate does not fit.
    """
    name = field_named(tree, variable)
    along = scoring.field_axes(tree)[name]
    line = choose("axis", list(along), axis or along[-1])
    held = belief_of(
        tree, truth, name, init_time=init_time, stage=stage, place=place, climate=climate, line=line
    )
    panels = panels_of(held, anomaly=climate is not None)
    figure = _new(figure, len(panels), 0.0, level=False)
    axes = np.atleast_1d(figure.subplots(len(panels), 1, sharex=True, sharey=True))
    ahead = held.along == "lead_time"
    across, words = held.mean[held.along].values, ""
    if ahead:
        across, words = lead_axis(held.mean["lead_time"])
    places = held.mean[line].values

    def mesh(ax: Axes, values: np.ndarray, style: dict[str, Any]) -> Any:
        return ax.pcolormesh(across, places, values, shading="nearest", rasterized=True, **style)

    draw(figure, list(axes), panels, mesh, (line, held.along), held.mean.attrs.get("units"))
    figure.supylabel(axis_words(held.mean, line), fontsize="medium")
    axes[-1].set_xlabel(words)
    if not ahead:
        time_axis(axes[-1])
    mean = next(ax for ax, p in zip(axes, panels, strict=True) if "mean of" in p.title)
    if not ahead and len(along) == 1:
        mark_readings(mean, readings_of(tree, readings, name), held)
    mean_over = [f"mean over {dim.replace('_', ' ')}" for dim in along if dim != line]
    figure.suptitle(", ".join([held.words, *mean_over, *held.where]), fontsize="medium")
    return figure


def _row(held: Belief, time: str | np.datetime64 | None, lead_time: str | None) -> tuple[int, str]:
    """The lead or the time that is drawn, by number and in words."""
    if held.along == "lead_time":
        leads = held.mean["lead_time"]
        wanted = leads.values[-1] if lead_time is None else pick_lead(leads, lead_time)
        return int(np.argmax(leads.values == wanted)), f"{lead_words(wanted)} ahead"
    clock = held.mean.indexes["time"]
    at = clock[-1] if time is None else np.datetime64(time, "ns")
    row = int(clock.get_indexer([at], method="nearest")[0])
    return row, stamp(clock[row])


def _new(figure: Figure | None, panels: int, ratio: float, level: bool) -> Figure:
    """A figure for so many maps of a shape (two in a row), or for so many strips (ratio 0)."""
    if figure is not None:
        return figure
    import matplotlib.pyplot as plt

    rows = -(-panels // 2) if ratio else panels
    height = rows * (0.35 * WIDTH * ratio + 0.5) + 0.8 if ratio else 1.8 * panels + 0.5
    size = (WIDTH if ratio else 7.6, min(height, 11.0))
    return plt.figure(figsize=size, layout="compressed" if level else "constrained")


def _alike(field: xr.DataArray, up: str, right: str) -> bool:
    """Whether both axes are in the same units, so that a map keeps its shape."""
    units = [str(field[dim].attrs.get("units", "")).removesuffix("_east") for dim in (up, right)]
    ratio = _height(field, up, right)
    return units[0].removesuffix("_north") == units[1] and FLATTEST < ratio < 1 / FLATTEST


def _height(field: xr.DataArray, up: str, right: str) -> float:
    """Of a map, in its widths."""
    spans = [float(np.ptp(field[dim].values)) or 1.0 for dim in (up, right)]
    return spans[0] / spans[1]
