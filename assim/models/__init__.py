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
    EDMD,
    FNO,
    HAVOK,
    Climatology,
    FieldClimatology,
    FieldPersistence,
    HankelDMD,
    MeasurePreservingEDMD,
    Persistence,
    SeasonalNaive,
)
from assim.models.departures import Departures
from assim.models.koopman import (
    Anywhere,
    KoopmanVAE,
    LinearKoopman,
    Mixture,
    Parallel,
    Sequential,
    Stationary,
)
from assim.models.kovae import PublishedKoVAE, UnitModulus
from assim.models.mechanistic import Mechanistic
from assim.models.semilinear import Gain, PublishedNODA, Readings, SemilinearOperator
from assim.nn.dictionary import Delays, Monomials, RadialBasis

__all__ = [
    "DMD",
    "Anywhere",
    "KoopmanVAE",
    "LinearKoopman",
    "Mixture",
    "Parallel",
    "Sequential",
    "Stationary",
    "EDMD",
    "FNO",
    "HAVOK",
    "VAR",
    "Autoregressive",
    "Climatology",
    "Delays",
    "Departures",
    "Direct",
    "FieldClimatology",
    "FieldPersistence",
    "FixedNormal",
    "Gain",
    "HankelDMD",
    "Iterated",
    "MeasurePreservingEDMD",
    "Mechanistic",
    "Monomials",
    "Normal",
    "Persistence",
    "PublishedKoVAE",
    "PublishedNODA",
    "RadialBasis",
    "Readings",
    "SeasonalNaive",
    "SemilinearOperator",
    "StudentT",
    "UnitModulus",
]
