"""Plots of labelled forecasts, assimilations and scores; each gives matplotlib axes, or draws on those given.

Legends stand to the right of the axes, where they cover nothing: give your own figures `layout="constrained"`,
which makes room for them.
"""

from assim.plotting.alarms import plot_alarms, plot_lead_times
from assim.plotting.assimilation import (
    analysis_fan,
    assimilation_ranks,
    hovmoeller,
    innovations,
    spread_error,
)
from assim.plotting.attribution import plot_attribution
from assim.plotting.bands import plot_bands
from assim.plotting.calibration import pit, quantile_curve, ranks, reliability, spread_skill
from assim.plotting.curves import scores_by_lead, training, variance_split
from assim.plotting.drift import plot_drift
from assim.plotting.fan import fan
from assim.plotting.field_curves import plot_error_by_lead, plot_spectrum
from assim.plotting.fields import plot_hovmoller, plot_map
from assim.plotting.generated import (
    plot_generated_density,
    plot_generated_pca,
    plot_generated_tsne,
)
from assim.plotting.snapshots import plot_marginals, plot_trajectories
from assim.plotting.spectrum import plot_eigenvalues, plot_modes, plot_pseudospectrum

__all__ = [
    "analysis_fan",
    "assimilation_ranks",
    "fan",
    "hovmoeller",
    "innovations",
    "pit",
    "plot_alarms",
    "plot_attribution",
    "plot_bands",
    "plot_drift",
    "plot_eigenvalues",
    "plot_error_by_lead",
    "plot_generated_density",
    "plot_generated_pca",
    "plot_generated_tsne",
    "plot_hovmoller",
    "plot_lead_times",
    "plot_map",
    "plot_marginals",
    "plot_modes",
    "plot_pseudospectrum",
    "plot_spectrum",
    "plot_trajectories",
    "quantile_curve",
    "ranks",
    "reliability",
    "scores_by_lead",
    "spread_error",
    "spread_skill",
    "training",
    "variance_split",
]
