"""Alarms: the probability over time, what happened and which were right; how early against how often wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from assim import scoring
from assim.data.aligning import Duration
from assim.data.clockwork import step_words
from assim.plotting.style import (
    PALETTE,
    QUIET,
    TRUTH,
    at_place,
    finish,
    line_style,
    new_axes,
    time_axis,
    tint,
    words_of,
)
from assim.scoring.alarms import flattened, pieces

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HIT, FALSE = PALETTE[2], PALETTE[1]
KINDS = (
    (1.0, HIT, "alarm before an onset"),
    (0.0, FALSE, "false alarm"),
    (np.nan, PALETTE[3], "alarm, not judged"),
)


def plot_alarms(
    chance: xr.DataArray,
    truth: xr.Dataset,
    level: float,
    *,
    horizon: Duration | None = None,
    clear: float | None = None,
    gap: Duration | None = None,
    place: str | int = 0,
    ax: Axes | None = None,
) -> Axes:
    """Draw the probability of an event over time, its episodes in the truth and the alarms, right or wrong.

    Args:
        chance: probabilities of an event from consecutive origins, as of `assim.scoring.alarms`.
        truth: the record that holds what happened.
        level: of alarm.
        horizon: which lead is drawn, as "500ms"; None for the last.
        clear: the level at which an episode is over, in units of the threshold.
        gap: the furthest that two episodes of one lie apart.
        place: which run (or other place), by name or number.
        ax: where to draw; by default a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: there is no such place, or as of `assim.scoring.alarm_frames`.
    """
    frames = scoring.alarm_frames(chance, truth, horizon=horizon, clear=clear, gap=gap)
    chosen = {
        str(name): at_place(value, place, ("init_time", "time"))
        for name, value in frames.data_vars.items()
    }
    where = words_of(chosen["onset"][1])
    frames = xr.Dataset({name: value for name, (value, _) in chosen.items()}, attrs=frames.attrs)
    axes, told = new_axes(ax), frames.attrs
    times, origins = frames["time"].values, frames["init_time"].values
    span = np.timedelta64(round(told["spacing"] * 1e9), "ns")
    words = f"{told['variable']} {told['side']} {told['threshold']:.4g} {told['threshold_units']}"
    for first, last in _spans(frames["episode"].values == 1):
        axes.axvspan(
            times[first], times[last], color=tint(QUIET, 0.4), lw=0, zorder=0, label=words.strip()
        )
        words = "_again"
    _draw_alarms(axes, frames, level, span)
    for row, at in enumerate(times[frames["onset"].values]):
        axes.axvline(at, color=TRUTH, lw=1, label="_again" if row else "onset")
    axes.plot(origins, frames["probability"], color=PALETTE[0], lw=1.5, label="probability")
    axes.axhline(level, color=QUIET, lw=1, ls="--", label=f"level {level:.3g}")
    axes.set(
        ylim=(0, 1),
        ylabel=f"probability within {step_words(told['horizon'])}",
        title=", ".join(where),
    )
    time_axis(axes)
    return finish(axes)


def plot_lead_times(
    scored: xr.Dataset | Mapping[str, xr.Dataset], *, ax: Axes | None = None
) -> Axes:
    """Draw how early onsets are warned of against how many false alarms that costs, over levels of alarm.

    Args:
        scored: what `assim.scoring.alarms` gives at several levels, or several by name.
        ax: where to draw; by default a new figure.

    Returns:
        The axes: of each forecast the median lead, the onsets that are missed counted as 0 s, with its quartiles.
    """
    every = {"": scored} if isinstance(scored, xr.Dataset) else dict(scored)
    axes = new_axes(ax)
    for index, (name, one) in enumerate(every.items()):
        order = np.lexsort((-one["level"].values, one["false_alarm_rate"].values))
        rate = one["false_alarm_rate"].values[order]
        lead = one["lead"].fillna(0.0).transpose("level", "onset").values[order]
        low, middle, high = np.quantile(lead, [0.25, 0.5, 0.75], axis=1)
        style = line_style(index)
        axes.fill_between(rate, low, high, color=tint(style["color"], 0.25), lw=0)
        axes.plot(rate, middle, marker=".", label=name or "median of all onsets", **style)
    axes.set(xlabel="false alarms per hour (1/h)", ylabel="lead time (s)")
    axes.set_ylim(bottom=0)
    return finish(axes)


def _draw_alarms(axes: Axes, frames: xr.Dataset, level: float, span: np.timedelta64) -> None:
    """Shade every alarm by what came of it."""
    probability, event, _ = flattened(frames)
    reach = max(1, round(frames.attrs["horizon"] / frames.attrs["spacing"]))
    _, first, last, outcome = pieces(probability >= level, event, reach)
    origins = frames["init_time"].values
    for kind, color, words in KINDS:
        alike = np.isnan(outcome) if np.isnan(kind) else outcome == kind
        for begin, end in zip(origins[first[alike]], origins[last[alike]] + span, strict=True):
            axes.axvspan(begin, end, color=tint(color, 0.35), lw=0, zorder=0.5, label=words)
            words = "_again"


def _spans(flag: np.ndarray) -> list[tuple[int, int]]:
    """First and last row of each stretch of a flag."""
    edges = np.flatnonzero(np.diff(np.pad(flag.astype(int), 1)))
    return [(int(a), int(b) - 1) for a, b in edges.reshape(-1, 2)]
