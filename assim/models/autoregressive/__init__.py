"""The Bayesian autoregressive forecaster and the vector autoregression."""

from assim.models.autoregressive.decoding import Direct, Iterated
from assim.models.autoregressive.encoding import DenseEncoder, GatedEncoder
from assim.models.autoregressive.forecaster import VAR, Autoregressive
from assim.models.autoregressive.noise import FixedNormal, Normal, StudentT

__all__ = [
    "VAR",
    "Autoregressive",
    "DenseEncoder",
    "Direct",
    "FixedNormal",
    "GatedEncoder",
    "Iterated",
    "Normal",
    "StudentT",
]
