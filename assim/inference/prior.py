"""Draws from the prior: what a model believes before it has seen the data."""

import equinox as eqx
import jax
import numpy as np

from assim.inference.base import AbstractMethod, Draws
from assim.inference.density import prior_draw
from assim.inference.loop import Watch
from assim.problem import Problem
from assim.types import Key, Keys, Sites


class Prior(AbstractMethod):
    """The prior, as if it were a posterior: `infer` makes of it the prior predictive.

    Args:
        num_draws: number of draws.
    """

    num_draws: int = 1000

    def run(self, problem: Problem, *, key: Key, watch: Watch, start: Sites | None = None) -> Draws:
        """Draw; the data and `start` are not looked at."""
        sites = _drawn(problem, jax.random.split(key, self.num_draws))
        return Draws({k: np.asarray(v)[None] for k, v in sites.items()})


@eqx.filter_jit
def _drawn(problem: Problem, keys: Keys) -> Sites:
    return jax.vmap(lambda k: prior_draw(problem, k))(keys)
