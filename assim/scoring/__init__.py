"""Scores of labelled forecasts: proper scores, calibration, skill, events.

Everything takes and gives xarray; members lie on the dimension `member`, and the dimensions that
are averaged are named. `assim.compare` puts it together.
"""

from assim.scoring.calibration import (
    coverage,
    histogram,
    pit,
    rank_histogram,
    ranks,
    reliability,
    spread_skill,
)
from assim.scoring.cells import gather_log_scores, score_cells
from assim.scoring.circular import mean_direction, period, wrap
from assim.scoring.elpd import elpd
from assim.scoring.events import event_reliability, event_scores, happened, probability, roc
from assim.scoring.pairing import FORECAST, common, members, pair, predictions
from assim.scoring.proper import (
    climatological_sd,
    crps,
    energy_score,
    log_scores,
    mean_error,
    variance,
)
from assim.scoring.skill import block_length, gain, skill
from assim.scoring.unseen import require_unseen, trained_on

__all__ = [
    "FORECAST",
    "block_length",
    "climatological_sd",
    "common",
    "coverage",
    "crps",
    "elpd",
    "energy_score",
    "event_reliability",
    "event_scores",
    "gain",
    "gather_log_scores",
    "happened",
    "histogram",
    "log_scores",
    "mean_direction",
    "mean_error",
    "members",
    "pair",
    "period",
    "pit",
    "predictions",
    "probability",
    "rank_histogram",
    "ranks",
    "reliability",
    "require_unseen",
    "roc",
    "score_cells",
    "skill",
    "spread_skill",
    "trained_on",
    "variance",
    "wrap",
]
