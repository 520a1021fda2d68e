"""The fit that a model prescribes, step by step: one value of each site, and no posterior."""

import numpy as np

from assim.inference.base import AbstractMethod, Draws
from assim.inference.loop import Watch
from assim.model import AbstractModel, AbstractPrescribed
from assim.problem import Problem
from assim.types import Key, Sites


class Prescribed(AbstractMethod):
    """What a published model does in place of inference; its settings are the model's."""

    def run(self, problem: Problem, *, key: Key, watch: Watch, start: Sites | None = None) -> Draws:
        """One chain of one draw; there is nothing to start from.

        Raises:
            TypeError: a model that prescribes no fit.
            FloatingPointError: a fit that left the numbers.
        """
        model = problem.model
        if not isinstance(model, AbstractPrescribed):
            raise TypeError(
                f"Prescribed runs the fit that a model prescribes, and {type(model).__name__} prescribes none: use "
                "NUTS, SVI, Laplace, EnsembleMAP or Stein instead."
            )
        sites, curves = model.prescribed(problem, key=key)
        draws = {k: np.asarray(v)[None, None] for k, v in sites.items()}
        lost = [k for k, v in draws.items() if not np.isfinite(v).all()]
        if lost:
            raise FloatingPointError(
                f"The fit of {type(model).__name__} left the numbers at {', '.join(lost)}: give shorter steps, a "
                "lower learning rate, or another start."
            )
        return Draws(draws, curves={k: np.asarray(v) for k, v in curves.items()})


def prescription(
    model: AbstractModel, asked: AbstractMethod | None, again: bool
) -> AbstractMethod | None:
    """The method that a model prescribes, or what was asked for where it prescribes none.

    Args:
        model: any model.
        asked: a method, or None.
        again: whether the fit is to go on from an earlier one.

    Raises:
        TypeError: another method than the one that is prescribed.
        ValueError: a prescribed fit that goes on.
    """
    if not isinstance(model, AbstractPrescribed):
        return asked
    name = type(model).__name__
    if asked is not None and not isinstance(asked, Prescribed):
        raise TypeError(
            f"{name} prescribes its fit and has no likelihood for {type(asked).__name__}: leave the method out."
        )
    if again:
        raise ValueError(f"{name} prescribes where its fit begins: leave init= and hold= out.")
    return Prescribed()
