"""Filters: how a belief about a state is carried through a record of readings."""

from assim.filters.denkf import DEnKF
from assim.filters.enkf import EnKF
from assim.filters.etkf import ETKF
from assim.filters.extended import ExtendedKalman
from assim.filters.inflation import RTPS, Additive, Multiplicative
from assim.filters.kalman import Kalman
from assim.filters.letkf import LETKF
from assim.filters.localization import GreatCircle, Straight
from assim.filters.particle import Particle

__all__ = [
    "ETKF",
    "LETKF",
    "RTPS",
    "Additive",
    "DEnKF",
    "EnKF",
    "ExtendedKalman",
    "GreatCircle",
    "Kalman",
    "Multiplicative",
    "Particle",
    "Straight",
]
