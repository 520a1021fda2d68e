"""What every backend takes and gives."""

from abc import abstractmethod
from dataclasses import dataclass, field

import equinox as eqx
import numpy as np

from assim.inference.loop import Watch
from assim.problem import Problem
from assim.types import Key, Sites


@dataclass(frozen=True)
class Draws:
    """Draws from a posterior, or from what stands for one.

    Args:
        sites: values of the sample sites in constrained space, each shape (chain, draw, ...).
        stats: a number for each draw, shape (chain, draw): log density, divergence, energy...
        curves: a number for each step of an optimisation, shape (step,).
        advice: sentences on what went wrong and what to do; empty where all is well.
        centre: the point at which the network is linearised for prediction, or None.
        belief: arrays that continue the fit (step sizes, optimiser moments), by name.
        diagnostics: numbers that judge the fit as a whole, by name.
    """

    sites: dict[str, np.ndarray]
    stats: dict[str, np.ndarray] = field(default_factory=dict)
    curves: dict[str, np.ndarray] = field(default_factory=dict)
    advice: tuple[str, ...] = ()
    centre: Sites | None = None
    belief: dict[str, np.ndarray] = field(default_factory=dict)
    diagnostics: dict[str, float] = field(default_factory=dict)


class AbstractMethod(eqx.Module):
    """An inference backend: settings only."""

    @abstractmethod
    def run(self, problem: Problem, *, key: Key, watch: Watch, start: Sites | None = None) -> Draws:
        """Draws of the sample sites of `problem`.

        Args:
            problem: prior and likelihood.
            key: all randomness of the run.
            watch: progress and checkpoint.
            start: constrained values to start from, or None for the method's own start.
        """
