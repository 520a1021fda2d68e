"""Curves: how the training went, how scores and variance grow with the lead time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from assim import scoring
from assim.plotting.style import (
    IDEAL,
    PALETTE,
    choose,
    finish,
    label,
    lead_axis,
    line_style,
    line_styles,
    new_axes,
    tint,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_MARKED = 24  # more leads than these run together when each has its marker


def training(posterior: xr.DataTree | Mapping[str, xr.DataTree], *, ax: Axes | None = None) -> Axes:
    """Draw the loss over the steps of an optimisation, with its running median.

    Args:
        posterior: a fitted tree with `sample_stats["loss"]` on `step`, or several by name.
        ax: where to draw; by default a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: if none of them was optimised.
    """
    trees = {"": posterior} if isinstance(posterior, xr.DataTree) else dict(posterior)
    curves = {
        name: tree["sample_stats"].to_dataset()["loss"]
        for name, tree in trees.items()
        if "sample_stats" in tree.children and "loss" in tree["sample_stats"].data_vars
    }
    if not curves:
        raise ValueError(
            "There is no training curve: a loss is recorded by methods that optimise (SVI, "
            "EnsembleMAP, Laplace); for NUTS look at az.plot_trace_dist."
        )
    from matplotlib.ticker import LogFormatter

    axes = new_axes(ax)
    for index, (name, curve) in enumerate(curves.items()):
        style = line_style(index)
        others = [dim for dim in curve.dims if dim != "step"]
        steps = curve["step"].values
        lines = curve.transpose("step", ...).values.reshape(steps.size, -1)
        axes.plot(steps, lines, lw=0.6, alpha=0.35 if not others else 0.2, **style)
        width = max(1, steps.size // 50)
        middle = np.median(lines, axis=-1)
        smooth = curve.copy(deep=False).isel({dim: 0 for dim in others}, drop=True)
        smooth = smooth.copy(data=middle).rolling(step=width, min_periods=1, center=True).median()
        axes.plot(steps, smooth, lw=1.6, label=name or None, **style)
    if all(0 < 20 * float(curve.min()) < float(curve.max()) for curve in curves.values()):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(LogFormatter())
        axes.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.5)))
    axes.set(xlabel="step", ylabel="loss")
    return finish(axes)


def scores_by_lead(
    scores: xr.Dataset,
    variable: str | None = None,
    score: str = "crps",
    *,
    level: float = 0.9,
    ax: Axes | None = None,
) -> Axes:
    """Draw a score of every model against the lead time.

    Where origins lie further apart than the leads, such as 30 minutes on a record of 5, leads that differ by
    that spacing are scored on nearly the same readings and neighbouring leads on others. The curves of all
    models then share a saw-tooth of that period: it is what happened at those readings, and is not smoothed.

    Args:
        scores: what `assim.compare` gives.
        variable: the channel; by default the first.
        score: one of its variables on `lead_time`: "crps", "rmse", "crps_skill", "coverage", ...
        level: which interval, for "coverage".
        ax: where to draw; by default a new figure.

    Returns:
        The axes; skill with the band of its interval, what a calibrated forecast has as a dotted
        line.

    Raises:
        ValueError: if the score or channel is not there.
    """
    drawn = [str(n) for n, s in scores.data_vars.items() if {"model", "lead_time"} == _kept(s)]
    choose("score", drawn, score)
    values, units, title = scores[score], scores[score].attrs.get("units", ""), ""
    bounds = scores.get(f"{score}_interval")
    if "variable" in values.dims:
        name = choose("channel", list(map(str, scores["variable"].values)), variable)
        values = values.sel(variable=name)
        bounds = None if bounds is None else bounds.sel(variable=name)
        units = units or values["units"].item()
        title = name.replace("_", " ")
    words = str(scores[score].attrs.get("long_name", score))
    if score == "coverage":
        held = [f"{at:g}" for at in scores["level"].values]
        index = held.index(choose("level", held, f"{level:g}"))
        values, words = values.isel(level=index), f"coverage of the {100 * level:g} % interval"
    axes = new_axes(ax)
    ideal = {
        "coverage": level,
        "spread_skill": 1,
        "pit_mean": 1 / 2,
        "pit_variance": 1 / 12,
        "bias": 0,
    }
    if score in ideal:
        axes.axhline(ideal[score], label="calibrated", **IDEAL)
    leads, words_of_lead = lead_axis(scores["lead_time"])
    marker = "o" if leads.size <= MOST_MARKED else ""
    styles = line_styles(list(map(str, scores["model"].values)), scores.attrs.get("baseline"))
    for model, style in styles.items():
        axes.plot(leads, values.sel(model=model), marker=marker, ms=3, lw=1.2, label=model, **style)
        if bounds is not None:
            low, high = (bounds.sel(model=model, bound=b).values for b in ("lower", "upper"))
            axes.fill_between(leads, low, high, color=style["color"], alpha=0.15, lw=0)
    words = words.replace("the baseline", str(scores.attrs.get("baseline", "the baseline")))
    axes.set(xlabel=words_of_lead, ylabel=label(words, units), title=title)
    return finish(axes)


def variance_split(
    forecast: xr.DataTree, variable: str | None = None, *, ax: Axes | None = None
) -> Axes:
    """Draw the forecast variance by lead time, split into noise and ignorance of the parameters.

    Args:
        forecast: a forecast tree with the group `uncertainty`.
        variable: the channel; by default the first.
        ax: where to draw; by default a new figure.

    Returns:
        The axes; the variance, averaged over origins and places, in units squared.

    Raises:
        ValueError: if the forecast has no split or the channel is not there.
    """
    units = scoring.predictions(forecast)
    if "uncertainty" not in forecast.children:
        raise ValueError(
            "The forecast has no group 'uncertainty', so that there is no split to draw; "
            "make it with assim.forecast, which writes one."
        )
    parts = forecast["uncertainty"].to_dataset()
    name = choose("channel", list(map(str, parts.data_vars)), variable)
    split = parts[name]
    mean = split.mean([dim for dim in split.dims if dim not in ("component", "lead_time")])
    leads, words = lead_axis(units["lead_time"])
    axes = new_axes(ax)
    components = [str(component) for component in mean["component"].values]
    axes.stackplot(
        leads,
        mean.transpose("component", "lead_time").values,
        labels=components,
        colors=[tint(color, 0.7) for color in PALETTE[: len(components)]],
    )
    axes.set_xlim(0, leads[-1])
    axes.set(xlabel=words, title=name.replace("_", " "))
    axes.set_ylabel(label("forecast variance", units[name].attrs.get("units"), squared=True))
    return finish(axes, reverse=True)


def _kept(score: xr.DataArray) -> set[str]:
    """Name the dimensions of a score that a curve keeps."""
    return {str(dim) for dim in score.dims} - {"variable", "level"}
