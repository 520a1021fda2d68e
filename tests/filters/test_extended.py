"""The extended filter: exact where the model is linear, its inflation, and on the attractor of Lorenz."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assim.filters import ExtendedKalman, Kalman
from assim.filters.base import Cycle, Dynamics, Told, run
from assim.statespace import Span, regular_spans, simulate
from assim.systems import VanDerPol
from assim.systems.lorenz63 import SAKOV2012, SAKOV2012_STEP
from assim.systems.ornstein_uhlenbeck import OrnsteinUhlenbeck


def test_on_a_linear_model_it_is_the_kalman_filter(x64, key):
    some = jnp.array([1.0, 2.0, 0.5])
    ssm = OrnsteinUhlenbeck(some, 2 * some, 3 * some, 0.3 * some)
    rng = np.random.default_rng(0)
    spans = Span(jnp.asarray(rng.uniform(0.1, 2.0, 20)), jnp.zeros((20, 0)))
    mask = jnp.asarray(rng.random((20, 3)) < 0.6)
    y = jnp.where(mask, rng.normal(size=(20, 3)), 0.0)
    cycles = Cycle(spans, y, mask, jnp.full((20, 3), 0.2))
    told = []
    for chosen in (Kalman(), ExtendedKalman()):
        belief = chosen.start(Dynamics(ssm), ssm.init(), key=key)
        told.append(run(chosen, Dynamics(ssm), belief, cycles, key=key, keep=Told)[1])
    for one, other in zip(*map(jax.tree.leaves, told), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dt", [0.25, 2.0])
def test_the_inflation_is_over_a_unit_of_time(dt, coupled, key):
    """The spread that the flow carries grows by 1.3 to the power of the span; what the span adds does not."""
    ssm, chosen = coupled.dynamics.ssm, ExtendedKalman(1.3)
    cycle = jax.tree.map(lambda leaf: leaf[0], coupled.cycles)
    cycle = eqx.tree_at(lambda c: c.span.dt, cycle, jnp.asarray(dt))
    belief = chosen.start(coupled.dynamics, ssm.init(), key=key)
    after = chosen.forecast(coupled.dynamics, belief, cycle, key=key)
    move, _, noise = map(np.asarray, ssm.matrices(cycle.span))
    first = np.asarray(ssm.root @ ssm.root.T)
    expected = 1.3 ** (2.0 * dt) * move @ first @ move.T + noise @ noise.T
    np.testing.assert_allclose(after.root @ after.root.T, expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(after.mean, move @ np.asarray(ssm.mean), rtol=1e-10)


@pytest.mark.slow
def test_on_lorenz_it_scores_what_is_published(x64, key):
    """0.87 to 0.92 with an inflation of 180 per unit of time in variance (DAPPER's table)."""
    k_truth, k_run = jax.random.split(key)
    ssm, chosen = SAKOV2012, ExtendedKalman(180.0**0.5)
    spans = regular_spans(SAKOV2012_STEP, 4000)
    x, y = simulate(ssm, ssm.init().sample(k_truth), spans, key=k_truth)
    cycles = Cycle(spans, y, jnp.ones_like(y, bool), jnp.zeros_like(y))
    belief = chosen.start(Dynamics(ssm), ssm.init(), key=k_run)
    _, told = eqx.filter_jit(run)(chosen, Dynamics(ssm), belief, cycles, key=k_run)
    rmse = np.sqrt(((told.analysis[0] - x) ** 2).mean(axis=1))[64:].mean()
    assert 0.8 < rmse < 1.05


def test_a_model_without_a_flow_is_refused(key):
    with pytest.raises(TypeError, match="VanDerPol is not: use ETKF"):
        ExtendedKalman().start(Dynamics(VanDerPol()), None, key=key)
