"""Nothing to draw: the posterior of a model in which all is known is the model itself."""

import numpy as np

from assim.inference.base import AbstractMethod, Draws
from assim.inference.loop import Watch
from assim.problem import Problem
from assim.types import Key, Sites


class Known(AbstractMethod):
    """One draw of a model without parameters, which `infer` takes by itself.

    Every verb counts the draws of a posterior by its sites. So that there is one to count, the draw stands at a
    site of its own, `known`, which is 1 and which no prior asks for.
    """

    def run(self, problem: Problem, *, key: Key, watch: Watch, start: Sites | None = None) -> Draws:
        """One chain of one draw; the data, `key` and `start` are not looked at."""
        return Draws({"known": np.ones((1, 1))})
