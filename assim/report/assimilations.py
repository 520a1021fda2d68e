"""What a filter made of the readings: its settings, the checks of its innovations, scores, plots."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from assim import plotting, scoring
from assim.plotting.style import label
from assim.report.fields import field_in_time
from assim.report.pages import MOST_CHANNELS, facts, figure, heading, note, table
from assim.report.provenance import settings_words
from assim.verifying_assimilation import verify_assimilation

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SETTINGS = ("filter", "model", "assimilated", "update")
CHECKS = (
    "channel",
    "readings",
    "mean square",
    "expected",
    "p",
    "bias",
    "lag-1 correlation",
    "log score",
    "error sd",
    "assumed",
    "background sd",
    "assumed",
    "flat ranks, p",
)
JUDGED = ("variable", "belief", "RMSE", "spread", "spread/error", "bias", "CRPS", "flat ranks, p")
CONSISTENT = (
    "Nothing in this table is off by so much that it asks for a change. A small p of a long record may tell of a "
    "difference that does not matter."
)
EXPLAINED = (
    "Mean square of the normalised innovations, each in units of its own deviation: 1 when the filter is right; "
    "whether those of one time go together as expected is not in it. Standard deviations of the readings' error "
    "and of the background after Desroziers et al. (2005), beside those that the filter assumed."
)


def assimilations(trees: Mapping[str, xr.DataTree], truth: xr.Dataset | None) -> str:
    """Write what is to be said of every assimilation, as HTML.

    Args:
        trees: assimilations by name.
        truth: what happened, or None.

    Returns:
        HTML, empty where there is none.
    """
    return "".join(_one(name, tree, truth) for name, tree in trees.items())


def _one(name: str, tree: xr.DataTree, truth: xr.Dataset | None) -> str:
    body, said = heading(name) + facts(_settings(tree)), []
    checked = xr.Dataset(attrs={"advice": "", "left_out": ""})
    if truth is not None:
        try:
            checked = verify_assimilation(tree, truth)
        except ValueError as reason:
            truth, said = None, [f"Nothing is judged by the truth: {reason}"]
    if truth is None and "innovation" in tree.children:
        try:
            checked = verify_assimilation(tree)
        except ValueError as reason:
            said.append(str(reason))
    if "channel" in checked.dims:
        body += table(CHECKS, _checks(checked)) + note(EXPLAINED)
    advice = [line for line in checked.attrs["advice"].splitlines() if line]
    body += "".join(note(line, "advice") for line in advice)
    if "channel" in checked.dims and not advice:
        body += note(CONSISTENT, "fine")
    if truth is not None:
        body += table(JUDGED, _scores(checked))
    body += "".join(note(line) for line in (*said, *checked.attrs["left_out"].splitlines()) if line)
    return body + _figures(name, tree, truth, checked)


def _shown(tree: xr.DataTree) -> str:
    """The belief that is drawn."""
    held = scoring.stages(tree)
    return "analysis" if "analysis" in held else held[-1]


def _settings(tree: xr.DataTree) -> list[tuple[str, object]]:
    """The filter, the model, what was assimilated."""
    rows: list[tuple[str, object]] = [
        (key, settings_words(tree.attrs[key])) for key in SETTINGS if key in tree.attrs
    ]
    group = tree[_shown(tree)].to_dataset()
    times = group["time"].values
    rows += [
        ("variables", ", ".join(scoring.variables(tree))),
        ("times", f"{times.size}, {_stamp(times.min())} to {_stamp(times.max())}"),
        ("members kept", group.sizes.get("chain", 1) * group.sizes.get("draw", 0)),
    ]
    return rows


def _stamp(time: np.datetime64) -> str:
    """A time without idle zeros."""
    return str(time.astype("datetime64[ns]").astype("datetime64[us]").item())


def _checks(checked: xr.Dataset) -> list[list[object]]:
    """A row for every channel."""
    rows = []
    for name in map(str, checked["channel"].values):
        row = checked.sel(channel=name)
        low, high = row["mean_square_expected"].values
        units = str(row["units"].item())
        rows.append(
            [
                label(name, units),
                int(row["n"]),
                float(row["mean_square"]),
                f"{low:.2f} to {high:.2f}",
                float(row["p_value"]),
                float(row["bias"]),
                float(row["autocorrelation"].isel(lag=0)),
                float(row["log_score"]) if "log_score" in row else np.nan,
                float(row["error_sd"]),
                float(row["error_sd_assumed"]),
                float(row["background_sd"]),
                float(row["background_sd_assumed"]),
                float(row["reading_flatness"]) if "reading_flatness" in row else np.nan,
            ]
        )
    return rows


def _scores(checked: xr.Dataset) -> list[list[object]]:
    """A row for every variable and belief."""
    rows = []
    for name in map(str, checked["variable"].values):
        for stage in map(str, checked["stage"].values):
            row = checked.sel(variable=name, stage=stage)
            low, high = row["rmse_interval"].values
            units = str(row["units_of_variable"].item())
            rows.append(
                [
                    label(name, units),
                    stage,
                    f"{float(row['rmse']):.3g} [{low:.3g}, {high:.3g}]",
                    float(row["spread"]),
                    float(row["spread_skill"]),
                    float(row["bias_true"]),
                    float(row["crps"]) if "crps" in row else np.nan,
                    float(row["rank_flatness"]) if "rank_flatness" in row else np.nan,
                ]
            )
    return rows


def _figures(name: str, tree: xr.DataTree, truth: xr.Dataset | None, checked: xr.Dataset) -> str:
    """Draw fields or fans, innovations, ranks, and spread beside error."""
    body = ""
    judged = list(map(str, checked["variable"].values)) if truth is not None else []
    fields = scoring.field_axes(tree)
    for variable in list(fields)[:MOST_CHANNELS]:
        body += field_in_time(name, tree, truth if variable in judged else None, variable)
    fans = [v for v in scoring.variables(tree) if v not in fields][:MOST_CHANNELS]
    panels: list[Callable[[Axes], object]] = [
        partial(_fan, tree, truth if v in judged else None, v) for v in fans
    ]
    body += figure(panels, f"{name}: the analysis and the readings")
    if "innovation" in tree.children:
        panels = [partial(_innovations, tree, c) for c in scoring.channels(tree)[:MOST_CHANNELS]]
        body += figure(panels, f"{name}: innovations of each channel")
    panels = []
    if truth is not None:
        for variable in judged[:MOST_CHANNELS]:
            panels.append(partial(_spread, tree, truth, variable))
            if "rank_count" in checked and scoring.held_members(tree, _shown(tree), variable):
                panels.append(partial(_ranks, tree, truth, variable))
    elif "reading_count" in checked:
        ranked = checked["reading_flatness"].dropna("channel")["channel"].values[:MOST_CHANNELS]
        panels = [partial(_ranks, tree, None, str(channel)) for channel in ranked]
    return body + figure(panels, f"{name}: error and spread in time, and ranks")


def _fan(tree: xr.DataTree, truth: xr.Dataset | None, variable: str, ax: Axes) -> None:
    plotting.analysis_fan(tree, truth, variable, stage=_shown(tree), ax=ax)


def _innovations(tree: xr.DataTree, channel: str, ax: Axes) -> None:
    plotting.innovations(tree, channel, ax=ax)


def _spread(tree: xr.DataTree, truth: xr.Dataset, variable: str, ax: Axes) -> None:
    plotting.spread_error(tree, truth, variable, ax=ax)


def _ranks(tree: xr.DataTree, truth: xr.Dataset | None, variable: str, ax: Axes) -> None:
    plotting.assimilation_ranks(tree, truth, variable, stage=_shown(tree), ax=ax)
