"""The families: priors over state-space models."""

from assim.models.autoregressive import (
    VAR,
    Autoregressive,
    Direct,
    FixedNormal,
    Iterated,
    Normal,
    StudentT,
)
from assim.models.baselines import Climatology, Persistence, SeasonalNaive
from assim.models.mechanistic import Mechanistic
from assim.models.semilinear import SemilinearOperator

__all__ = [
    "VAR",
    "Autoregressive",
    "Climatology",
    "Direct",
    "FixedNormal",
    "Iterated",
    "Mechanistic",
    "Normal",
    "Persistence",
    "SeasonalNaive",
    "SemilinearOperator",
    "StudentT",
]
