"""The forecasts that every other has to beat."""

from assim.models.baselines.climatology import Climatology
from assim.models.baselines.displacement import DisplacementInterpolation
from assim.models.baselines.fields import DMD, FNO, FieldClimatology, FieldPersistence
from assim.models.baselines.persistence import Persistence
from assim.models.baselines.seasonal import SeasonalNaive
from assim.models.baselines.spectral import EDMD, HAVOK, HankelDMD, MeasurePreservingEDMD

__all__ = [
    "DMD",
    "EDMD",
    "FNO",
    "HAVOK",
    "Climatology",
    "DisplacementInterpolation",
    "FieldClimatology",
    "FieldPersistence",
    "HankelDMD",
    "MeasurePreservingEDMD",
    "Persistence",
    "SeasonalNaive",
]
