"""Scores of labelled forecasts and assimilations: proper scores, calibration, skill, events, innovations, fields.

Everything takes and gives xarray; members lie on the dimension `member`, and the dimensions that
are averaged are named. `assim.compare` and `assim.verify_assimilation` put it together.
"""

from assim.scoring import generated, transported
from assim.scoring.alarms import alarm_level, alarms
from assim.scoring.assimilated import (
    channels,
    difference,
    held_members,
    innovation,
    moments,
    stages,
    variables,
)
from assim.scoring.assimilated import members as equal_members
from assim.scoring.assimilation import (
    assimilation_crps,
    assimilation_errors,
    flatness,
    truth_histogram,
)
from assim.scoring.attractor_spectra import attractor_floors, spectrum_hellinger
from assim.scoring.attractors import state_space_divergence
from assim.scoring.beside import truth_of
from assim.scoring.blocks import autocorrelation, block_interval, correlation_time, steps_apart
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
from assim.scoring.episodes import episodes
from assim.scoring.events import event_reliability, event_scores, happened, probability, roc
from assim.scoring.fields import error_by_lead, valid_prediction_time
from assim.scoring.grids import area_weights, field_axes, grid_axes, laid_out
from assim.scoring.innovations import (
    desroziers,
    innovation_consistency,
    reading_histogram,
)
from assim.scoring.logistic import Logistic, fit_logistic
from assim.scoring.pairing import FORECAST, common, members, pair, predictions
from assim.scoring.proper import (
    climatological_sd,
    crps,
    energy_score,
    log_scores,
    mean_error,
    variance,
)
from assim.scoring.seen import error_variance, seen_members
from assim.scoring.skill import block_length, gain, skill
from assim.scoring.spectrum import energy_spectrum
from assim.scoring.unseen import require_unseen, trained_on
from assim.scoring.watching import alarm_frames

__all__ = [
    "FORECAST",
    "Logistic",
    "alarm_frames",
    "alarm_level",
    "alarms",
    "area_weights",
    "assimilation_crps",
    "assimilation_errors",
    "attractor_floors",
    "autocorrelation",
    "block_interval",
    "block_length",
    "channels",
    "climatological_sd",
    "common",
    "correlation_time",
    "coverage",
    "crps",
    "desroziers",
    "difference",
    "elpd",
    "energy_score",
    "energy_spectrum",
    "episodes",
    "equal_members",
    "error_by_lead",
    "error_variance",
    "event_reliability",
    "event_scores",
    "field_axes",
    "fit_logistic",
    "flatness",
    "gain",
    "gather_log_scores",
    "generated",
    "grid_axes",
    "happened",
    "held_members",
    "histogram",
    "innovation",
    "innovation_consistency",
    "laid_out",
    "log_scores",
    "mean_direction",
    "mean_error",
    "members",
    "moments",
    "pair",
    "period",
    "pit",
    "predictions",
    "probability",
    "rank_histogram",
    "ranks",
    "reading_histogram",
    "reliability",
    "require_unseen",
    "roc",
    "score_cells",
    "seen_members",
    "skill",
    "spectrum_hellinger",
    "spread_skill",
    "stages",
    "state_space_divergence",
    "steps_apart",
    "trained_on",
    "transported",
    "truth_histogram",
    "truth_of",
    "valid_prediction_time",
    "variables",
    "variance",
    "wrap",
]
