"""What scores come to, in sentences: which model leads, and whether its intervals hold what they promise."""

from __future__ import annotations

import numpy as np
import xarray as xr

from assim.data.describing import listed

LEAST_HELD, MOST_HELD = 0.85, 0.95
"""Between these shares of the truth a 90 % interval counts as calibrated."""
CALIBRATED = f"{100 * LEAST_HELD:g} to {100 * MOST_HELD:g} %"


def ranking(scores: xr.Dataset) -> dict[str, float]:
    """CRPS skill of every model against the baseline, mean over channels and leads, the most skilful first.

    Args:
        scores: what `compare` gives, with a baseline.

    Returns:
        Skill by model; NaN, where a model has none, comes last.
    """
    skill = scores["crps_skill"].mean(("variable", "lead_time"))
    ordered = skill.isel(model=np.argsort(-skill.values, stable=True))
    return dict(zip(map(str, ordered["model"].values), map(float, ordered.values), strict=True))


def leading(scores: xr.Dataset) -> str:
    """Say which model leads over all channels, by how much, and which has the greatest mean skill on each.

    Args:
        scores: what `compare` gives, with a baseline.
    """
    told = {model: skill for model, skill in ranking(scores).items() if np.isfinite(skill)}
    if not told:
        return "No model has a score to be ranked by."
    first, *others = (f"{model} ({skill:.2f})" for model, skill in told.items())
    after = f", then {listed(others)}" if others else ""
    skills = scores["crps_skill"].mean("lead_time").dropna("variable", how="all")
    best = [
        f"{model} on {variable.replace('_', ' ')}"
        for variable, model in zip(
            map(str, skills["variable"].values), skills.idxmax("model").values, strict=True
        )
    ]
    return f"By mean skill against {scores.attrs['baseline']} {first} leads{after}. By channel: {listed(best)}."


def covering(scores: xr.Dataset, model: str) -> tuple[str, bool]:
    """Say what share of the truth the 90 % intervals of a model hold, the worst channel first.

    Args:
        scores: what `compare` gives.
        model: one of its models.

    Returns:
        The sentence, empty where nothing was scored, and whether every share is about 90 %.
    """
    inside = scores["coverage"].sel(level=0.9, model=model)
    shares = inside.weighted(scores["n"]).mean("lead_time").dropna("variable")
    worst_first = shares[np.argsort(-abs(shares.values - 0.9))]
    told = [_share_held(str(at["variable"].item()), float(at)) for at in worst_first]
    sound = bool(((shares >= LEAST_HELD) & (shares <= MOST_HELD)).all())
    ending = "." if sound else f": outside {CALIBRATED} a forecast does not count as calibrated."
    return (f"{model}: the 90 % intervals hold {listed(told)}{ending}" if told else ""), sound


def _share_held(variable: str, share: float) -> str:
    """Say what share of a channel the intervals hold, and what is wrong with them."""
    fault = " (too narrow)" if share < LEAST_HELD else " (too wide)" if share > MOST_HELD else ""
    return f"{100 * share:.3g} % of {variable.replace('_', ' ')}{fault}"
