"""Textbook systems with known parameters: what simulates, what a filter is tried on, what an oracle knows."""

from assim.systems.bench import ThermoacousticBench, simulate_bench
from assim.systems.linear_gaussian import LinearGaussian
from assim.systems.lorenz63 import Lorenz63
from assim.systems.lorenz96 import Lorenz96
from assim.systems.ornstein_uhlenbeck import OrnsteinUhlenbeck
from assim.systems.van_der_pol import MAGRI_LAB, VanDerPol

__all__ = [
    "MAGRI_LAB",
    "LinearGaussian",
    "Lorenz63",
    "Lorenz96",
    "OrnsteinUhlenbeck",
    "ThermoacousticBench",
    "VanDerPol",
    "simulate_bench",
]
