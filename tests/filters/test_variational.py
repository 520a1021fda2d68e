"""Variational filters: exact where the model is linear, at the bottom of their cost where it bends."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from assim.filters import FourDVar, Kalman, ThreeDVar
from assim.filters.base import Cycle, Dynamics, Told, run
from assim.filters.variational import Tangent, climatological, sighted, stepped
from assim.statespace import regular_spans, simulate
from assim.systems import VanDerPol
from assim.systems.lorenz63 import SAKOV2012, SAKOV2012_STEP, Lorenz63
from assim.systems.lorenz96 import SAKOV2008, SAKOV2008_STEP, Lorenz96


class Bent(Lorenz63):
    """Lorenz read through a square and a sine."""

    def observation(self, x, span, where=None, sd=None, u=None):
        seen = jnp.stack([0.1 * x[0] ** 2, x[1], 20.0 * jnp.sin(0.1 * x[2])])
        return dist.Normal(seen, jnp.sqrt(2.0 + (0.0 if sd is None else sd) ** 2))


def filtered(chosen, case, key, **more):
    belief = chosen.start(case.dynamics, case.prior, key=key)
    return run(chosen, case.dynamics, belief, case.cycles, key=key, **more)


def either(root):
    return [ThreeDVar(root), FourDVar(root), FourDVar(root, lag=3)]


def bent(chosen, key):
    """A background and the cycle that is to correct it, two cycles after the prior."""
    dynamics, spans = Dynamics(Bent()), regular_spans(0.1, 3)
    x, y = simulate(dynamics.ssm, dynamics.ssm.init().sample(key), spans, key=key)
    cycles = Cycle(spans, y, jnp.ones_like(y, bool).at[2, 1].set(False), jnp.zeros_like(y))
    first, last = (jax.tree.map(lambda leaf, s=s: leaf[s], cycles) for s in (slice(2), 2))
    belief = chosen.start(dynamics, dynamics.ssm.init(), key=key)
    belief, _ = run(chosen, dynamics, belief, first, key=key)
    return dynamics, chosen.forecast(dynamics, belief, last, key=key), last


@pytest.mark.parametrize("which", range(3))
def test_the_first_analysis_of_a_linear_model_is_that_of_kalman(which, calm, key):
    """In four dimensions at the end of the flow, in three with the static covariance there."""
    static = which == 0
    root = jnp.asarray(calm.prior.scale_tril)
    first = jax.tree.map(lambda leaf: leaf[:1], calm.cycles)
    _, told = filtered(either(root)[which], replace(calm, cycles=first), key, keep=Told)
    kalman = Kalman()
    belief = kalman.start(calm.dynamics, calm.prior, key=key)
    cycle = jax.tree.map(lambda leaf: leaf[0], first)
    belief = kalman.forecast(calm.dynamics, belief, cycle, key=key)
    if static:
        belief = eqx.tree_at(lambda b: b.root, belief, root)
    after, innovation = kalman.analysis(calm.dynamics, belief, cycle, key=key)
    found = told.analysis.mean if static else told.analysis.late
    np.testing.assert_allclose(found[0], after.mean, rtol=1e-10, atol=1e-12)
    covariance = told.analysis.root[0] @ told.analysis.root[0].T
    np.testing.assert_allclose(covariance, after.root @ after.root.T, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(told.innovation.log_score[0], innovation.log_score, rtol=1e-10)


@pytest.mark.parametrize("which", range(3))
def test_a_time_without_readings_changes_nothing(which, calm, key):
    _, told = filtered(either(calm.prior.scale_tril)[which], calm, key, keep=Told)
    blind = ~np.asarray(calm.cycles.mask).any(axis=1)
    for name in ("mean", "root") if which == 0 else ("early", "late", "root"):
        one, other = getattr(told.analysis, name), getattr(told.background, name)
        same = np.asarray(one == other).reshape(len(blind), -1).all(axis=1)
        np.testing.assert_array_equal(same, blind)


@pytest.mark.parametrize("which", range(3))
def test_missing_readings_are_as_if_the_sensor_were_not_there(which, calm, key):
    chosen = either(calm.prior.scale_tril)[which]
    wild = jnp.where(calm.cycles.mask, calm.cycles.y, 1e6)
    spoilt = replace(calm, cycles=eqx.tree_at(lambda c: c.y, calm.cycles, wild))
    one, other = (filtered(chosen, case, key)[1] for case in (calm, spoilt))
    assert eqx.tree_equal(one, other)


def test_a_record_cut_in_two_is_the_whole(calm, key):
    chosen = FourDVar(calm.prior.scale_tril, lag=3)
    whole, _ = filtered(chosen, calm, key)
    first, second = (
        jax.tree.map(lambda leaf, s=s: leaf[s], calm.cycles) for s in (slice(5), slice(5, None))
    )
    belief, _ = filtered(chosen, replace(calm, cycles=first), key)
    belief, _ = run(chosen, calm.dynamics, belief, second, key=key, first_step=5)
    assert eqx.tree_equal(belief, whole, rtol=1e-12)


@pytest.mark.parametrize("lag", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_the_gradient_is_that_of_finite_differences(lag, x64, key):
    """Through flow and readings, at a control that is not 0; by central differences."""
    chosen = FourDVar(0.3 * jnp.eye(3), lag=lag)
    dynamics, belief, cycle = bent(chosen, key)
    control = 0.2 * jax.random.normal(key, (3,))

    def cost(control):
        x = belief.window.through(
            lambda x, cycle: dynamics.ssm.flow(x, cycle.span), belief.early + 0.3 * control
        )
        density = dynamics.ssm.observation(x, cycle.span, None, cycle.sd)
        lag = jnp.where(cycle.mask, (cycle.y - density.mean) / density.scale, 0.0)
        return 0.5 * control @ control + 0.5 * lag @ lag

    tangent = chosen._at(dynamics, belief.window, belief.early + 0.3 * control)
    white, _ = sighted(dynamics, tangent, cycle)
    gradient = control - white.anomalies @ white.innovation
    step = 1e-5
    ahead, behind = (jax.vmap(cost)(control + s * step * jnp.eye(3)) for s in (1, -1))
    np.testing.assert_allclose(gradient, (ahead - behind) / (2 * step), rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(gradient, jax.grad(cost)(control), rtol=1e-10)


@pytest.mark.parametrize("lag", [0, *(pytest.param(lag, marks=pytest.mark.slow) for lag in (1, 3))])
def test_where_the_model_bends_it_ends_at_the_bottom_of_the_cost(lag, x64, key):
    """There the next step goes nowhere; after one step it does."""
    root = 0.3 * jnp.eye(3)
    shifts = []
    for iterations in (1, 30):
        chosen = FourDVar(root, 1.0, lag, iterations) if lag else ThreeDVar(root, 1.0, iterations)
        dynamics, belief, cycle = bent(chosen, key)
        after, _ = chosen.analysis(dynamics, belief, cycle, key=key)
        if lag:
            control = (after.early - belief.early) / 0.3
            tangent = chosen._at(dynamics, belief.window, after.early)
        else:
            control = (after.mean - belief.mean) / 0.3
            tangent = Tangent(after.mean, belief.root.T)
        white, _ = sighted(dynamics, tangent, cycle)
        shifts.append(np.abs(stepped(control, white) - control).max())
    assert shifts[0] > 1e-6 and shifts[1] < 1e-9


def test_many_settings_run_at_once(calm, key):
    """A batch of scales gives what each gives."""
    scales = jnp.array([0.1, 1.0])

    def final(scale):
        chosen = FourDVar(calm.prior.scale_tril, scale, lag=2)
        return filtered(chosen, calm, key)[0].late

    together = jax.jit(jax.vmap(final))(scales)
    np.testing.assert_allclose(together, [final(s) for s in scales], rtol=1e-10)


def test_a_model_without_a_flow_is_refused(key):
    for chosen in either(jnp.eye(2)):
        with pytest.raises(TypeError, match="VanDerPol is not: use ETKF"):
            chosen.start(Dynamics(VanDerPol()), None, key=key)


def climate(ssm, step, key):
    spans = regular_spans(step, 20_000)
    x, _ = jax.jit(lambda: simulate(ssm, ssm.init().sample(key), spans, key=key))()
    return climatological(x[500:])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ssm", "step", "scale", "expected", "tolerance"),
    [(SAKOV2012, SAKOV2012_STEP, 0.1, 1.04, 0.05), (SAKOV2008, SAKOV2008_STEP, 0.02, 0.41, 0.02)],
    ids=["L63", "L96"],
)
def test_in_three_dimensions_it_scores_what_is_published(
    ssm, step, scale, expected, tolerance, x64, key, score
):
    chosen = ThreeDVar(climate(ssm, step, key), scale, 1)
    assert score(chosen, ssm, step, 5000, key) == pytest.approx(expected, abs=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lag", "scale", "expected"), [(1, 0.02, 0.469), (2, 0.005, 0.407), (4, 0.002, 0.386)]
)
def test_in_four_dimensions_it_scores_what_is_published(lag, scale, expected, x64, key, score):
    """A reading every 0.2; scales of the climatological covariance that are near the best for each window."""
    ssm = Lorenz96(substeps=4)
    chosen = FourDVar(climate(ssm, 0.2, key), scale, lag)
    assert score(chosen, ssm, 0.2, 2000, key) == pytest.approx(expected, abs=0.012)
