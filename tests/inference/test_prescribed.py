"""A fit that a model prescribes: taken by itself, held to nothing else, and never out of the numbers."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from assim.inference import NUTS, Prescribed
from assim.inference.loop import Watch
from assim.inference.prescribed import prescription
from assim.model import AbstractPrescribed
from assim.models import Persistence
from assim.problem import Problem


class Half(AbstractPrescribed):
    """Halves a number, again and again."""

    begun: float = 1.0
    unit: str = eqx.field(static=True, default="1s")

    def counted(self, snapshots):
        return {}

    def prior(self, layout, constants):
        return numpyro.sample("number", dist.Normal())

    def prescribed(self, problem, *, key):
        halves = self.begun * 0.5 ** jnp.arange(1.0, 4.0)
        return {"number": halves[-1]}, {"loss": halves}


def test_one_draw_of_what_the_model_prescribes(key):
    draws = Prescribed().run(Problem(Half(), {}, {}, None), key=key, watch=Watch())
    np.testing.assert_array_equal(draws.sites["number"], [[0.125]])
    np.testing.assert_array_equal(draws.curves["loss"], [0.5, 0.25, 0.125])
    with pytest.raises(FloatingPointError, match="The fit of Half left the numbers at number:"):
        Prescribed().run(Problem(Half(np.inf), {}, {}, None), key=key, watch=Watch())


def test_what_prescribes_nothing_is_told_what_serves(key):
    problem = Problem(Persistence(), {}, {}, None)
    with pytest.raises(TypeError, match="Persistence prescribes none: use NUTS, SVI, Laplace"):
        Prescribed().run(problem, key=key, watch=Watch())


def test_it_is_taken_by_itself_and_nothing_else_is():
    asked = NUTS()
    assert prescription(Persistence(), asked, True) is asked
    assert prescription(Persistence(), None, False) is None
    assert prescription(Half(), None, False) == prescription(Half(), Prescribed(), False)
    with pytest.raises(TypeError, match="Half prescribes its fit and has no likelihood for NUTS:"):
        prescription(Half(), asked, False)
    with pytest.raises(ValueError, match="Half prescribes where its fit begins: leave init= and"):
        prescription(Half(), None, True)
    with pytest.raises(TypeError, match="Half has no likelihood: fit it with Prescribed"):
        Half().terms(None, None)
