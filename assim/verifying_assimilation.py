"""Judge an assimilation: by its own innovations, and by the truth where there is one.

`verify_assimilation` gathers the scores of `assim.scoring` in one table and says what to change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import xarray as xr

from assim import scoring
from assim.data.clockwork import stamp

CLEAR = 0.01
"""An innovation check counts as failed below this p-value, and only where it fails by much, too."""
WIDE, NARROW = 1.25, 0.8
"""Mean squares of normalised innovations that are worth a change."""
APART_HIGH, APART_LOW = 1.25, 0.8
"""The ratio of estimated over assumed variance of the readings, over that of the background: nearer to 1 the two
cannot be told apart."""
BIASED = 0.15
"""Mean of the normalised innovations."""
BIASED_STATE = 0.4
"""Mean error of the state, in root mean square errors."""
REMEMBERED = 0.2
"""Autocorrelation of the innovations from one time to the next."""
OVERCONFIDENT, TIMID = 0.8, 1.25
"""Ratios of spread over error."""


def verify_assimilation(
    tree: xr.DataTree,
    truth: xr.Dataset | None = None,
    *,
    error: Mapping[str, float] | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> xr.Dataset:
    """Judge an assimilation by its innovations and, where there is one, by the truth.

    Args:
        tree: what `assim.assimilate` gives, members kept or not; what `assim.reconstruct` gives, with a truth.
        truth: the true state on `time`, in the units of the assimilation or others that they can be made of; not
            the readings that were assimilated.
        error: the standard deviation of the readings' error by channel, in the units of the channel; where it is
            not given it is told from the spread, for a channel that reads a variable of the state.
        level: the probability of all intervals.
        seed: draws among ties of ranks and the errors of readings.

    Returns:
        On `channel` what `scoring.innovation_consistency` and `scoring.desroziers` give, and `reading_count` on
        (channel, reading_bin) with `reading_flatness`, the p-value. With a truth, on (variable, stage), what
        `scoring.assimilation_errors` and `assimilation_crps` give, and `rank_count` on (variable, stage, bin)
        with `rank_flatness`. Without members no CRPS and no ranks. Attributes: `advice` and `left_out`, each a
        sentence a line, empty where nothing is off.

    Raises:
        ValueError: if this is no assimilation, or the truth shares no variable, time, place or unit with it.
    """
    said: list[str] = []
    table, words = xr.Dataset(), []
    if truth is None or "innovation" in tree.children:
        table = _joined(
            scoring.innovation_consistency(tree, level=level),
            scoring.desroziers(tree, error=error, level=level),
            _of_readings(tree, error, seed, said),
        )
        words += _advice_of_channels(table)
    if truth is not None:
        table = _joined(table, _of_truth(tree, truth, level, seed, said))
        words += _advice_of_truth(table)
    words = _advice_of_lost(tree) + words
    return table.assign_attrs(
        advice="\n".join(words), left_out="\n".join(dict.fromkeys(said)), level=level, seed=seed
    )


def _of_readings(
    tree: xr.DataTree, error: Mapping[str, float] | None, seed: int, said: list[str]
) -> xr.Dataset:
    """Rank the readings of every channel that allows it."""
    found = {}
    for name in scoring.channels(tree):
        try:
            found[name] = scoring.reading_histogram(tree, name, error=error, seed=seed)
        except ValueError as reason:
            said.append(str(reason))
    if not found:
        return xr.Dataset()
    return _side_by_side(
        found,
        lambda name, bars: scoring.reading_histogram(tree, name, error=error, seed=seed, bars=bars),
        "channel",
        {"count": "reading_count", "p_value": "reading_flatness", "bin": "reading_bin"},
    )


def _of_truth(
    tree: xr.DataTree, truth: xr.Dataset, level: float, seed: int, said: list[str]
) -> xr.Dataset:
    """Score every variable that the truth holds."""
    held = scoring.variables(tree)
    names = [name for name in held if name in truth.data_vars] or list(held[:1])
    rows: dict[str, xr.Dataset] = {}
    ranked: dict[str, xr.Dataset] = {}
    units: list[str] = []
    refused: list[ValueError] = []
    for name in names:
        try:
            scores = scoring.assimilation_errors(tree, truth, name, level=level)
        except ValueError as reason:
            refused.append(reason)
            continue
        units.append(str(scores["rmse"].attrs.get("units", "")))
        try:
            scores = _joined(scores, scoring.assimilation_crps(tree, truth, name, level=level))
            ranked[name] = _all_stages(tree, truth, name, seed, None)
        except ValueError as reason:
            said.append(str(reason))
        rows[name] = scores.drop_attrs()
    if not rows:
        raise refused[0]
    said += map(str, refused)
    table = xr.concat(rows.values(), "variable", join="outer", compat="no_conflicts")
    table = table.rename(n="n_true", bias="bias_true")
    table = table.assign_coords(variable=list(rows), units_of_variable=("variable", units))
    if not ranked:
        return table
    counted = _side_by_side(
        ranked,
        lambda name, bars: _all_stages(tree, truth, name, seed, bars),
        "variable",
        {"count": "rank_count", "p_value": "rank_flatness"},
    )
    return _joined(table, counted)


def _joined(*tables: xr.Dataset) -> xr.Dataset:
    """Put tables of other columns into one."""
    return xr.merge(tables, compat="no_conflicts", join="outer", combine_attrs="drop")


def _all_stages(
    tree: xr.DataTree, truth: xr.Dataset, variable: str, seed: int, bars: int | None
) -> xr.Dataset:
    """The ranks of the truth in background and analysis, in as many bars."""
    held = scoring.stages(tree)

    def counted(stage: str, bars: int | None) -> xr.Dataset:
        return scoring.truth_histogram(tree, truth, variable, stage=stage, bars=bars, seed=seed)

    return _side_by_side({stage: counted(stage, bars) for stage in held}, counted, "stage", {})


def _side_by_side(
    found: Mapping[str, xr.Dataset],
    again: Callable[[str, int], xr.Dataset],
    dim: str,
    names: Mapping[str, str],
) -> xr.Dataset:
    """Lay histograms side by side, all in as many bars as the one with the fewest."""
    fewest = min(part.sizes["bin"] for part in found.values())
    alike = [
        part if part.sizes["bin"] == fewest else again(name, fewest) for name, part in found.items()
    ]
    joined = xr.concat([part.drop_vars(["n", "excess"], errors="ignore") for part in alike], dim)
    return joined.assign_coords({dim: list(found)}).rename(names).drop_attrs()


def _advice_of_lost(tree: xr.DataTree) -> list[str]:
    """Say at how many times the state was lost, and when first."""
    for group in ("innovation", "smoothed"):
        if group not in tree.children or "lost" not in tree[group].data_vars:
            continue
        held = tree[group].to_dataset()["lost"].transpose("time", ...)
        lost = held.values.reshape(held.sizes["time"], -1)
        if lost.any():
            first = stamp(held["time"].values[lost.any(axis=1)][0])
            return [
                f"The state was lost at {lost.mean():.0%} of the times, first at {first}, and scores are those of "
                "a filter that does not follow: give it more inflation, more members, noise in the model, or a "
                "larger error of the readings."
            ]
    return []


def _advice_of_channels(table: xr.Dataset) -> list[str]:
    """Say of every channel what its innovations ask for."""
    words = []
    for name in map(str, table["channel"].values):
        row = table.sel(channel=name)
        units = f" {row['units'].item()}" if row["units"].item() not in ("", "1") else ""
        square, p = float(row["mean_square"]), float(row["p_value"])
        low, high = row["mean_square_expected"].values
        beside = f"(mean square {square:.2f} of the normalised, {low:.2f} to {high:.2f} expected)"
        if p < CLEAR and square > WIDE:
            words.append(
                f"Innovations of '{name}' are wider than the filter expects {beside}: give it more inflation, more "
                "model noise or a larger observation error."
            )
        if p < CLEAR and square < NARROW:
            words.append(
                f"Innovations of '{name}' are narrower than the filter expects {beside}: give it less inflation, "
                "less model noise or a smaller observation error."
            )
        words += _advice_of_parts(row, name, units)
        mean, (low, high) = float(row["mean"]), row["mean_interval"].values
        if abs(mean) > BIASED and low * high > 0:
            side = "above" if mean > 0 else "below"
            words.append(
                f"Readings of '{name}' lie {abs(float(row['bias'])):.3g}{units} {side} the background on average, "
                f"{abs(mean):.2f} of its standard deviation: correct the bias of the model or of the sensor, which "
                "no inflation mends."
            )
        lag_one = float(row["autocorrelation"].isel(lag=0))
        if abs(lag_one) > max(REMEMBERED, float(row["autocorrelation_expected"])):
            cure = (
                "readings are trusted too little, or the model errs the same way again"
                if lag_one > 0
                else "readings are trusted too much"
            )
            words.append(
                f"Innovations of '{name}' are correlated from one time to the next ({lag_one:.2f}): {cure}."
            )
    return words


def _advice_of_parts(row: xr.Dataset, name: str, units: str) -> list[str]:
    """Say which of the two variances of an innovation is off, after Desroziers, where they can be told apart."""
    ratios = {what: float(row[f"{what}_ratio"]) for what in ("error", "background")}
    apart = ratios["error"] / ratios["background"] if ratios["background"] > 0 else np.nan
    if not np.isfinite(apart) or APART_LOW <= apart <= APART_HIGH:
        return []  # both are off by the same factor, or neither is
    what = max(ratios, key=lambda key: abs(np.log(max(ratios[key], 1e-3))))
    ratio, (low, high) = ratios[what], row[f"{what}_ratio_interval"].values
    if low <= 1 <= high:
        return []
    told, assumed = float(row[f"{what}_sd"]), float(row[f"{what}_sd_assumed"])
    found = f"about {told:.3g}{units}" if np.isfinite(told) else "near 0"
    side = "larger" if ratio > 1 else "smaller"
    noun, cure = {
        "error": ("observation error", f"set a {side} one and look again"),
        "background": (
            "background's spread",
            f"give {'more' if ratio > 1 else 'less'} inflation or model noise and look again",
        ),
    }[what]
    return [
        f"By the residuals (Desroziers) the {noun} of '{name}' is {found}, where {assumed:.3g}{units} was assumed: "
        f"{cure}."
    ]


def _advice_of_truth(table: xr.Dataset) -> list[str]:
    """Say of every variable whether the analysis is as sure as it may be."""
    words = []
    for name in map(str, table["variable"].values):
        for stage in map(str, table["stage"].values):
            row = table.sel(variable=name, stage=stage)
            ratio, error, bias = (
                float(row[key]) for key in ("spread_skill", "rms_error", "bias_true")
            )
            if abs(bias) > BIASED_STATE * error:
                size = f"{abs(bias):.3g} {row['units_of_variable'].item()}".rstrip()
                side = "above" if bias > 0 else "below"
                words.append(
                    f"The {stage} of '{name}' lies {size} {side} the truth on average, {abs(bias) / error:.2f} of "
                    "its error: look for a bias of the readings or of the model."
                )
            elif ratio < OVERCONFIDENT:
                words.append(
                    f"The spread of the {stage} of '{name}' is {ratio:.2f} of its error: the filter is too sure, "
                    "give it more inflation or a larger observation error."
                )
            elif ratio > TIMID:
                words.append(
                    f"The spread of the {stage} of '{name}' is {ratio:.2f} of its error: the filter is not sure "
                    "enough, give it less inflation or a smaller observation error."
                )
    return words
