"""Is it calibrated? PIT and rank histograms, reliability, spread against error."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from assim import scoring
from assim.plotting.style import (
    IDEAL,
    PALETTE,
    QUIET,
    choose,
    finish,
    label,
    line_style,
    new_axes,
    tint,
)
from assim.verifying import lead_words, pick_lead

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def pit(
    scores: xr.Dataset,
    variable: str | None = None,
    model: str | None = None,
    *,
    lead_time: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the histogram of probability integral transforms: flat when calibrated.

    A hump says that the forecast is too wide, a bowl too narrow, a slope that it is biased. The
    band holds 95 % of the bars of a calibrated forecast with independent cells; cells of
    neighbouring leads and origins are dependent, so that bars may leave it more often.

    Args:
        scores: what `assim.compare` gives.
        variable: the channel; by default the first.
        model: the model; by default the first.
        lead_time: one lead, such as "6h"; by default all of them together.
        ax: where to draw; by default a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: if the channel, model or lead is not there.
    """
    counts, title = _histogram(scores, variable, model, lead_time)
    axes = bars_of(counts["bin"].values, counts.values, new_axes(ax))
    axes.set(xlim=(0, 1), xlabel="probability integral transform", title=title)
    return axes


def ranks(
    forecast: xr.DataTree,
    truth: xr.Dataset,
    variable: str | None = None,
    *,
    lead_time: str | None = None,
    bins: int = 20,
    seed: int = 0,
    ax: Axes | None = None,
) -> Axes:
    """Draw how often the truth takes each rank among the members.

    Args:
        forecast: a forecast tree.
        truth: the dataset that holds what happened.
        variable: the channel; by default the first.
        lead_time: one lead, such as "6h"; by default all of them together.
        bins: ranks are pooled into so many equal bars when there are more than twice as many.
        seed: draws among ties, and between the bars that share a rank.
        ax: where to draw; by default a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: if the channel or lead is not there, or nothing was observed.
    """
    members, seen = _paired(forecast, truth, variable, lead_time)
    size = members.sizes["member"]
    pits = scoring.pit(members, seen, rng=np.random.default_rng(seed))
    bars = size + 1 if size + 1 <= 2 * bins else bins
    counts = scoring.histogram(pits, bars, over=list(map(str, pits.dims)))
    axes = bars_of(counts["bin"].values * (size + 1) - 0.5, counts.values, new_axes(ax))
    axes.set(xlabel=f"rank of the truth among {size} members", title=_title(members))
    return axes


