"""What a filter made of the readings: fields in time, fans, innovations, ranks, spread against error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from assim import scoring
from assim.plotting.calibration import bars_of
from assim.plotting.panels import axis_words
from assim.plotting.style import (
    PALETTE,
    TRUTH,
    at_place,
    choose,
    finish,
    label,
    new_axes,
    time_axis,
    tint,
    words_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ENOUGH = 20
"""With fewer members their quantiles say little, and a Gaussian band stands in."""


def hovmoeller(
    tree: xr.DataTree,
    truth: xr.Dataset | None = None,
    variable: str | None = None,
    *,
    figure: Figure | None = None,
) -> Figure:
    """Draw a field on a line in time: truth, background, analysis and the error of the last.

    Without the truth the standard deviation of the analysis stands in the place of its error.

    Args:
        tree: an assimilation of a field with one coordinate.
        truth: the true state on (time, place), in the units of the assimilation.
        variable: the field; by default the first with places.
        figure: where to draw; by default a new one.

    Returns:
        The figure, one panel below the other, with the means of the beliefs.

    Raises:
        ValueError: if there is no field, it has more axes than one, or the truth does not fit.
    """
    name = choose("field", fields(tree), variable)
    stages = scoring.stages(tree)
    panels = {stage: scoring.moments(tree, stage, name)[0] for stage in stages}
    last, spread = scoring.moments(tree, stages[-1], name)
    if "station" in last.dims:
        raise ValueError(f"'{name}' has stations: select one, as in tree.isel(station=0).")
    if truth is None:
        below, words = spread, f"sd of the {stages[-1]}"
    else:
        known = scoring.truth_of(tree, truth, name, stages[-1])
        panels = {"truth": known} | panels
        below, words = scoring.difference(last, known), f"error of the {stages[-1]}"
    if figure is None:
        import matplotlib.pyplot as plt

        figure = plt.figure(figsize=(7.2, 1.7 * (len(panels) + 1)), layout="constrained")
    axes = figure.subplots(len(panels) + 1, 1, sharex=True, sharey=True)
    lowest = min(float(panel.min()) for panel in panels.values())
    highest = max(float(panel.max()) for panel in panels.values())
    units = last.attrs.get("units")
    shared: dict[str, Any] = {"vmin": lowest, "vmax": highest, "cmap": "viridis"}
    for ax, (title, panel) in zip(axes, panels.items(), strict=False):
        mesh = _mesh(ax, panel, title, shared)
    figure.colorbar(mesh, ax=list(axes[:-1]), label=label(name, units), aspect=30)
    top = float(abs(below).max()) or 1.0
    signed: dict[str, Any] = {"vmin": -top, "vmax": top, "cmap": "RdBu_r"}
    whole: dict[str, Any] = {"vmin": 0.0, "vmax": top, "cmap": "magma_r"}
    mesh = _mesh(axes[-1], below, words, whole if truth is None else signed)
    figure.colorbar(mesh, ax=axes[-1], label=label("sd" if truth is None else "error", units))
    time_axis(axes[-1])
    return figure


def assimilation_ranks(
    tree: xr.DataTree,
    truth: xr.Dataset | None = None,
    variable: str | None = None,
    *,
    stage: str = "analysis",
    every: int | None = None,
    bars: int | None = None,
    seed: int = 0,
    ax: Axes | None = None,
) -> Axes:
    """Draw how often the truth takes each rank among the members: flat when calibrated.

    Without the truth readings are ranked among the members of the background with an error of a reading added.

    Args:
        tree: an assimilation that kept its members.
        truth: the true state on `time`, in the units of the assimilation.
        variable: of the state, or the channel whose readings are ranked; by default the first.
        stage: "background", "analysis" or "smoothed", where there is a truth.
        every: which times count, every so many steps; by default so far apart that they are independent.
        bars: how many; by default one for each rank, or 20.
        seed: draws among ties, the bars that share a rank, and the errors of readings.
        ax: where to draw; by default a new figure.

    Returns:
        The axes; the p-value of flatness in the title.

    Raises:
        ValueError: if no members were kept, the truth does not fit, or readings cannot be ranked.
    """
    if truth is None:
        name = choose("channel", scoring.channels(tree), variable)
        counted = scoring.reading_histogram(tree, name, every=every, bars=bars, seed=seed)
        stage, who = "readings", "the reading"
    else:
        counted = scoring.truth_histogram(
            tree, truth, variable, stage=stage, every=every, bars=bars, seed=seed
        )
        name, who = counted.attrs["variable"], "the truth"
    size = counted.attrs["members"]
    centres = counted["bin"].values * (size + 1) - 0.5
    heights, excess = counted["count"].values, float(counted["excess"])
    axes = bars_of(centres, heights, new_axes(ax), excess=excess)
    title = f"{_words(name)}: {stage}, p = {float(counted['p_value']):.2g}"
    axes.set(xlabel=f"rank of {who} among {size} members", title=title)
    return axes


def spread_error(
    tree: xr.DataTree, truth: xr.Dataset, variable: str | None = None, *, ax: Axes | None = None
) -> Axes:
    """Draw the error of background and analysis in time, beside the spread that they claim.

    Args:
        tree: an assimilation.
        truth: the true state on `time`, in the units of the assimilation.
        variable: of the state; by default the first that the truth holds.
        ax: where to draw; by default a new figure.

    Returns:
        The axes; root means over places, errors as lines and spreads dashed.

    Raises:
        ValueError: if the truth does not fit.
    """
    scores = scoring.assimilation_errors(tree, truth, variable)
    axes = new_axes(ax)
    for color, stage in zip(PALETTE, map(str, scores["stage"].values), strict=False):
        of = scores.sel(stage=stage)
        times = of["time"].values
        ratio = float(of["spread_skill"])
        axes.plot(times, of["rmse_in_time"], color=color, lw=1.2, label=f"{stage}: error")
        axes.plot(
            times,
            of["spread_in_time"],
            color=color,
            lw=1.2,
            ls="--",
            label=f"{stage}: spread,\n{ratio:.2f} of the error",
        )
    axes.set_ylim(bottom=0)
    axes.set_ylabel(label("root mean square", scores["rmse"].attrs.get("units")))
    axes.set_title(_words(scores.attrs["variable"]))
    time_axis(axes)
    return finish(axes)


def innovations(
    tree: xr.DataTree,
    channel: str | None = None,
    *,
    place: str | int = 0,
    level: float = 0.95,
    ax: Axes | None = None,
) -> Axes:
    """Draw readings minus background in time, with the band in which the filter expects them.

    Args:
        tree: an assimilation.
        channel: by default the first.
        place: which sensor and station, by label or number.
        level: the probability of the band.
        ax: where to draw; by default a new figure.

    Returns:
        The axes; innovations that leave the band stand out.

    Raises:
        ValueError: if the channel or the place is not there.
    """
    from scipy import stats

    name = choose("channel", scoring.channels(tree), channel)
    told = scoring.innovation(tree, name)
    residual, where = at_place(told["residual"], place, ("time",))
    expected, _ = at_place(told["sd"], place, ("time",))
    half = stats.norm.isf((1 - level) / 2) * expected.values
    times, values = residual["time"].values, residual.values
    read = np.isfinite(values)
    outside = read & (abs(values) > half)
    axes = new_axes(ax)
    share = 100 * outside.sum() / max(read.sum(), 1)
    axes.fill_between(
        times[read],
        -half[read],
        half[read],
        color=tint(PALETTE[0], 0.3),
        lw=0,
        label=f"{100 * level:g} % expected",
    )
    axes.axhline(0, color=TRUTH, lw=0.8)
    inside = read & ~outside
    axes.plot(times[inside], values[inside], ".", color=TRUTH, ms=3.5, label="innovation")
    words = f"outside: {share:.0f} %"
    axes.plot(times[outside], values[outside], "x", color=PALETTE[1], ms=5, label=words)
    axes.set_ylabel(label("reading minus background", told["residual"].attrs.get("units")))
    axes.set_title(", ".join([_words(name), *words_of(where)]))
    time_axis(axes)
    return finish(axes)


def analysis_fan(
    tree: xr.DataTree,
    truth: xr.Dataset | None = None,
    variable: str | None = None,
    *,
    stage: str = "analysis",
    place: str | int = 0,
    level: float = 0.9,
    ax: Axes | None = None,
) -> Axes:
    """Draw the mean of an analysis in time and its central band, with the readings.

    The band is that of the quantiles of the members, of a Gaussian where fewer than 20 were kept.

    Args:
        tree: an assimilation.
        truth: the true state on `time`, in the units of the assimilation.
        variable: of the state; by default the first.
        stage: "background", "analysis" or "smoothed".
        place: which station or place, by label or number.
        level: the probability of the band.
        ax: where to draw; by default a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: if the variable, stage or place is not there, or the truth does not fit.
    """
    name = choose("variable", scoring.variables(tree), variable)
    whole, sd = scoring.moments(tree, stage, name)
    mean, where = at_place(whole, place, ("time",))
    cycle = scoring.period(whole)
    middle = mean.values if cycle is None else np.unwrap(mean.values, period=cycle)
    low, high, kind = _band(
        tree, stage, name, place, middle, at_place(sd, place, ("time",))[0], level
    )
    times = mean["time"].values
    axes = new_axes(ax)
    words = f"{100 * level:g} % interval{kind}"
    axes.fill_between(times, low, high, color=tint(PALETTE[0], 0.35), lw=0, label=words)
    axes.plot(times, middle, color=PALETTE[0], lw=1.4, label=f"mean of the {stage}")
    if truth is not None:
        known, _ = at_place(scoring.truth_of(tree, truth, name, stage), place, ("time",))
        axes.plot(times, _beside(known, middle, cycle), color=TRUTH, lw=0.9, label="truth")
    if "observed_data" in tree.children and name in tree["observed_data"].data_vars:
        seen = tree["observed_data"].to_dataset()[name]
        if set(seen.dims) == set(whole.dims):
            dots = _beside(at_place(seen, place, ("time",))[0], middle, cycle)
            axes.plot(times, dots, ".", color=PALETTE[1], ms=3.5, label="reading")
    axes.set_ylabel(label(whole.attrs.get("long_name", name), whole.attrs.get("units")))
    axes.set_title(", ".join(words_of(where)))
    time_axis(axes)
    if cycle is not None:
        axes.yaxis.set_major_formatter(lambda value, _: f"{value % cycle:g}")
    return finish(axes)


def fields(tree: xr.DataTree) -> list[str]:
    """Name the variables of an assimilation that lie on one axis."""
    return [name for name, axes in scoring.field_axes(tree).items() if len(axes) == 1]


def _band(
    tree: xr.DataTree,
    stage: str,
    name: str,
    place: str | int,
    middle: np.ndarray,
    sd: xr.DataArray,
    level: float,
) -> tuple[np.ndarray, np.ndarray, str]:
    """The central band about the mean, and what kind of one it is."""
    from scipy import stats

    if scoring.held_members(tree, stage, name):
        paths, _ = at_place(scoring.equal_members(tree, stage, name), place, ("time", "member"))
        if paths.sizes["member"] >= ENOUGH:
            cycle, values = scoring.period(paths), paths.transpose("time", "member").values
            if cycle is not None:
                values = middle[:, None] + scoring.wrap(values - middle[:, None], cycle)
            low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2], axis=-1)
            return low, high, ""
    half = stats.norm.isf((1 - level) / 2) * sd.values
    return middle - half, middle + half, "\n(Gaussian)"


def _beside(values: xr.DataArray, middle: np.ndarray, cycle: float | None) -> np.ndarray:
    """Values as they are, of a direction within half a turn of the mean."""
    numbers = values.values.astype(float)
    return numbers if cycle is None else middle + scoring.wrap(numbers - middle, cycle)


def _mesh(axes: Axes, panel: xr.DataArray, title: str, style: dict[str, Any]) -> Any:
    """Draw one panel, time to the right and places upwards."""
    (dim,) = scoring.grid_axes(panel)
    values = panel.transpose(dim, "time")
    if dim in values.coords:
        values = values.sortby(dim)
    places = values[dim].values  # their numbers where there is no coordinate
    mesh = axes.pcolormesh(
        values["time"].values, places, values.values, shading="nearest", rasterized=True, **style
    )
    axes.set_ylabel("place" if dim == "place" else axis_words(panel, dim))
    axes.set_title(title, fontsize="medium", loc="left")
    return mesh


def _words(name: object) -> str:
    return str(name).replace("_", " ")
