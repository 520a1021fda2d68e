"""Draws as wide as estimates scatter, on means of numbers that a likelihood takes for more or less certain."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from assim.inference import AbstractMethod, Adjusted, Draws
from assim.inference.adjusted import tells
from assim.inference.loop import Watch
from assim.model import AbstractPopulation
from assim.problem import Problem
from assim.series import Layout
from tests.inference.toys import Line, on_line, some_line, standard

LAYOUT = Layout(("y",), ("real",), (True,), (), 0, 1.0)
TAKEN = 0.5
"""The standard deviation that the likelihood takes numbers to have."""


class Mean(AbstractPopulation):
    """The mean of numbers, two parameters: one that they tell and one that the prior alone does."""

    unit: str = eqx.field(static=True, default="1s")

    def counted(self, snapshots):
        return {}

    def blurred(self, snapshots, constants, share):
        return snapshots

    def prior(self, layout, constants):
        told = numpyro.sample("told", dist.Normal(0.0, 3.0))
        return {"told": told, "untold": numpyro.sample("untold", dist.LogNormal(0.0, 1.0))}

    def terms(self, ssm, snapshots):
        return dist.Normal(ssm["told"], TAKEN).log_prob(snapshots)


class Normal(AbstractMethod):
    """The posterior as it is, in closed form."""

    num: int = 4000

    def run(self, problem, *, key, watch, start=None):
        y = problem.examples[0]
        precision = 1 / 9 + y.size / TAKEN**2
        z = np.random.default_rng(0).normal(size=(2, 1, self.num))
        told = y.sum() / TAKEN**2 / precision + precision**-0.5 * z[0]
        return Draws({"told": np.asarray(told), "untold": np.exp(z[1])}, advice=("kept",))


def problem(scale: float, count: int = 400) -> tuple[Problem, np.ndarray]:
    y = np.random.default_rng(1).normal(1.0, scale, count)
    return Problem(Mean(), {}, jnp.asarray(y, jnp.float32)[None], LAYOUT), y


@pytest.mark.parametrize("scale", [TAKEN, 2.0, 0.1])
def test_the_spread_is_that_of_the_mean_whatever_the_likelihood_takes_it_for(scale, key):
    posed, y = problem(scale)
    draws = Adjusted(Normal()).run(posed, key=key, watch=Watch())
    # the scores of a mean are (y - mean) / taken^2, and the prior of 9 hardly counts
    theory = y.std() / len(y) ** 0.5
    np.testing.assert_allclose(draws.sites["told"].std(), theory, rtol=0.03)
    np.testing.assert_allclose(draws.sites["told"].mean(), y.mean(), atol=0.1 * theory)
    np.testing.assert_allclose(np.log(draws.sites["untold"]).std(), 1.0, rtol=0.03)
    assert draws.sites["told"].shape == (1, 4000) and draws.advice == ("kept",)


def test_too_few_terms_or_draws_and_other_likelihoods_are_refused(key):
    with pytest.raises(ValueError, match="has 12 terms, too few to tell how 2"):
        Adjusted(Normal()).run(problem(1.0, 12)[0], key=key, watch=Watch())
    with pytest.raises(ValueError, match="The posterior has 3 draws, too few"):
        Adjusted(Normal(3)).run(problem(1.0)[0], key=key, watch=Watch())
    line = on_line(Line(standard(2)), *some_line(size=2))
    with pytest.raises(TypeError, match="composite likelihoods, and that of Line is none"):
        Adjusted(Normal()).run(line, key=key, watch=Watch())


def test_what_nothing_tells_stays_what_it_is(key):
    """A prior that is not normal in unconstrained space, where its curvature would tell another width."""

    class Uniform(Mean):
        def prior(self, layout, constants):
            told = numpyro.sample("told", dist.Normal(0.0, 3.0))
            return {"told": told, "untold": numpyro.sample("untold", dist.Uniform(0.0, 1.0))}

    class Drawn(Normal):
        def run(self, problem, *, key, watch, start=None):
            draws = super().run(problem, key=key, watch=watch)
            share = np.random.default_rng(2).uniform(size=(1, self.num))
            return Draws(dict(draws.sites) | {"untold": share})

    posed = Problem(Uniform(), {}, problem(TAKEN)[0].examples, LAYOUT)
    share = Adjusted(Drawn()).run(posed, key=key, watch=Watch()).sites["untold"]
    np.testing.assert_allclose(np.quantile(share, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.02)


def test_draws_without_a_slope_stay_and_it_is_said(key):
    class Edge(Mean):
        def terms(self, ssm, snapshots):
            return jnp.sqrt(ssm["told"] - 5.0) * snapshots  # none below 5

    posed = Problem(Edge(), {}, problem(1.0)[0].examples, LAYOUT)
    draws = Adjusted(Normal()).run(posed, key=key, watch=Watch())
    assert draws.advice[0] == "kept" and "are not adjusted" in draws.advice[1]
    same = Normal().run(posed, key=key, watch=Watch())
    np.testing.assert_array_equal(draws.sites["told"], same.sites["told"])


def test_terms_of_many_samples_are_refused(key):
    class Counts(Mean):
        def alike(self):
            return False

    posed = Problem(Counts(), {}, problem(1.0)[0].examples, LAYOUT)
    assert not tells(posed, 1) and tells(problem(1.0)[0], 2) and not tells(problem(1.0, 12)[0], 2)
    with pytest.raises(TypeError, match="is one term for all of them"):
        Adjusted(Normal()).run(posed, key=key, watch=Watch())
