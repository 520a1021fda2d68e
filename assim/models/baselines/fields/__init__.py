"""What fields are compared with: they stay, they are as the calendar has them, they move by modes, by a network."""

from assim.models.baselines.fields.climatology import FieldClimatology
from assim.models.baselines.fields.dmd import DMD
from assim.models.baselines.fields.fno import FNO
from assim.models.baselines.fields.persistence import FieldPersistence

__all__ = ["DMD", "FNO", "FieldClimatology", "FieldPersistence"]