def reliability(
    curve: xr.Dataset, *, name: str | None = None, color: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draw observed frequencies against forecast probabilities: the diagonal when calibrated.

    Of quantiles: a tenth of the readings should lie below the quantile of level 0.1, half of them below the
    median. Of an event: it should happen in a tenth of the cases where its probability was said to be 0.1.

    Args:
        curve: `forecast_probability` and `observed_frequency` on `bin`, and one line per
            `lead_time` where there is one; from `assim.scoring.reliability` (quantiles),
            `event_reliability` (a threshold) or `quantile_curve` (the table of `compare`).
        name: the entry in the legend.
        color: of the line.
        ax: where to draw, for several curves on one; by default a new figure.

    Returns:
        The axes.
    """
    axes = new_axes(ax)
    if not axes.lines:
        axes.plot([0, 1], [0, 1], label="calibrated", **IDEAL)
    lines = [(name, curve)]
    if "lead_time" in curve.dims:
        leads = curve["lead_time"].values
        lines = [(lead_words(lead), curve.sel(lead_time=lead)) for lead in leads]
    for words, line in lines:
        style = line_style(len(axes.lines) - 1) | ({"color": color} if color else {})
        x, y = line["forecast_probability"].values, line["observed_frequency"].values
        known = np.isfinite(x) & np.isfinite(y)
        axes.plot(x[known], y[known], marker="o", ms=3, lw=1.3, label=words, **style)
    event = curve.attrs.get("kind") == "event"
    axes.set(
        xlim=(0, 1),
        ylim=(0, 1),
        aspect="equal",
        xlabel="forecast probability of the event" if event else "quantile level of the forecast",
        ylabel="share of times it happened" if event else "share of readings below the quantile",
    )
    return finish(axes)


def bars_of(centres: np.ndarray, counts: np.ndarray, axes: Axes, *, excess: float = 1.0) -> Axes:
    """Draw bars with the band that a flat histogram keeps to.

    Args:
        centres: of the bars, evenly spaced.
        counts: their heights.
        axes: where to draw.
        excess: the variance of a count over that of independent cells.

    Returns:
        The axes.
    """
    from scipy import stats

    total, bars = int(counts.sum()), counts.size
    width = centres[1] - centres[0] if bars > 1 else 1.0
    band = stats.binom.ppf([0.025, 0.975], total, 1 / bars)
    low, high = total / bars + excess**0.5 * (band - total / bars)
    axes.bar(centres, counts, 0.92 * width, color=tint(PALETTE[0], 0.7))
    axes.axhline(total / bars, label="calibrated", **IDEAL)
    axes.axhspan(low, high, color=QUIET, alpha=0.4, lw=0, label="95 % of bars\nif calibrated")
    axes.set_ylabel("cells")
    return finish(axes)


def quantile_curve(
    scores: xr.Dataset,
    variable: str | None = None,
    model: str | None = None,
    *,
    lead_time: str | None = None,
) -> xr.Dataset:
    """Read the reliability of quantiles off the table of scores.

    Args:
        scores: what `assim.compare` gives.
        variable: the channel; by default the first.
        model: the model; by default the first.
        lead_time: one lead; by default all of them together.

    Returns:
        A curve for `reliability`.
    """
    counts, _ = _histogram(scores, variable, model, lead_time)
    below = np.cumsum(counts.values)[:-1] / max(counts.values.sum(), 1)
    nominal = np.arange(1, counts.size) / counts.size
    return xr.Dataset(
        {"forecast_probability": ("bin", nominal), "observed_frequency": ("bin", below)},
        attrs={"kind": "quantiles"},
    )


def spread_skill(
    forecast: xr.DataTree,
    truth: xr.Dataset,
    variable: str | None = None,
    *,
    lead_time: str | None = None,
    bins: int = 10,
    name: str | None = None,
    color: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the error of the mean against the spread, cells binned by spread: the diagonal is right.

    Args:
        forecast: a forecast tree.
        truth: the dataset that holds what happened.
        variable: the channel; by default the first.
        lead_time: one lead, such as "6h"; by default all of them together.
        bins: how many, with equal counts.
        name: the entry in the legend.
        color: of the line; by default the next of the palette.
        ax: where to draw, for several forecasts on one; by default a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: if the channel or lead is not there, or nothing was observed.
    """
    members, seen = _paired(forecast, truth, variable, lead_time)
    curve = scoring.spread_skill(
        scoring.mean_error(members, seen),
        scoring.variance(members),
        bins,
        size=members.sizes["member"],
    )
    axes = new_axes(ax)
    top = max(float(curve["spread"].max()), float(curve["rmse"].max()))
    if axes.lines:
        top = max(top, axes.get_xlim()[1] / 1.05)
    else:
        axes.axline((0, 0), slope=1, label="calibrated", **IDEAL)
    style = line_style(len(axes.lines) - 1) if color is None else {"color": color}
    axes.plot(curve["spread"], curve["rmse"], marker="o", ms=4, lw=1.3, label=name, **style)
    units = members.attrs.get("units")
    axes.set(
        xlim=(0, 1.05 * top),
        ylim=(0, 1.05 * top),
        aspect="equal",
        xlabel=label("spread", units),
        ylabel=label("RMSE of the mean", units),
        title=_title(members),
    )
    return finish(axes)


def _title(channel: xr.DataArray) -> str:
    """Write the name of a channel as words."""
    return str(channel.name or "").replace("_", " ")


def _histogram(
    scores: xr.Dataset, variable: str | None, model: str | None, lead_time: str | None
) -> tuple[xr.DataArray, str]:
    """Take one histogram out of the table of scores."""
    variable = choose("channel", list(map(str, scores["variable"].values)), variable)
    model = choose("model", list(map(str, scores["model"].values)), model)
    counts = scores["pit_histogram"].sel(variable=variable, model=model)
    title = f"{model}: {variable.replace('_', ' ')}"
    if lead_time is None:
        return counts.sum("lead_time"), title
    lead = pick_lead(scores["lead_time"], lead_time)
    return counts.sel(lead_time=lead), f"{title}, {lead_words(lead)}"


def _paired(
    forecast: xr.DataTree, truth: xr.Dataset, variable: str | None, lead_time: str | None
) -> tuple[xr.DataArray, xr.DataArray]:
    """Take the members of one channel and what happened."""
    predicted = scoring.predictions(forecast)
    name = choose("channel", list(map(str, predicted.data_vars)), variable)
    predicted = predicted[[name]]
    if lead_time is not None:
        lead = pick_lead(predicted["lead_time"], lead_time)
        predicted = predicted.sel(lead_time=[lead])
    seen = scoring.pair(predicted, truth)[name]
    if not seen.notnull().any():
        raise ValueError(f"Nothing of '{name}' was observed at the valid times of the forecast.")
    return scoring.members(predicted[name]).rename(name), seen
