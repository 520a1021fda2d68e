"""Distances between the clouds of a model and snapshots of a population, each with its floors.

`transported` makes the table. A distance between samples is never 0, and simple baselines are strong: the table
therefore always has the rows "split_half", "persistence" and "midpoint". What papers call EMD is W2 here.
"""

from assim.nn.exact_transport import midpoints, transport_plan
from assim.scoring.transported.base import AbstractDistance
from assim.scoring.transported.clouds import Cloud, Clouds, as_clouds
from assim.scoring.transported.energy import EnergyDistance, energy_distance
from assim.scoring.transported.floors import midpoint, persistence, split_half
from assim.scoring.transported.mmd import SquaredMMD, median_bandwidth, mmd_r2, squared_mmd
from assim.scoring.transported.sliced import SlicedWasserstein, on_lines
from assim.scoring.transported.table import transported
from assim.scoring.transported.wasserstein import Wasserstein, wasserstein

__all__ = [
    "AbstractDistance",
    "Cloud",
    "Clouds",
    "EnergyDistance",
    "SlicedWasserstein",
    "SquaredMMD",
    "Wasserstein",
    "as_clouds",
    "energy_distance",
    "median_bandwidth",
    "midpoint",
    "midpoints",
    "mmd_r2",
    "on_lines",
    "persistence",
    "split_half",
    "squared_mmd",
    "transport_plan",
    "transported",
    "wasserstein",
]
