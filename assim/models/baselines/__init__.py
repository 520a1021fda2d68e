"""The forecasts that every other has to beat."""

from assim.models.baselines.climatology import Climatology
from assim.models.baselines.fields import DMD, FNO, FieldClimatology, FieldPersistence
from assim.models.baselines.persistence import Persistence
from assim.models.baselines.seasonal import SeasonalNaive

__all__ = [
    "DMD",
    "FNO",
    "Climatology",
    "FieldClimatology",
    "FieldPersistence",
    "Persistence",
    "SeasonalNaive",
]
