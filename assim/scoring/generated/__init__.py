"""Scores of generated series: the published ones, each with its floor.

`generated` makes the table. A published score says little by itself: its judge has half as many units as there are
channels, a perfect generator does not score 0, and a Gaussian copula without any training passes most of them. The
table therefore always has the rows "real" and "copula".
"""

from assim.scoring.generated.base import AbstractScore
from assim.scoring.generated.context_fid import ContextFID, frechet
from assim.scoring.generated.correlational import (
    Correlational,
    correlation_distance,
    correlations,
)
from assim.scoring.generated.discriminative import Discriminative, coin_floor
from assim.scoring.generated.dmd_gen import DMDGen, grassmann, mode_subspaces, transport
from assim.scoring.generated.floors import gaussian, gaussian_copula, resampled, var1
from assim.scoring.generated.histograms import jensen_shannon
from assim.scoring.generated.predictive import Predictive
from assim.scoring.generated.table import generated
from assim.scoring.generated.windows import Extrema, Windows, as_windows, beside, extrema, hollow

__all__ = [
    "AbstractScore",
    "ContextFID",
    "Correlational",
    "DMDGen",
    "Discriminative",
    "Extrema",
    "Predictive",
    "Windows",
    "as_windows",
    "beside",
    "coin_floor",
    "correlation_distance",
    "correlations",
    "extrema",
    "frechet",
    "gaussian",
    "gaussian_copula",
    "generated",
    "grassmann",
    "hollow",
    "jensen_shannon",
    "mode_subspaces",
    "resampled",
    "transport",
    "var1",
]
