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
IN_LYAPUNOV = "in Lyapunov times"
EXPLAINED = (
    f"Valid prediction time: the first lead at which the error of the mean exceeds {THRESHOLD:g} standard "
    "deviations of the truth, median over origins. A forecast that is valid to the end counts with its last lead."
)


def fields_by_lead(
    forecasts: Mapping[str, xr.DataTree],
    truth: xr.Dataset | None,
    lyapunov: float | None = None,
) -> str:
    """Draw error and anomaly correlation of all forecasts of a field, and say how long they are of use.

    Args:
        forecasts: forecast trees by name.
        truth: what happened, or None.
        lyapunov: the largest Lyapunov exponent, 1/s, in whose inverse leads are drawn and told; or None.

    Returns:
        HTML, empty where there is no field or no truth.
    """
    if truth is None:
        return ""
    columns, rows, said = valid_times_of(forecasts, truth, lyapunov)
    told = dict.fromkeys(str(row[0]) for row in rows)
    body = ""
    for name in told:
        scores: dict[str, xr.Dataset] = {}
        for model in (str(row[1]) for row in rows if row[0] == name):
            try:
                scores[model] = scoring.error_by_lead(forecasts[model], truth, name)
            except ValueError as reason:
                said.append(f"{model}: {reason}")
        panels = [partial(_by_lead, scores, s, lyapunov) for s in ("rmse", "anomaly_correlation")]
        if scores:
            body += figure(panels, f"{name}: error and anomaly correlation by lead, by area")
    body += (table(columns, rows) + note(EXPLAINED)) if rows else ""
    body += "".join(note(line) for line in said)
    return heading("Fields by lead time") + body if body else ""


def valid_times_of(
    forecasts: Mapping[str, xr.DataTree], truth: xr.Dataset, lyapunov: float | None = None
) -> tuple[tuple[str, ...], list[list[object]], list[str]]:
    """Tabulate how long forecasts of fields are of use.

    Args:
        forecasts: forecast trees by name.
        truth: what happened.
        lyapunov: the largest Lyapunov exponent, 1/s, or None.

    Returns:
        Heads of columns, a row for each field of each forecast, and sentences on those that cannot be judged.
    """
    held = {model: scoring.field_axes(tree) for model, tree in forecasts.items()}
    names = dict.fromkeys(name for fields in held.values() for name in fields)
    rows: list[list[object]] = []
    said = []
    for name in [n for n in names if n in truth][:MOST_CHANNELS]:
        for model in (m for m in forecasts if name in held[m]):
            try:
                rows.append([name, model, *_valid(forecasts[model], truth, name, lyapunov)])
            except ValueError as reason:
                said.append(f"{model}: {reason}")
    return (VALID if lyapunov is None else (*VALID[:3], IN_LYAPUNOV, *VALID[3:])), rows, said


def exponent_of(lyapunov_time: str | None) -> float | None:
    """The largest Lyapunov exponent, 1/s, whose inverse is given.

    Args:
        lyapunov_time: a span as pandas reads it, such as "6h" or "1.5s"; or None.

    Raises:
        ValueError: it is no span, or not above 0.
    """
    import pandas as pd

    if lyapunov_time is None:
        return None
    try:
        seconds = pd.Timedelta(lyapunov_time).total_seconds()
    except (ValueError, TypeError):
        seconds = 0.0
    if (
        lyapunov_time.strip().replace(".", "", 1).isdigit()
    ):  # without a unit, which pandas takes for nanoseconds
        seconds = 0.0
    if not seconds > 0:
        raise ValueError(
            f"lyapunov_time={lyapunov_time!r} is no span of time above 0: write it as '6h' or '1.5s'."
        )
    return 1.0 / seconds


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


def _valid(tree: xr.DataTree, truth: xr.Dataset, name: str, lyapunov: float | None) -> list[object]:
    """Median, shortest and longest valid prediction time, how many there are, and how many do not end.

    Behind the median, where a Lyapunov exponent is given, the same in Lyapunov times.
    """
    found = scoring.valid_prediction_time(tree, truth, name, threshold=THRESHOLD)
    times = found["prediction_time"].values
    known = ~np.isnat(times)
    if not known.any():
        return ["–"] * (3 + (lyapunov is not None)) + [0, 0]
    times, ended = np.sort(times[known]), found["exceeded"].values[known]
    middle = times[(times.size - 1) // 2]
    turned = [] if lyapunov is None else [f"{middle / np.timedelta64(1, 's') * lyapunov:.3g}"]
    extent = map(lead_words, (times[0], times[-1]))
    return [lead_words(middle), *turned, *extent, times.size, int((~ended).sum())]


def _by_lead(
    scores: Mapping[str, xr.Dataset], score: str, lyapunov: float | None, ax: Axes
) -> None:
    plotting.plot_error_by_lead(scores, score, lyapunov=lyapunov, ax=ax)


def _spectrum(tree: xr.DataTree, truth: xr.Dataset | None, name: str, ax: Axes) -> None:
    plotting.plot_spectrum(tree, truth, name, ax=ax)
