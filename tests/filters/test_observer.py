"""The observer as a filter: the recursion of a model with a gain of its own."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from assim.filters import Observer
from assim.filters.base import Cycle, Dynamics, cycled, run
from assim.statespace import AbstractObserver, Estimate, Span
from assim.systems import Lorenz63


class Plain(AbstractObserver):
    """Two components that halve, of which the sum is read; the gain takes half of what is new."""

    def init(self, context=None, *, key=None):
        return dist.Normal(jnp.array([1.0, 2.0]), jnp.array([0.5, 1.0])).to_event(1)

    def transition(self, x, span, u=None, *, key):
        return 0.5 * x

    def observation(self, x, span, where=None, sd=None, u=None):
        return dist.Normal(x.sum()[None], 0.3)

    def opened(self, mean, sd):
        return Estimate(mean, sd, jnp.array([[0.6, 1.0], [0.8, 0.0]]), jnp.zeros(1))

    def predict(self, held, span, u=None):
        return Estimate(0.5 * held.mean, 0.5 * held.sd, held.alike, held.memory + 1.0)

    def correct(self, held, y, mask, span, where=None, sd=None, u=None):
        return Estimate(held.mean + 0.5 * (y[0] - held.mean.sum()), 0.5 * held.sd, *held_rest(held))


def held_rest(held):
    return held.alike, held.memory


def cycles(y):
    y = jnp.asarray(y, float)[:, None]
    spans = Span(jnp.ones(len(y)), jnp.zeros((len(y), 0)))
    mask = jnp.isfinite(y)
    return Cycle(spans, jnp.where(mask, y, 0.0), mask, jnp.zeros_like(y))


def test_it_predicts_corrects_and_scores_what_came(x64, key):
    dynamics, record = Dynamics(Plain()), cycles([2.0])
    belief = Observer().start(dynamics, Plain().init(), key=key)
    np.testing.assert_allclose(belief.sd, [0.5, 1.0])
    one = jax.tree.map(lambda leaf: leaf[0], record)
    told = cycled(Observer(), dynamics, belief, one, 0, key=key)
    np.testing.assert_allclose(told.background.mean, [0.5, 1.0])
    np.testing.assert_allclose(told.analysis.mean, [0.75, 1.25])
    np.testing.assert_allclose(told.innovation.residual, [0.5])
    # P = sum of (s a)(s a)^T with s = (0.25, 0.5): the sum of both components varies by h P h^T
    root = np.array([0.25, 0.5]) * np.array([[0.6, 1.0], [0.8, 0.0]])
    sd = np.sqrt((root.sum(axis=1) ** 2).sum() + 0.3**2)
    np.testing.assert_allclose(told.innovation.sd, [sd])
    np.testing.assert_allclose(told.innovation.log_score, dist.Normal(1.5, sd).log_prob(2.0)[None])


def test_a_time_without_readings_is_the_prediction_exactly(key):
    dynamics, record = Dynamics(Plain()), cycles([2.0, np.nan, np.nan])
    belief = Observer().start(dynamics, Plain().init(), key=key)
    _, told = run(Observer(), dynamics, belief, record, key=key)
    np.testing.assert_array_equal(told.analysis[0][1:], told.background[0][1:])
    np.testing.assert_array_equal(told.analysis[0][2], 0.25 * told.analysis[0][0])
    assert (told.innovation.log_score[1:] == 0).all()


def test_its_draws_go_together_as_the_estimate_says(x64, key):
    belief = Plain().opened(jnp.array([1.0, 2.0]), jnp.array([0.5, 1.0]))
    draws, weight = Observer().sample(belief, key=key)
    assert weight is None
    root = belief.sd * belief.alike
    np.testing.assert_allclose(np.cov(draws.T), root.T @ root, atol=0.35)
    np.testing.assert_allclose(draws.mean(axis=0), belief.mean, atol=0.35)


def test_a_model_without_a_gain_is_refused(key):
    with pytest.raises(TypeError, match=r"Lorenz63 has none: fit a SemilinearOperator"):
        Observer().start(Dynamics(Lorenz63()), Lorenz63().init(), key=key)
