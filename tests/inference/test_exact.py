"""Draws of a closed form: of models that have one, by default, and of all sites."""

import json
import warnings
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import assim
from assim.inference import Exact
from assim.inference.loop import Watch
from assim.models import Departures
from tests.contract.members import record_for
from tests.references import linear_problem, make_problem, make_series

MODEL = Departures(horizon=3, lags=(1, 2), memory=4)


def test_what_has_no_closed_form_is_told_what_serves(key):
    problem = linear_problem(key=key, rows=20)
    with pytest.raises(TypeError, match="which Autoregressive does not have: use NUTS, SVI, Lap"):
        Exact().run(problem, key=key, watch=Watch())


def test_draws_are_those_of_the_model_and_a_key_decides_them(key):
    problem = make_problem(MODEL, make_series(), key=key)
    one, same, other = (
        Exact(30).run(problem, key=k, watch=Watch()) for k in (key, key, jax.random.key(0))
    )
    assert {k: v.shape for k, v in one.sites.items()} == {
        "precision": (1, 30, 3, 2),
        "weights": (1, 30, 3, 2, 3),
    }
    assert (one.advice, one.centre) == ((), None)
    for name, value in MODEL.exact(problem, 30, key=key).items():
        np.testing.assert_allclose(one.sites[name][0], value, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(one.sites[name], same.sites[name])
        assert (one.sites[name] != other.sites[name]).all()


def test_a_site_that_is_held_is_refused(key):
    problem = make_problem(MODEL, make_series(), key=key)
    held = replace(problem, held={"precision": jnp.ones((3, 2))})
    with pytest.raises(ValueError, match="cannot hold precision: leave hold= out"):
        Exact().run(held, key=key, watch=Watch())


def test_a_model_with_a_closed_form_is_fitted_by_it(key):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        post = assim.infer(MODEL, record_for(MODEL), key=key, pointwise=0)
    assert json.loads(post.attrs["method"]) == {"type": "Exact", "num_draws": 1000}
    assert post.attrs["likelihood"] == "composite"
