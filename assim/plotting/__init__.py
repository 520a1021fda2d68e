"""Plots of labelled forecasts, assimilations and scores; each gives matplotlib axes, or draws on those given.

Legends stand to the right of the axes, where they cover nothing: give your own figures `layout="constrained"`,
which makes room for them.
"""

from assim.plotting.assimilation import (
    analysis_fan,
    assimilation_ranks,
    hovmoeller,
    innovations,
    spread_error,
)
from assim.plotting.calibration import pit, quantile_curve, ranks, reliability, spread_skill
from assim.plotting.curves import scores_by_lead, training, variance_split
from assim.plotting.fan import fan
from assim.plotting.field_curves import plot_error_by_lead, plot_spectrum
from assim.plotting.fields import plot_hovmoller, plot_map

__all__ = [
    "analysis_fan",
    "assimilation_ranks",
    "fan",
    "hovmoeller",
    "innovations",
    "pit",
    "plot_error_by_lead",
    "plot_hovmoller",
    "plot_map",
    "plot_spectrum",
    "quantile_curve",
    "ranks",
    "reliability",
    "scores_by_lead",
    "spread_error",
    "spread_skill",
    "training",
    "variance_split",
]
