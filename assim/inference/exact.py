"""Draws from a posterior that is known in closed form: nothing is searched, and nothing has to converge."""

import equinox as eqx
import numpy as np

from assim.inference.base import AbstractMethod, Draws
from assim.inference.loop import Watch
from assim.model import AbstractConjugate
from assim.problem import Problem
from assim.types import Key, Sites


class Exact(AbstractMethod):
    """Independent draws from the posterior itself, of models that have it in closed form.

    Args:
        num_draws: number of draws.
    """

    num_draws: int = 1000

    def run(self, problem: Problem, *, key: Key, watch: Watch, start: Sites | None = None) -> Draws:
        """Draw; there is nothing to start from.

        Raises:
            TypeError: a model without a closed form.
            ValueError: sites that are held, which a closed form does not know.
        """
        if not isinstance(problem.model, AbstractConjugate):
            raise TypeError(
                f"Exact needs a posterior in closed form, which {type(problem.model).__name__} does not have: "
                "use NUTS, SVI, Laplace, EnsembleMAP or Stein instead."
            )
        if problem.held:
            raise ValueError(
                f"Exact draws all sites together and cannot hold {', '.join(problem.held)}: leave hold= out, or "
                "use NUTS."
            )
        sites = _drawn(problem, self.num_draws, key)
        return Draws({k: np.asarray(v)[None] for k, v in sites.items()})


@eqx.filter_jit
def _drawn(problem: Problem, num_draws: int, key: Key) -> Sites:
    assert isinstance(problem.model, AbstractConjugate)
    return problem.model.exact(problem, num_draws, key=key)
