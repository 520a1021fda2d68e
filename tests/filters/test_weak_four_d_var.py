"""Weak-constraint 4D-Var: exact where the model is linear, at the bottom of its cost where it bends."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from assim.filters import FourDVar, Kalman, WeakFourDVar, weak_four_d_var
from assim.filters.base import Cycle, Dynamics, Told, run
from assim.filters.gaussian import root_of
from assim.filters.variational import climatological, stepped
from assim.statespace import regular_spans, simulate
from assim.systems import VanDerPol
from assim.systems.lorenz63 import Lorenz63


class Bent(Lorenz63):
    """Lorenz with noise that grows with the state, read through a square and a sine."""

    def process_noise(self, x, span):
        return dist.Normal(jnp.zeros(3), 0.5 + 0.05 * jnp.abs(x)).to_event(1)

    def observation(self, x, span, where=None, sd=None, u=None):
        seen = jnp.stack([0.1 * x[0] ** 2, x[1], 20.0 * jnp.sin(0.1 * x[2])])
        return dist.Normal(seen, jnp.sqrt(2.0 + (0.0 if sd is None else sd) ** 2))


def filtered(chosen, case, key, prior=None, **more):
    prior = case.dynamics.ssm.init() if prior is None else prior
    belief = chosen.start(case.dynamics, prior, key=key)
    return eqx.filter_jit(run)(chosen, case.dynamics, belief, case.cycles, key=key, **more)


def cut(cycles, s):
    return jax.tree.map(lambda leaf: leaf[s], cycles)


def bent(lag, key, times=4):
    """A background in a window, and the cycle that is to correct it."""
    dynamics, spans = Dynamics(Bent(substeps=8)), regular_spans(0.08, times)
    x, y = simulate(dynamics.ssm, dynamics.ssm.init().sample(key), spans, key=key)
    cycles = Cycle(spans, y, jnp.ones_like(y, bool).at[2, 1].set(False), jnp.zeros_like(y))
    chosen = WeakFourDVar(0.3 * jnp.eye(3), lag=lag)
    belief = chosen.start(dynamics, dynamics.ssm.init(), key=key)
    past = cut(cycles, slice(times - 1))
    belief, _ = eqx.filter_jit(run)(chosen, dynamics, belief, past, key=key)
    last = cut(cycles, times - 1)
    return dynamics, chosen.forecast(dynamics, belief, last, key=key), last


def test_the_first_window_is_the_exact_filter(coupled, key):
    """Whatever B is: the prior's covariance stands at the beginning."""
    _, told = filtered(WeakFourDVar(9.0 * jnp.eye(4), lag=12), coupled, key, keep=Told)
    mean, covariance = coupled.filtered
    np.testing.assert_allclose(told.analysis.late, mean, rtol=1e-8, atol=1e-10)
    found = told.analysis.root @ told.analysis.root.mT
    np.testing.assert_allclose(found, covariance, rtol=1e-8, atol=1e-10)
    _, kalman = filtered(Kalman(), coupled, key)
    for one, other in zip(*map(jax.tree.leaves, (told.innovation, kalman.innovation)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("lag", [1, 3])
def test_with_the_stationary_covariance_it_is_the_exact_filter_for_ever(lag, coupled, key):
    spans, rng = regular_spans(0.5, 300), np.random.default_rng(1)
    y = jnp.asarray(rng.normal(size=(300, 3)))
    cycles = Cycle(spans, y, jnp.ones_like(y, bool), jnp.full_like(y, 0.2))
    settled, _ = filtered(Kalman(), replace(coupled, cycles=cycles), key)
    prior = dist.MultivariateNormal(jnp.ones(4), scale_tril=settled.root)
    case = replace(coupled, cycles=cut(cycles, slice(10)))
    _, told = filtered(WeakFourDVar(settled.root, lag=lag), case, key, prior)
    _, kalman = filtered(Kalman(), case, key, prior)
    for one, other in zip(jax.tree.leaves(told), jax.tree.leaves(kalman), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-10)
    _, other = filtered(WeakFourDVar(2.0 * settled.root, lag=lag), case, key, prior)
    assert np.abs(other.analysis[0] - kalman.analysis[0])[lag:].max() > 1e-3


def test_a_time_without_readings_changes_nothing(coupled, key):
    _, told = filtered(WeakFourDVar(jnp.eye(4)), coupled, key, keep=Told)
    blind = ~np.asarray(coupled.cycles.mask).any(axis=1)
    for name in ("late", "root"):
        one, other = getattr(told.analysis, name), getattr(told.background, name)
        same = np.asarray(one == other).reshape(len(blind), -1).all(axis=1)
        np.testing.assert_array_equal(same, blind)


def test_missing_readings_are_as_if_the_sensor_were_not_there(coupled, key):
    wild = jnp.where(coupled.cycles.mask, coupled.cycles.y, 1e6)
    spoilt = replace(coupled, cycles=eqx.tree_at(lambda c: c.y, coupled.cycles, wild))
    one, other = (filtered(WeakFourDVar(jnp.eye(4)), c, key)[1] for c in (coupled, spoilt))
    assert eqx.tree_equal(one, other)


@pytest.mark.slow
def test_a_record_cut_in_two_is_the_whole(coupled, key):
    chosen = WeakFourDVar(jnp.eye(4))
    whole, _ = filtered(chosen, coupled, key)
    first, second = (cut(coupled.cycles, s) for s in (slice(5), slice(5, None)))
    belief, _ = filtered(chosen, replace(coupled, cycles=first), key)
    belief, _ = run(chosen, coupled.dynamics, belief, second, key=key, first_step=5)
    assert eqx.tree_equal(belief, whole, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("lag", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_the_gradient_is_that_of_finite_differences(lag, x64, key):
    """In the first state and in every error, at a control that is not 0; by central differences."""
    dynamics, belief, _ = bent(lag, key)
    ssm, cycles = dynamics.ssm, belief.window.cycles
    control = 0.2 * jax.random.normal(key, (3 * (lag + 1),))

    def cost(control):
        first, *pushes = control.reshape(lag + 1, 3)
        x, total = belief.early + belief.spread @ first, 0.5 * control @ control
        for j, push in enumerate(pushes):
            cycle = cut(cycles, j)
            x = ssm.flow(x, cycle.span) + root_of(ssm.process_noise(x, cycle.span)) @ push
            density = ssm.observation(x, cycle.span, None, cycle.sd)
            late = jnp.where(cycle.mask, (cycle.y - density.mean) / density.scale, 0.0)
            total += 0.5 * late @ late
        return total

    step = 1e-5
    shifts = step * jnp.eye(control.shape[0])

    @jax.jit
    def told(control):
        way = weak_four_d_var._way(dynamics, belief, belief.window)
        _, white = weak_four_d_var._sighted(dynamics, way, control, cycles)
        around = jax.vmap(cost)(control + jnp.concatenate([shifts, -shifts]))
        return control - white.anomalies @ white.innovation, *jnp.split(around, 2)

    gradient, ahead, behind = told(control)
    np.testing.assert_allclose(gradient, (ahead - behind) / (2 * step), rtol=1e-7, atol=1e-7)


@pytest.mark.slow
def test_where_the_model_bends_it_ends_at_the_bottom_of_the_cost(x64, key):
    """There the next step goes nowhere; after one step it does."""
    dynamics, belief, cycle = bent(3, key)
    way = weak_four_d_var._way(dynamics, belief, belief.window)

    def moves(control):
        _, white = weak_four_d_var._sighted(dynamics, way, control, belief.window.cycles)
        return stepped(control, white)

    controls = [jnp.zeros(12)]
    for _ in range(40):
        controls.append(moves(controls[-1]))
    assert np.abs(controls[2] - controls[1]).max() > 1e-4
    assert np.abs(controls[-1] - controls[-2]).max() < 1e-9
    for iterations in (1, 40):
        chosen = WeakFourDVar(0.3 * jnp.eye(3), lag=3, iterations=iterations)
        after, _ = chosen.analysis(dynamics, belief, cycle, key=key)
        (late, _), _ = way(controls[iterations])
        np.testing.assert_allclose(after.late, late, rtol=1e-9)
        np.testing.assert_array_equal(after.past[-1], after.late)


@pytest.mark.slow
def test_many_settings_run_at_once(coupled, key):
    """A batch of scales gives what each gives."""
    scales = jnp.array([0.1, 1.0])

    def final(scale):
        return filtered(WeakFourDVar(jnp.eye(4), scale, lag=2), coupled, key)[0].late

    together = jax.vmap(final)(scales)
    np.testing.assert_allclose(together, [final(s) for s in scales], rtol=1e-8)
    assert np.abs(together[0] - together[1]).max() > 1e-3


def test_a_model_without_a_flow_is_refused(key):
    with pytest.raises(TypeError, match="WeakFourDVar needs one model .* VanDerPol is not"):
        WeakFourDVar(jnp.eye(2)).start(Dynamics(VanDerPol()), None, key=key)


@pytest.mark.slow
def test_where_the_model_errs_it_is_better_than_a_perfect_one(x64, key, score):
    """Lorenz pushed by noise, a reading every 0.1: of each the best of several scales."""
    ssm, step = Lorenz63(noise=2.0, substeps=10), 0.1
    spans = regular_spans(step, 5000)
    x, _ = jax.jit(lambda: simulate(ssm, ssm.init().sample(key), spans, key=key))()
    root = climatological(x[500:])
    best = {}
    for kind in (FourDVar, WeakFourDVar):
        scores = [
            score(kind(root, scale, 3), ssm, step, 1500, key) for scale in (0.003, 0.01, 0.03)
        ]
        best[kind] = min(scores)
    assert best[WeakFourDVar] < 0.97 * best[FourDVar]
