"""Fits that go on from an earlier one: what they start from, and what keeps its values."""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from assim.inference.base import Draws
from assim.inference.density import potential, prior_potential
from assim.inference.gaussian import gaussian_prior
from assim.inference.holding import begun_from, with_held
from assim.model import AbstractModel
from assim.problem import Problem
from assim.series import Layout

LAYOUT = Layout(("y",), ("real",), (True,), (), 0, 1.0)


class Line(AbstractModel):
    """A slope, its twin and an offset."""

    def needs(self):
        raise AssertionError

    def constants(self, windows, layout):
        return {}

    def prior(self, layout, constants):
        normal = dist.Normal(0.0, 2.0)
        names = ("net.slope", "net.twin", "offset", "nets")
        return [numpyro.sample(name, normal) for name in names]

    def prepare(self, window, layout, constants, *, key):
        return window

    def likelihood(self, ssm, examples, num_data):
        slope, twin, offset, _ = ssm
        numpyro.sample("y", dist.Normal((slope + twin) * examples + offset, 1.0), obs=examples)


@pytest.fixture
def problem():
    return Problem(Line(), {}, jnp.arange(3.0), LAYOUT)


def earlier(*names, draws=1):
    return {name: np.full((1, draws), 0.5 + i) for i, name in enumerate(names)}


def test_what_is_held_is_seen_by_no_backend_and_bound_by_all(problem, key):
    kept = earlier("net.slope", "net.twin")
    start, held = begun_from(kept, problem, ("net",), key=key)
    assert set(held) == {"net.slope", "net.twin"} and set(start) == {"offset", "nets"}
    posed = Problem(problem.model, {}, problem.examples, LAYOUT, held)
    assert set(gaussian_prior(posed, method="EnsembleMAP").loc) == {"offset", "nets"}
    v = {"offset": jnp.asarray(0.1), "nets": jnp.asarray(0.0)}
    whole = {**v, **held}
    mine, all_ = posed.bind(v), problem.bind(whole)
    np.testing.assert_array_equal(mine, all_)
    prior = sum(float(-dist.Normal(0.0, 2.0).log_prob(held[name])) for name in held)
    np.testing.assert_allclose(potential(posed, v), potential(problem, whole) - prior, rtol=1e-5)
    np.testing.assert_allclose(
        prior_potential(posed, v), prior_potential(problem, whole) - prior, rtol=1e-5
    )


def test_a_site_that_is_new_starts_from_the_prior(problem, key):
    start, held = begun_from(earlier("offset"), problem, (), key=key)
    assert not held and float(start["offset"]) == 0.5
    assert set(start) == {"net.slope", "net.twin", "offset", "nets"}


def test_draws_come_back_whole():
    draws = Draws({"offset": np.zeros((2, 3))}, centre={"offset": jnp.zeros(())})
    found = with_held(draws, {"net.slope": jnp.asarray([1.0, 2.0])})
    assert found.sites["net.slope"].shape == (2, 3, 2)
    assert set(found.centre) == {"offset", "net.slope"}
    assert with_held(draws, {}) is draws


@pytest.mark.parametrize(
    ("kept", "hold", "told"),
    [
        (earlier("offset"), ("net",), r"hold='net' fits none of the sites of init=: offset\."),
        (earlier("offset", draws=3), ("offset",), r"init= has 3 draws: fit again from one"),
        (
            earlier("net.slope", "net.twin", "offset", "nets"),
            ("net", "offset", "nets"),
            "leaves no",
        ),
    ],
    ids=["unknown", "several", "all"],
)
def test_what_cannot_be_held_is_said(kept, hold, told, problem, key):
    with pytest.raises(ValueError, match=told):
        begun_from(kept, problem, hold, key=key)
