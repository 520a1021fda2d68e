"""What is drawn at random for a training stretch: another at each visit, by every method that can."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.infer.autoguide import AutoDelta

from assim.inference import NUTS, SVI, Ascent, EnsembleMAP, GaussNewton, Laplace, Stein
from assim.inference.loop import Watch
from assim.inference.optimise import most_probable
from assim.models import Gain, PublishedNODA, SemilinearOperator
from assim.nn.emission import Emission
from assim.problem import Problem
from tests.inference.toys import LAYOUT, Line, standard
from tests.learned_fields import stretch

SMALL = {"modes": 2, "width": 2, "layers": 1}
AT_RANDOM = {
    "gain": SemilinearOperator(gain=Gain(), **SMALL),
    "jitter": SemilinearOperator(jitter=0.2, **SMALL),
    "published": PublishedNODA(**SMALL),
}
STILL = {
    "plain": SemilinearOperator(**SMALL),
    "readings": SemilinearOperator(gain=Gain(readings=None), **SMALL),
    "residual": PublishedNODA(weight=0.0, **SMALL),
}
THETA = {"theta": jnp.zeros(1)}


class Disturbed(Line):
    """A level under noise that hangs on the number of the stretch, as readings of a gain and a jitter do."""

    noise: float = 1.0

    def density(self, ssm, example):
        drawn = jax.random.normal(jax.random.fold_in(jax.random.key(0), example.number))
        loc = jnp.broadcast_to(ssm.theta + self.noise * drawn, example.y.shape)
        return Emission(loc, jnp.ones_like(loc), ("real",))

    def reading(self, example):
        return example.y, example.mask


def posed(model):
    """The problem of fitting a model to twelve stretches."""
    parts = stretch(3.0 + jax.random.normal(jax.random.key(1), (12, 1)), horizon=1)
    return Problem(model, {}, parts, LAYOUT)


def run(method):
    return lambda problem, key: method.run(problem, key=key, watch=Watch()).curves["loss"]


def ascended(problem, key):
    return most_probable(problem, THETA, Ascent(3, 0.0, None), key=key, watch=Watch())[1]


UNMOVED = {
    "EnsembleMAP": run(EnsembleMAP(1, 3, 0.0, batch_size=None)),
    "SVI": run(SVI(3, AutoDelta, 0.0, batch_size=None, num_draws=1, ascent=None)),
    "Stein": run(Stein(1, 3, 0.0, batch_size=None)),
    "Ascent": ascended,
}


@pytest.mark.parametrize("method", UNMOVED)
def test_each_visit_shows_other_readings(method, key):
    """At a learning rate of 0 the loss moves only by what is drawn."""
    told = UNMOVED[method](posed(Disturbed(standard(1))), key)
    assert np.unique(told).size == 3
    still = UNMOVED[method](posed(Disturbed(standard(1), noise=0.0)), key)
    np.testing.assert_allclose(still, still[0], rtol=1e-5)


def test_no_stretch_is_ever_drawn_as_another_was():
    problem = posed(Disturbed(standard(1)))
    numbers = [problem.anew(visit).examples.number for visit in range(5)]
    assert np.unique(np.concatenate(numbers)).size == 5 * 12
    np.testing.assert_array_equal(numbers[0], problem.examples.number)


@pytest.mark.parametrize("name", AT_RANDOM)
def test_what_needs_one_density_is_refused(name, key):
    problem, often = posed(AT_RANDOM[name]), "needs one density.*use EnsembleMAP, SVI or Stein"
    for method in (NUTS(1, 1, 1), Laplace(GaussNewton())):
        with pytest.raises(TypeError, match=f"{type(method).__name__} {often}"):
            method.run(problem, key=key, watch=Watch())
    with pytest.raises(TypeError, match=r"EnsembleMAP\(polish=2\) needs .* use polish=0"):
        EnsembleMAP(1, 1, polish=2).run(problem, key=key, watch=Watch())
    with pytest.raises(TypeError, match=r"Ascent\(polish=2\) needs .* use polish=0"):
        most_probable(problem, THETA, Ascent(1, polish=2), key=key, watch=Watch())


@pytest.mark.parametrize("name", [*AT_RANDOM, *STILL])
def test_a_model_knows_whether_it_draws(name):
    assert (AT_RANDOM | STILL)[name].at_random() == (name in AT_RANDOM)
