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
from assim.models.baselines import (
    DMD,
    FNO,
    Climatology,
    FieldClimatology,
    FieldPersistence,
    Persistence,
    SeasonalNaive,
)
from assim.models.departures import Departures
from assim.models.mechanistic import Mechanistic
from assim.models.semilinear import Gain, PublishedNODA, Readings, SemilinearOperator

__all__ = [
    "DMD",
    "FNO",
    "VAR",
    "Autoregressive",
    "Climatology",
    "Departures",
    "Direct",
    "FieldClimatology",
    "FieldPersistence",
    "FixedNormal",
    "Gain",
    "Iterated",
    "Mechanistic",
    "Normal",
    "Persistence",
    "PublishedNODA",
    "Readings",
    "SeasonalNaive",
    "SemilinearOperator",
    "StudentT",
]
