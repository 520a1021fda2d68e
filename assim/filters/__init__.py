"""Filters: how a belief about a state is carried through a record of readings."""

from assim.filters.denkf import DEnKF
from assim.filters.enkf import EnKF
from assim.filters.enkf_n import EnKFN
from assim.filters.enks import EnKS
from assim.filters.enrts import EnRTS
from assim.filters.etkf import ETKF
from assim.filters.extended import ExtendedKalman
from assim.filters.four_d_var import FourDVar
from assim.filters.guided_particle import GuidedParticle
from assim.filters.ienks import IEnKS
from assim.filters.inflation import RTPS, Additive, Multiplicative
from assim.filters.kalman import RTS, Kalman
from assim.filters.letkf import LETKF
from assim.filters.localization import GreatCircle, Straight
from assim.filters.observer import Observer
from assim.filters.partial import Partial
from assim.filters.particle import Particle
from assim.filters.robust import Gated, Tolerant
from assim.filters.three_d_var import ThreeDVar
from assim.filters.weak_four_d_var import WeakFourDVar

__all__ = [
    "ETKF",
    "LETKF",
    "RTS",
    "RTPS",
    "Additive",
    "DEnKF",
    "EnKF",
    "EnKFN",
    "EnKS",
    "EnRTS",
    "ExtendedKalman",
    "FourDVar",
    "Gated",
    "GreatCircle",
    "GuidedParticle",
    "IEnKS",
    "Kalman",
    "Multiplicative",
    "Observer",
    "Partial",
    "Particle",
    "Straight",
    "ThreeDVar",
    "Tolerant",
    "WeakFourDVar",
]
