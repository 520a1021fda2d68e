"""The backends: settings in, draws of a model's sample sites out."""

from assim.inference.adjusted import Adjusted
from assim.inference.base import AbstractMethod, Draws
from assim.inference.ensemble import EnsembleMAP
from assim.inference.exact import Exact
from assim.inference.importance import k_hat
from assim.inference.langevin import SGHMC, SGLD, SGNHT
from assim.inference.laplace import GaussNewton, Laplace, LastLayer
from assim.inference.nuts import NUTS
from assim.inference.optimise import Ascent
from assim.inference.prescribed import Prescribed
from assim.inference.prior import Prior
from assim.inference.randomisation import AnchorsOnly, Bootstrap, TargetNoise
from assim.inference.sgmcmc import SGMCMC
from assim.inference.stein import Stein
from assim.inference.variational import SVI

__all__ = [
    "NUTS",
    "SGHMC",
    "SGLD",
    "SGMCMC",
    "SGNHT",
    "SVI",
    "AbstractMethod",
    "Adjusted",
    "AnchorsOnly",
    "Ascent",
    "Bootstrap",
    "Draws",
    "EnsembleMAP",
    "Exact",
    "GaussNewton",
    "Laplace",
    "LastLayer",
    "Prescribed",
    "Prior",
    "Stein",
    "TargetNoise",
    "k_hat",
]
