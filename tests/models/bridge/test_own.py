"""A drift of the user's, at the door."""

import jax.numpy as jnp
import numpyro.distributions as dist
import pytest
from numpyro import handlers

from assim.models.bridge.references import Own, Sum
from assim.models.bridge.region import Region
from assim.registry import made_from, settings_of

RATE = {"rate": dist.LogNormal(0.0, 1.0)}


def test_parameters_reach_the_function_by_name():
    box = Region(*(jnp.ones(2) for _ in range(4)), *(jnp.ones(()) for _ in range(2)), jnp.ones(2))
    with handlers.trace() as sites, handlers.seed(rng_seed=0):
        drift = Own(lambda x, theta: -theta["rate"] * x, RATE).prior(box, ("a", "b"))
    assert list(sites) == ["drift.rate"]
    assert (drift(jnp.ones(2)) == -sites["drift.rate"]["value"]).all()


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (lambda x, theta: x[:1], r"float32 of shape \(1,\), and float32 of shape \(2,\) is needed"),
        (lambda x, theta: x.sum(), r"of shape \(\)"),
        (lambda x, theta: (x[0], x[1]), "gives a tuple"),
        (lambda x, theta: None, "gives a NoneType"),
        (lambda x, theta: jnp.zeros(2, int), "gives int32"),
        (lambda x, theta: theta["rat"] * x, "asks for the parameter 'rat', and priors has rate"),
    ],
)
def test_what_is_no_velocity_is_refused(function, told):
    own = Own(function, RATE)
    for reference in (own, Sum(own)):
        with pytest.raises(ValueError, match=told):
            reference.require(("a", "b"))


def test_a_fault_of_the_function_is_its_own():
    with pytest.raises(KeyError, match="rate"):
        Own(lambda x, theta: {}["rate"] * x, RATE).require(("a",))
    with pytest.raises(ZeroDivisionError):
        Own(lambda x, theta: x / (1 // 0), RATE).require(("a",))


def test_what_is_no_function_or_prior_is_refused():
    with pytest.raises(TypeError, match="function is of type int"):
        Own(3)
    with pytest.raises(TypeError, match="'rate' is of type float"):
        Own(lambda x, theta: x, {"rate": 1.0})


def test_a_file_cannot_hold_a_function_and_says_what_to_do():
    own = Own(lambda x, theta: x)
    with pytest.raises(TypeError, match="JSON cannot hold"):
        settings_of(own)
    with pytest.raises(ValueError, match=r"references.Own.*restore\(tree, model="):
        made_from(settings_of(own, own=True))
