"""Compare forecasts with what happened, and with each other, on the points that all of them have.

`compare` gives the scores by lead time and channel, `table` lays them out. `verify`, `elpds` and
`exceedance` (in `assim.verifying`) belong to the same verb.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from assim import scoring
from assim.verifying import elpds, exceedance, lead_words, pick_lead, verify

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["compare", "elpds", "exceedance", "lead_words", "table", "verify"]

BASELINES = ("persistence", "climatology")
COLUMNS = ("crps", "log_score", "rmse", "bias", "spread_skill", "pit_mean", "pit_variance", "n")
WORDS = {
    "crps": "CRPS",
    "log_score": "log of the predictive density at the truth",
    "energy_score": "energy score across channels",
    "rmse": "root mean square error of the mean",
    "bias": "forecast mean minus truth",
    "spread": "root mean ensemble variance, with the factor (M + 1) / M",
    "spread_skill": "spread over RMSE",
    "coverage": "share of truths inside the central interval",
    "pit_mean": "mean of the probability integral transform",
    "pit_variance": "variance of the probability integral transform",
    "pit_histogram": "count of transforms",
    "n": "cells scored",
    "crps_skill": "CRPS skill against the baseline",
    "energy_skill": "energy-score skill against the baseline",
    "log_score_gain": "log score minus that of the baseline",
}
PHYSICAL = ("crps", "rmse", "bias", "spread")


def compare(
    forecasts: Mapping[str, xr.DataTree],
    truth: xr.Dataset,
    *,
    baseline: str | None = None,
    seed: int = 0,
    in_sample: bool = False,
) -> xr.Dataset:
    """Score forecasts by lead time and channel, on the cells that all of them have.

    Args:
        forecasts: forecast trees by name, as `assim.forecast` gives them.
        truth: the dataset that holds what happened, in the units of the forecasts.
        baseline: the model that skill is measured against; by default the first one whose name
            contains "persistence" or "climatology", and no skill without one.
        seed: of the block bootstrap, of the ties in ranks and of the pairs in the energy score.
        in_sample: whether forecasts of what their models were trained on are scored all the same.

    Returns:
        On (model, variable, lead_time): `crps`, `rmse`, `bias`, `spread` (in the units of the
        coordinate `units`), `log_score`, `spread_skill` (1 when calibrated), `coverage(level)`,
        `pit_mean` (1/2 when calibrated), `pit_variance` (1/12), `pit_histogram(bin)`; `crps_skill`
        and `log_score_gain` with `_interval(bound)` against the baseline; `energy_score` and
        `energy_skill` without `variable`; `n(variable, lead_time)` cells. Attributes: `n_points`,
        `dropped` (sentences), `baseline`, `block` (origins per bootstrap block), `level`.

    Raises:
        ValueError: if the forecasts share nothing with each other or with the truth, the baseline is not
            among them, or a model was trained on what it is judged by.
    """
    if baseline is not None and baseline not in forecasts:
        raise ValueError(
            f"The baseline '{baseline}' is not among the forecasts {list(forecasts)}; name one."
        )
    if not in_sample:
        scoring.require_unseen(forecasts)
    rng = np.random.default_rng(seed)
    predicted, paired, said = scoring.common(forecasts, truth)
    cells = scoring.score_cells(predicted, paired, rng=rng)
    cells["log_score"] = scoring.gather_log_scores(forecasts, cells["crps"])
    over = [str(d) for d in cells["energy_score"].dims if d not in ("model", "lead_time")]
    scores = _averages(cells, over)
    baseline = baseline or _find_baseline(list(forecasts))
    if baseline is not None:
        scores = scores.assign(_skills(cells, baseline, over, rng))
        scores.attrs |= {"baseline": baseline} | _settings(cells)
    for name, score in scores.data_vars.items():
        score.attrs = {"long_name": WORDS[str(name).removesuffix("_interval")]}
        if name not in PHYSICAL:
            score.attrs["units"] = "1"
    scores.attrs |= {
        "n_points": int(scores["n"].sum()),
        "dropped": "\n".join(said + _gaps(cells, paired)),
        "seed": seed,
    }
    return scores


def table(scores: xr.Dataset, lead_time: str | None = None) -> pd.DataFrame:
    """Lay the scores out for reading, one row per channel, lead and model.

    Args:
        scores: what `compare` gives.
        lead_time: one lead, such as "6h"; by default all of them.

    Returns:
        A frame indexed by variable, lead time (in words) and model, with a column per score, one
        per coverage level (`coverage_90`), and the skill with its interval.

    Raises:
        ValueError: if that lead was not scored.
    """
    if lead_time is not None:
        scores = scores.sel(lead_time=[pick_lead(scores["lead_time"], lead_time)])
    columns = {name: scores[name] for name in COLUMNS}
    for level in scores["level"].values:
        columns[f"coverage_{100 * level:g}"] = scores["coverage"].sel(level=level, drop=True)
    for name in ("crps_skill", "log_score_gain"):
        if name in scores:
            columns[name] = scores[name]
            for bound in ("lower", "upper"):
                columns[f"{name}_{bound}"] = scores[f"{name}_interval"].sel(bound=bound, drop=True)
    flat = xr.Dataset({key: column.reset_coords(drop=True) for key, column in columns.items()})
    flat = flat.assign_coords(lead_time=[lead_words(lead) for lead in flat["lead_time"].values])
    return flat.to_dataframe(dim_order=["variable", "lead_time", "model"])[list(columns)]


def _averages(cells: xr.Dataset, over: Sequence[str]) -> xr.Dataset:
    """Average the cells over origins and places."""
    factor = (cells["members"] + 1) / cells["members"]
    rmse = (cells["error"] ** 2).mean(over) ** 0.5
    spread = (factor * cells["variance"].mean(over)) ** 0.5
    scores = {
        "crps": cells["crps"].mean(over),
        "log_score": cells["log_score"].mean(over),
        "energy_score": cells["energy_score"].mean(over),
        "rmse": rmse,
        "bias": cells["error"].mean(over),
        "spread": spread,
        "spread_skill": (spread / rmse.where(rmse > 0)),
        "coverage": scoring.coverage(cells["pit"], over=over),
        "pit_mean": cells["pit"].mean(over),
        "pit_variance": cells["pit"].var(over),
        "pit_histogram": scoring.histogram(cells["pit"], over=over),
        "n": cells["crps"].isel(model=0, drop=True).notnull().sum(over),
    }
    return xr.Dataset(scores)


def _skills(
    cells: xr.Dataset, baseline: str, over: Sequence[str], rng: np.random.Generator
) -> dict[str, xr.DataArray]:
    """Measure every model against the baseline, with intervals."""
    measures = {
        "crps_skill": (scoring.skill, "crps", "skill"),
        "energy_skill": (scoring.skill, "energy_score", "skill"),
        "log_score_gain": (scoring.gain, "log_score", "gain"),
    }
    results = {}
    for name, (measure, score, value) in measures.items():
        reference = cells[score].sel(model=baseline, drop=True)
        per_model = [
            measure(cells[score].sel(model=model, drop=True), reference, rng=rng, over=over)
            for model in cells["model"].values
        ]
        joined = xr.concat(per_model, dim=cells["model"].variable)
        results[name] = joined[value]
        bounds = joined[["lower", "upper"]].to_dataarray("bound")
        results[f"{name}_interval"] = bounds.transpose(..., "bound")
    return {key: result.reset_coords(drop=True) for key, result in results.items()}


def _settings(cells: xr.Dataset) -> dict[str, int | float]:
    """Say how the intervals were made."""
    block = scoring.block_length(cells["init_time"], cells["lead_time"].values.max())
    return {"block": block, "level": 0.9}


def _find_baseline(names: Sequence[str]) -> str | None:
    """Find the first model that is named like a baseline."""
    return next((n for n in names if any(word in n.lower() for word in BASELINES)), None)


def _gaps(cells: xr.Dataset, paired: xr.Dataset) -> list[str]:
    """Say how many cells were left out, and which forecasts have no log score."""
    said = []
    scored = cells["crps"].isel(model=0, drop=True).notnull()
    for name, channel in paired.data_vars.items():
        missing = int(channel.isnull().sum())
        if missing:
            said.append(f"{name}: {missing} of {channel.size} cells without truth")
        lost = channel.size - missing - int(scored.sel(variable=name).sum())
        if lost:
            said.append(f"{name}: {lost} cells where a forecast is missing")
    for model in cells["model"].values:
        if not cells["log_score"].sel(model=model).notnull().any():
            said.append(f"{model}: no log score")
    return said
