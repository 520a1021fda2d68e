"""An operator that is told how long a step is: what it learns from, and what its networks see."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import assim
from assim.filters import ETKF
from assim.gridded import pose_fields
from assim.inference import EnsembleMAP, Prior
from assim.models import Gain, SemilinearOperator
from tests.learned_fields import made, one
from tests.synthetic_fields import START, make_fields

SMALL = {"modes": 4, "width": 4, "layers": 1}
STILL = {"generator.growth": 0.0, "generator.turning": 0.0, "generator.decay": -100.0}
"""Rates of a linear part that leaves fields as they are, so that a step is the network's, times its length."""


def moved(ssm, x, dt):
    """What a step adds, over its length."""
    return (ssm.flow(x, one(dt)) - x) / dt


@pytest.mark.parametrize("spans", [None, (0.5, 2.0)])
def test_the_network_is_told_the_span_or_not(spans, x64, key):
    ssm = made(SemilinearOperator(**SMALL, spans=spans), 16, key=key, **STILL)
    x = 3.0 + jax.random.normal(key, (16,))
    short, long = moved(ssm, x, 5.0), moved(ssm, x, 20.0)
    assert np.allclose(short, long, rtol=1e-9) is (spans is None)


def test_what_it_is_told_is_the_log_of_the_span(x64, key):
    """Half, one and two nominal steps of 10 s are -1, 0 and 1; nobody's span is nominal."""
    ssm = made(SemilinearOperator(**SMALL, spans=(0.5, 2.0)), 16, key=key)
    for dt, log in ((5.0, -1.0), (10.0, 0.0), (20.0, 1.0)):
        np.testing.assert_allclose(ssm.beside(None, one(dt))[-1], log)
    np.testing.assert_array_equal(ssm.beside(None)[-1], 0.0)


def test_a_span_beyond_what_it_was_told_of_is_taken_for_the_nearest(x64, key):
    """And a span of nothing moves nothing."""
    ssm = made(SemilinearOperator(**SMALL, spans=(0.5, 2.0)), 16, key=key)
    for dt, log in ((0.0, -1.0), (1.0, -1.0), (90.0, 1.0)):
        np.testing.assert_allclose(ssm.beside(None, one(dt))[-1], log)
    x = 3.0 + jax.random.normal(key, (16,))
    np.testing.assert_allclose(ssm.flow(x, one(0.0)), x, rtol=1e-12)
    np.testing.assert_array_equal(ssm.process_noise(x, one(0.0)).variance, 0.0)


def test_a_network_that_does_not_look_at_the_span_is_the_one_that_is_told_none(x64, key):
    told = made(SemilinearOperator(**SMALL, spans=(0.5, 2.0)), 16, key=key)
    blind = made(SemilinearOperator(**SMALL), 16, key=key)
    weight = told.network.lift.weight
    network = eqx.tree_at(lambda n: n.lift.weight, told.network, weight[:, :-1])
    blind = eqx.tree_at(lambda s: s.network, blind, network)
    deaf = eqx.tree_at(lambda s: s.network.lift.weight, told, weight.at[:, -1].set(0.0))
    x = 3.0 + jax.random.normal(key, (16,))
    np.testing.assert_allclose(deaf.flow(x, one(20.0)), blind.flow(x, one(20.0)), rtol=1e-12)
    features = [s.process_noise(x, one(5.0)).features for s in (deaf, blind, told)]
    np.testing.assert_allclose(features[0], features[1], rtol=1e-12)
    assert not np.allclose(features[2], features[1])


def test_a_gain_is_told_too(x64, key):
    gain = Gain(width=4, layers=1, memory=2)
    ssm = made(SemilinearOperator(**SMALL, gain=gain, spans=(0.5, 2.0), error=0.5), 16, key=key)
    held = ssm.opened(jnp.full(16, 3.0), jnp.ones(16))
    y, mask = jnp.full(16, 4.0), jnp.arange(16) == 2
    corrected = [ssm.correct(held, y, mask, one(dt)).mean for dt in (5.0, 20.0)]
    carried = [ssm.predict(held, one(dt)).memory for dt in (5.0, 20.0)]
    for short, long in (corrected, carried):
        assert float(jnp.abs(short - long).max()) > 1e-4


def test_long_spans_are_learned_from_where_they_are_allowed():
    """Spans of 1, 1, 2 and 3 nominal steps in turns: one of them, or the first three, are no gap."""
    times = np.concatenate([[0], np.cumsum(np.tile([1, 1, 2, 3], 10))])
    coords = {
        "time": START + times * np.timedelta64(1, "s"),
        "x": ("x", np.arange(8.0), {"units": "m"}),
    }
    fields = np.random.default_rng(0).normal(size=(times.size, 8))
    ds = xr.Dataset({"u": (("time", "x"), fields, {"units": "m"})}, coords)
    found = {}
    for spans in (None, (0.5, 2.0)):
        problem, _ = pose_fields(SemilinearOperator(**SMALL, spans=spans), ds)
        found[spans] = np.asarray(problem.examples.spans.dt)
    step = float(np.median(np.diff(times)))
    assert step == 1.5
    assert found[None].max() == 2.0 and found[(0.5, 2.0)].max() == 3.0
    assert found[None].size == 30 and found[(0.5, 2.0)].size == 40


@pytest.mark.parametrize("spans", [2.0, (0.5,), (0.5, 1.0, 2.0), (0.0, 2.0)])
def test_what_are_no_spans_is_refused(spans):
    with pytest.raises(ValueError, match="spans=.* must rise from above 0"):
        SemilinearOperator(spans=spans)


@pytest.fixture(scope="module")
def post():
    """Of the prior, at 0.1 s."""
    return assim.infer(MODEL, waves(0.1), Prior(1), key=jax.random.key(0), pointwise=0)


MODEL = SemilinearOperator(**SMALL, spans=(0.5, 2.0), error=0.3)
FEW = EnsembleMAP(1, num_steps=5, batch_size=8)


def waves(step, times=40):
    """Fields at a step, seconds."""
    ds = make_fields(times, axes=1)
    since = np.round(1e9 * step * np.arange(times)).astype("timedelta64[ns]")
    return ds.assign_coords(time=START + since)


@pytest.mark.slow
def test_parameters_are_told_in_the_steps_that_they_were_fitted_in(post):
    """A record at twice the step goes on in steps of the first; at three times it is another clock."""
    again = assim.infer(MODEL, waves(0.2), FEW, init=post, key=jax.random.key(1), pointwise=0)
    assert assim.restore(again).layout.step == pytest.approx(0.1)
    with pytest.raises(ValueError, match="0.3 s apart as a rule, and those of init= 0.1 s"):
        assim.infer(MODEL, waves(0.3), FEW, init=post, key=jax.random.key(1), pointwise=0)


def test_a_fit_that_was_told_no_span_is_none_to_go_on_from(post):
    plain = SemilinearOperator(**SMALL, error=0.3)
    begun = assim.infer(plain, waves(0.1), Prior(1), key=jax.random.key(0), pointwise=0)
    with pytest.raises(ValueError, match="has it of shape .* other inputs"):
        assim.infer(MODEL, waves(0.1), FEW, init=begun, key=jax.random.key(1), pointwise=0)


def test_readings_at_the_ends_of_the_spans_are_trusted(post, key):
    """And a reading at the time that the state is of is no span at all."""
    for step in (0.05, 0.2):
        read = waves(step, 4)
        told = assim.assimilate(post, read, ETKF(4), since=read["time"].values[0], key=key)
        assert np.isfinite(told["analysis"]["sst_mean"]).all()
