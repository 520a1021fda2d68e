"""Textbook systems with known parameters: what simulates, what a filter is tried on, what an oracle knows."""

from assim.systems.bench import ThermoacousticBench, simulate_bench
from assim.systems.van_der_pol import MAGRI_LAB, VanDerPol

__all__ = ["MAGRI_LAB", "ThermoacousticBench", "VanDerPol", "simulate_bench"]
