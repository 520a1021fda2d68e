"""The iterative smoother: exact where the model is linear and calm, at the bottom of its cost where it bends."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assim.filters import ETKF, IEnKS, Multiplicative
from assim.filters.base import Cycle, Dynamics, Told, run
from assim.statespace import regular_spans, simulate
from assim.systems import VanDerPol
from assim.systems.lorenz63 import SAKOV2012, SAKOV2012_STEP
from assim.systems.lorenz96 import SAKOV2008, SAKOV2008_STEP, Lorenz96


def filtered(chosen, case, key, **more):
    belief = chosen.start(case.dynamics, case.prior, key=key)
    return eqx.filter_jit(run)(chosen, case.dynamics, belief, case.cycles, key=key, **more)


@pytest.mark.parametrize("lag", [1, 2, 4])
def test_on_a_calm_linear_model_it_is_the_etkf_whatever_the_window(lag, calm, key):
    """What is corrected early arrives as if it had been corrected late."""
    _, told = filtered(IEnKS(8, lag, 1), calm, key, keep=Told)
    _, whole = filtered(ETKF(8), calm, key, keep=Told)
    for one, other in ((told.analysis, whole.analysis), (told.background, whole.background)):
        np.testing.assert_allclose(one.late, other.members, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(told.innovation.log_score, whole.innovation.log_score, rtol=1e-8)


def test_a_time_without_readings_changes_nothing(calm, key):
    _, told = filtered(IEnKS(8, 2, 2, Multiplicative(1.3), True), calm, key, keep=Told)
    blind = ~np.asarray(calm.cycles.mask).any(axis=1)
    for name in ("early", "late"):
        one, other = getattr(told.analysis, name), getattr(told.background, name)
        np.testing.assert_array_equal((one == other).all(axis=(1, 2)), blind)


def test_missing_readings_are_as_if_the_sensor_were_not_there(calm, key):
    wild = jnp.where(calm.cycles.mask, calm.cycles.y, 1e6)
    spoilt = replace(calm, cycles=eqx.tree_at(lambda c: c.y, calm.cycles, wild))
    one, other = (filtered(IEnKS(8, 2, 2), case, key)[1] for case in (calm, spoilt))
    assert eqx.tree_equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("lag", [1, 3])
def test_where_the_model_bends_it_ends_at_the_bottom_of_the_cost(lag, x64, key):
    """The gradient over the control is 0, by automatic differentiation; after one step it is not."""
    dynamics, spans = Dynamics(SAKOV2012), regular_spans(0.1, 4)
    x, y = simulate(SAKOV2012, SAKOV2012.init().sample(key), spans, key=key)
    cycles = Cycle(spans, y, jnp.ones_like(y, bool), jnp.zeros_like(y))
    first, last = (jax.tree.map(lambda leaf, s=s: leaf[s], cycles) for s in (slice(3), 3))
    steepest = []
    for iterations in (1, 40):
        chosen = IEnKS(3, lag, iterations, bundle=1e-6)
        belief = chosen.start(dynamics, SAKOV2012.init(), key=key)
        belief, _ = run(chosen, dynamics, belief, first, key=key)
        belief = chosen.forecast(dynamics, belief, last, key=key)
        after, _ = chosen.analysis(dynamics, belief, last, key=key)
        mean = belief.early.mean(axis=0)
        anomalies = (belief.early - mean) / 2**0.5

        def cost(control, belief=belief, mean=mean, anomalies=anomalies):
            x = belief.window.through(
                lambda x, cycle: SAKOV2012.flow(x, cycle.span), mean + control @ anomalies
            )
            return 0.5 * control @ control + 0.25 * ((last.y - x) ** 2).sum()

        control = jnp.linalg.pinv(anomalies.T) @ (after.early.mean(axis=0) - mean)
        steepest.append(np.abs(jax.grad(cost)(control)).max())
    assert steepest[0] > 1e-3 and steepest[1] < 1e-4


def test_a_model_without_a_flow_is_refused(key):
    with pytest.raises(TypeError, match="VanDerPol is not: use ETKF"):
        IEnKS().start(Dynamics(VanDerPol()), None, key=key)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ssm", "step", "chosen", "expected", "tolerance"),
    [
        (SAKOV2012, SAKOV2012_STEP, IEnKS(10, 1, 3, Multiplicative(1.02), True), 0.31, 0.04),
        (SAKOV2008, SAKOV2008_STEP, IEnKS(40, 1, 2, Multiplicative(1.01), True), 0.18, 0.015),
        (Lorenz96(substeps=4), 0.2, IEnKS(20, 4, 4, Multiplicative(1.05), True), 0.31, 0.03),
    ],
    ids=["L63", "L96", "L96 seen seldom"],
)
def test_it_scores_what_is_published(ssm, step, chosen, expected, tolerance, x64, key, score):
    times = 4000 if ssm is SAKOV2012 else 1500
    assert score(chosen, ssm, step, times, key) == pytest.approx(expected, abs=tolerance)
