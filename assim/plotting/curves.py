"""Curves: how the training went, how scores and variance grow with the lead time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from assim import scoring
from assim.plotting.style import PALETTE, QUIET, choose, label, lead_axis, line_style, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
    axes.set(xlabel="step", ylabel="loss")
    if any(curves):
        axes.legend(frameon=False, fontsize="small")
    return axes


def scores_by_lead(
    scores: xr.Dataset,
    variable: str | None = None,
    score: str = "crps",
    *,
    level: float = 0.9,
    ax: Axes | None = None,
) -> Axes:
    """Draw a score of every model against the lead time.

    Args:
        scores: what `assim.compare` gives.
        variable: the channel; by default the first.
        score: one of its variables on `lead_time`: "crps", "rmse", "crps_skill", "coverage", ...
        level: which interval, for "coverage".
        ax: where to draw; by default a new figure.

    Returns:
        The axes; skill with the band of its interval, what a calibrated forecast has as a dashed
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
    ideal = {"coverage": level, "spread_skill": 1.0, "pit_mean": 0.5, "pit_variance": 1 / 12}
    if score in ideal or score.endswith(("_skill", "_gain", "bias")):
        axes.axhline(ideal.get(score, 0.0), color=QUIET, lw=1, ls="--")
    leads, words_of_lead = lead_axis(scores["lead_time"])
    for index, model in enumerate(scores["model"].values):
        style = line_style(index)
        if model == scores.attrs.get("baseline"):
            style = {"color": QUIET, "linestyle": "--"}
        axes.plot(leads, values.sel(model=model), marker="o", ms=3, lw=1.4, label=model, **style)
        if bounds is not None:
            low, high = (bounds.sel(model=model, bound=b).values for b in ("lower", "upper"))
            axes.fill_between(leads, low, high, color=style["color"], alpha=0.15, lw=0)
    axes.set(xlabel=words_of_lead, ylabel=label(words, units), title=title)
    axes.legend(frameon=False, fontsize="small")
    return axes


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
        colors=PALETTE[: len(components)],
        alpha=0.8,
    )
    axes.set(xlabel=words, title=name.replace("_", " "))
    axes.set_ylabel(label("forecast variance", units[name].attrs.get("units"), power=2))
    axes.legend(framealpha=0.9, fontsize="small", loc="upper left")
    return axes


def _kept(score: xr.DataArray) -> set[str]:
    """Name the dimensions of a score that a curve keeps."""
    return {str(dim) for dim in score.dims} - {"variable", "level"}
