"""What all plots share: colours that colour-blind readers can tell apart, units, legends at the side."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe & Ito (2008), Color universal design: without the yellow, which is too faint for lines.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
DASHES = ("-", "--", "-.", ":")
LEGEND: dict[str, Any] = {"frameon": False, "fontsize": "small"}
COMPOUND = re.compile(r"[\s/\d.^*·]")  # what makes of units a product, a ratio or a power
TRUTH = "#222222"
QUIET = "#8a8a8a"
# The line of what a calibrated forecast has.
IDEAL: dict[str, Any] = {"color": TRUTH, "lw": 1, "ls": ":"}


def new_axes(ax: Axes | None) -> Axes:
    """Give the axes to draw on, new ones when none are given."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(6.4, 3.8), layout="constrained")[1]


def line_style(index: int) -> dict[str, Any]:
    """Give the colour and dash of the i-th line; no pair repeats among the first 24."""
    turn = index // len(PALETTE)
    return {"color": PALETTE[index % len(PALETTE)], "linestyle": DASHES[turn % len(DASHES)]}


def line_styles(models: Sequence[str], baseline: str | None) -> dict[str, dict[str, Any]]:
    """One style for each model, in all plots: the baseline is grey."""
    styles = {model: line_style(index) for index, model in enumerate(models)}
    return styles | ({baseline: {"color": QUIET, "linestyle": "-"}} if baseline in styles else {})


def tint(color: str, share: float) -> tuple[float, float, float]:
    """Mix a colour with white, for areas that stay the same whatever lies behind them.

    Args:
        color: any that matplotlib knows.
        share: of the colour, from 0 (white) to 1.

    Returns:
        Red, green and blue.
    """
    from matplotlib.colors import to_rgb

    red, green, blue = (1 - share * (1 - part) for part in to_rgb(color))
    return red, green, blue


def finish(axes: Axes, *, reverse: bool = False) -> Axes:
    """Take off the idle spines and put the legend to the right of the axes, where it covers nothing.

    Args:
        axes: what was drawn on.
        reverse: whether the legend goes from last to first, as areas do that are stacked.

    Returns:
        The same axes.
    """
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), reverse=reverse, **LEGEND)
    return axes


def label(name: str, units: object = "", *, squared: bool = False) -> str:
    """Write an axis label with its units: "air temperature (degC)".

    Args:
        name: of what is drawn.
        units: of one value.
        squared: whether the axis is in these units squared; compound ones are bracketed first, since
            "m/s²" is no square of "m/s".

    Returns:
        The label.
    """
    words = name.replace("_", " ")
    text = str(units or "").strip()
    if text in ("", "1"):
        return words
    if squared:
        text = f"({text})²" if COMPOUND.search(text) else f"{text}²"
    return f"{words} ({text})"


def lead_axis(leads: xr.DataArray) -> tuple[np.ndarray, str]:
    """Turn lead times into numbers in the unit people use for such spans.

    Args:
        leads: timedelta64.

    Returns:
        The numbers, and the label of the axis.
    """
    seconds = leads.values / np.timedelta64(1, "s")
    for words, length, least in (("d", 86400, 4), ("h", 3600, 2), ("min", 60, 2)):
        if seconds.max() >= least * length:
            return seconds / length, f"lead time ({words})"
    return seconds, "lead time (s)"


def choose(what: str, held: Sequence[str], wanted: str | None) -> str:
    """Take the one that is asked for, or the first.

    Args:
        what: the kind of thing, for the message.
        held: what there is.
        wanted: what is asked for, or None.

    Returns:
        One of `held`.

    Raises:
        ValueError: if it is not there.
    """
    if wanted is None and held:
        return held[0]
    if wanted is None or wanted not in held:
        raise ValueError(f"There is no {what} '{wanted}' to plot, only {list(held)}.")
    return wanted


def at_place(
    channel: xr.DataArray, place: str | int, kept: Sequence[str]
) -> tuple[xr.DataArray, dict[str, object]]:
    """Select one station, trajectory, depth or sensor.

    Args:
        channel: on the dimensions `kept` and any places.
        place: its label or number along every dimension that is not kept.
        kept: the dimensions that stay.

    Returns:
        The channel there, and the labels that were chosen.

    Raises:
        ValueError: if there is no such place.
    """
    where: dict[str, object] = {}
    for dim in [dim for dim in channel.dims if dim not in kept]:
        held = (
            list(channel[dim].values) if dim in channel.coords else list(range(channel.sizes[dim]))
        )
        if isinstance(place, str):
            index = list(map(str, held)).index(choose(str(dim), list(map(str, held)), place))
        elif place < channel.sizes[dim]:
            index = place
        else:
            raise ValueError(f"There is no {dim} number {place} to plot, only {held}.")
        where[str(dim)] = held[index]
        channel = channel.isel({dim: index})
    return channel, where


def words_of(where: dict[str, object]) -> list[str]:
    """Say which place is drawn."""
    return [
        f"{dim} {at:g}" if isinstance(at, float | np.floating) else f"{dim} {at}"
        for dim, at in where.items()
    ]


def time_axis(axes: Axes) -> None:
    """Label times briefly."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=3, maxticks=6)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
