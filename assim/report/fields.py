"""Fields in a report: maps, or strips in time, of a few times, energy by wavenumber, error and use by lead time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from assim import plotting, scoring
from assim.report.pages import MOST_CHANNELS, figure, heading, image, note, table
from assim.verifying import lead_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

THRESHOLD = 0.4
VALID = (
    "field",
    "forecast",
    "valid prediction time",
    "shortest",
    "longest",
    "forecasts",
    "valid to the end",
)
EXPLAINED = (
    f"Valid prediction time: the first lead at which the error of the mean exceeds {THRESHOLD:g} standard "
    "deviations of the truth, median over origins. A forecast that is valid to the end counts with its last lead."
)


def fields_by_lead(forecasts: Mapping[str, xr.DataTree], truth: xr.Dataset | None) -> str:
    """Draw error and anomaly correlation of all forecasts of a field, and say how long they are of use.

    Args:
        forecasts: forecast trees by name.
        truth: what happened, or None.

    Returns:
        HTML, empty where there is no field or no truth.
    """
    held = {model: scoring.field_axes(tree) for model, tree in forecasts.items()}
    names = dict.fromkeys(name for fields in held.values() for name in fields)
    body, rows, said = "", [], []
    for name in [n for n in names if truth is not None and n in truth][:MOST_CHANNELS]:
        assert truth is not None
        scores: dict[str, xr.Dataset] = {}
        for model in (m for m in forecasts if name in held[m]):
            try:
                rows.append([name, model, *_valid(forecasts[model], truth, name)])
                scores[model] = scoring.error_by_lead(forecasts[model], truth, name)
            except ValueError as reason:
                said.append(f"{model}: {reason}")
        panels = [partial(_by_lead, scores, s) for s in ("rmse", "anomaly_correlation")]
        if scores:
            body += figure(panels, f"{name}: error and anomaly correlation by lead, by area")
    body += (table(VALID, rows) + note(EXPLAINED)) if rows else ""
    body += "".join(note(line) for line in said)
    return heading("Fields by lead time") + body if body else ""


def fields_ahead(model: str, tree: xr.DataTree, truth: xr.Dataset | None) -> str:
    """Draw every field of one forecast from its middle origin, and its energy by wavenumber at the last lead.

    Args:
        model: name of the forecast.
        tree: the forecast.
        truth: what happened, or None.

    Returns:
        HTML, empty where it has no field.
    """
    body = ""
    for name, axes in list(scoring.field_axes(tree).items())[:MOST_CHANNELS]:
        seen = truth if truth is not None and name in truth else None
        body += _shown(f"{model}: {name} from one origin", tree, seen, name, axes)
        body += _energy(f"{model}: {name}, energy by wavenumber", tree, seen, name)
    return body


def field_in_time(title: str, tree: xr.DataTree, truth: xr.Dataset | None, name: str) -> str:
    """Draw one field of an assimilation.

    Args:
        title: of the assimilation.
        tree: the assimilation.
        truth: what happened, or None.
        name: of the field.

    Returns:
        HTML.
    """
    body = _shown(f"{title}: {name}", tree, truth, name, scoring.field_axes(tree)[name])
    if scoring.held_members(tree, scoring.stages(tree)[-1], name):
        body += _energy(f"{title}: {name}, energy by wavenumber", tree, truth, name)
    return body


def _shown(
    caption: str, tree: xr.DataTree, truth: xr.Dataset | None, name: str, axes: tuple[str, ...]
) -> str:
    """A map at the last time or lead, and along time; of one axis the latter alone."""
    if len(axes) > 2:
        return note(f"'{name}' lies on {len(axes)} axes, of which no more than two are drawn.")
    draws: list[Callable[..., Figure]] = [plotting.plot_hovmoller]
    if len(axes) == 2:
        draws.insert(0, plotting.plot_map)
    body = ""
    for draw in draws:
        try:
            body += image(_drawn(draw, tree, truth, name), caption)
        except ValueError as reason:
            body += image(_drawn(draw, tree, None, name), caption) + note(reason)
    return body


def _drawn(
    draw: Callable[..., Figure], tree: xr.DataTree, truth: xr.Dataset | None, name: str
) -> Figure:
    from matplotlib.figure import Figure as Sheet

    if draw is plotting.plot_map:
        sheet = Sheet(figsize=(9.6, 7.2), layout="compressed", dpi=100)
    else:
        sheet = Sheet(figsize=(9.0, 6.8), layout="constrained", dpi=100)
    return draw(tree, truth, name, figure=sheet)


def _energy(caption: str, tree: xr.DataTree, truth: xr.Dataset | None, name: str) -> str:
    try:
        return figure([partial(_spectrum, tree, truth, name)], caption)
    except ValueError as reason:
        return note(reason)


def _valid(tree: xr.DataTree, truth: xr.Dataset, name: str) -> list[object]:
    """Median, shortest and longest valid prediction time, how many there are, and how many do not end."""
    found = scoring.valid_prediction_time(tree, truth, name, threshold=THRESHOLD)
    times = found["prediction_time"].values
    known = ~np.isnat(times)
    if not known.any():
        return ["–", "–", "–", 0, 0]
    times, ended = np.sort(times[known]), found["exceeded"].values[known]
    chosen = (times[(times.size - 1) // 2], times[0], times[-1])
    return [*map(lead_words, chosen), times.size, int((~ended).sum())]


def _by_lead(scores: Mapping[str, xr.Dataset], score: str, ax: Axes) -> None:
    plotting.plot_error_by_lead(scores, score, ax=ax)


def _spectrum(tree: xr.DataTree, truth: xr.Dataset | None, name: str, ax: Axes) -> None:
    plotting.plot_spectrum(tree, truth, name, ax=ax)
