"""Textbook systems with known parameters: what simulates, what a filter is tried on, what an oracle knows."""

from assim.systems.bench import ThermoacousticBench, simulate_bench
from assim.systems.korteweg_de_vries import KortewegDeVries
from assim.systems.kuramoto_sivashinsky import KuramotoSivashinsky
from assim.systems.linear_gaussian import LinearGaussian
from assim.systems.lorenz63 import Lorenz63
from assim.systems.lorenz96 import Lorenz96
from assim.systems.lorenz96_two_scale import TwoScaleLorenz96
from assim.systems.lotka_volterra import LotkaVolterra
from assim.systems.navier_stokes import NavierStokes2D
from assim.systems.ornstein_uhlenbeck import OrnsteinUhlenbeck
from assim.systems.repressilator import Repressilator
from assim.systems.van_der_pol import MAGRI_LAB, VanDerPol

__all__ = [
    "MAGRI_LAB",
    "KortewegDeVries",
    "KuramotoSivashinsky",
    "LinearGaussian",
    "Lorenz63",
    "Lorenz96",
    "LotkaVolterra",
    "NavierStokes2D",
    "OrnsteinUhlenbeck",
    "Repressilator",
    "ThermoacousticBench",
    "TwoScaleLorenz96",
    "VanDerPol",
    "simulate_bench",
]
