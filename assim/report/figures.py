"""The figures of a report, each an inline image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import xarray as xr

from assim import plotting, scoring
from assim.plotting.style import line_styles
from assim.report.fields import fields_ahead, fields_by_lead
from assim.report.pages import MOST_CHANNELS, figure, heading

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def score_figures(scores: xr.Dataset, variable: str) -> str:
    """Draw CRPS, skill and coverage of one channel by lead time."""
    shown = [name for name in ("crps", "crps_skill", "coverage") if name in scores]
    panels = [partial(_by_lead, scores, variable, name) for name in shown]
    return figure(panels, f"{variable.replace('_', ' ')}: scores by lead time")


def calibration_figures(
    scores: xr.Dataset, forecasts: Mapping[str, xr.DataTree], truth: xr.Dataset | None
) -> str:
    """Draw reliability of quantiles, PIT histograms and, with the truth, spread against error."""
    body = ""
    models = list(map(str, scores["model"].values))
    styles = line_styles(models, scores.attrs.get("baseline"))
    colors = {model: style["color"] for model, style in styles.items()}
    for name in map(str, scores["variable"].values[:MOST_CHANNELS]):
        panels: list[Callable[[Axes], object]] = [partial(_reliabilities, scores, name, models)]
        panels += [partial(_pit, scores, name, model) for model in models]
        words = "reliability, and PIT histograms"
        holding = {
            model: tree
            for model, tree in forecasts.items()
            if truth is not None and name in truth and name in tree["predictions"].data_vars
        }
        if truth is not None and holding:
            panels.append(partial(_spreads, holding, truth, name, colors))
            words = "reliability, PIT histograms, and error by spread"
        body += heading(name.replace("_", " "))
        body += figure(panels, f"{name.replace('_', ' ')}: {words}")
    return body


def fans(
    forecasts: Mapping[str, xr.DataTree],
    truth: xr.Dataset | None,
    baseline: str | None,
    lyapunov: float | None = None,
) -> str:
    """Draw one forecast of every channel or field, and the split of its variance by lead time."""
    body = fields_by_lead(forecasts, truth, lyapunov)
    for model, tree in forecasts.items():
        fields = scoring.field_axes(tree)
        held = list(map(str, scoring.predictions(tree).data_vars))
        names = [name for name in held if name not in fields][:MOST_CHANNELS]
        seen = [name for name in names if truth is not None and name in truth.data_vars]
        panels: list[Callable[[Axes], object]] = [
            partial(_fan, tree, truth if name in seen else None, name) for name in names
        ]
        if model != baseline and "uncertainty" in tree.children:
            parts = tree["uncertainty"].data_vars
            panels += [partial(_split, tree, name) for name in names if name in parts]
        body += heading(model) + fields_ahead(model, tree, truth)
        body += figure(panels, f"{model}: one forecast of each channel, and its variance by lead")
    return body


def training_figure(posteriors: Mapping[str, xr.DataTree]) -> str:
    """Draw the losses of the fits that were optimised."""
    trained = {
        name: tree
        for name, tree in posteriors.items()
        if "sample_stats" in tree.children and "loss" in tree["sample_stats"].data_vars
    }
    panels = [partial(_training, name, tree) for name, tree in trained.items()]
    return figure(panels, "loss (minus the ELBO, or minus the log posterior) by step")


def _by_lead(scores: xr.Dataset, variable: str, score: str, ax: Axes) -> None:
    plotting.scores_by_lead(scores, variable, score, ax=ax)
    ax.set_title("")


def _pit(scores: xr.Dataset, variable: str, model: str, ax: Axes) -> None:
    plotting.pit(scores, variable, model, ax=ax).set_title(model)


def _reliabilities(scores: xr.Dataset, variable: str, models: list[str], ax: Axes) -> None:
    for model, style in line_styles(models, scores.attrs.get("baseline")).items():
        curve = plotting.quantile_curve(scores, variable, model)
        plotting.reliability(curve, name=model, color=style["color"], ax=ax)


def _spreads(
    forecasts: Mapping[str, xr.DataTree],
    truth: xr.Dataset,
    variable: str,
    colors: Mapping[str, str],
    ax: Axes,
) -> None:
    for model, tree in forecasts.items():
        plotting.spread_skill(tree, truth, variable, name=model, color=colors.get(model), ax=ax)
    ax.set_title("")


def _fan(tree: xr.DataTree, truth: xr.Dataset | None, variable: str, ax: Axes) -> None:
    plotting.fan(tree, truth, variable, ax=ax)


def _split(tree: xr.DataTree, variable: str, ax: Axes) -> None:
    plotting.variance_split(tree, variable, ax=ax)


def _training(name: str, tree: xr.DataTree, ax: Axes) -> None:
    plotting.training(tree, ax=ax).set_title(name)
