"""Robust filters: what a gate and a heavy tail do to wrong readings, and to right ones."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

from assim.filters import (
    ETKF,
    Gated,
    GuidedParticle,
    Kalman,
    Tolerant,
    WeakFourDVar,
)
from assim.filters.base import Cycle, Dynamics, Told, run
from assim.filters.gaussian import Gaussian
from assim.filters.robust import Watched
from assim.statespace import Span, regular_spans, simulate
from assim.systems.ornstein_uhlenbeck import OrnsteinUhlenbeck

ONE = OrnsteinUhlenbeck(*(jnp.array([v]) for v in (0.0, 2.0, 1e3, 0.5)))
"""One slow process, read with an error of 0.5."""
EVERY = {
    "Kalman": Kalman(),
    "WeakFourDVar": WeakFourDVar(np.eye(4), lag=2),
    "GuidedParticle": GuidedParticle(60),
}
each_filter = pytest.mark.parametrize(
    "inner",
    [
        pytest.param(f, id=n, marks=[] if n == "Kalman" else [pytest.mark.slow])
        for n, f in EVERY.items()
    ],
)


def filtered(chosen, dynamics, cycles, key, prior=None):
    prior = dynamics.ssm.init() if prior is None else prior
    k_start, k_run = jax.random.split(key)
    belief = chosen.start(dynamics, prior, key=k_start)
    return eqx.filter_jit(run)(chosen, dynamics, belief, cycles, key=k_run, keep=Told)


def a_cycle(y: float, sd: float = 0.0) -> Cycle:
    span = Span(jnp.asarray(1e-9), jnp.zeros(0))
    return Cycle(span, jnp.array([y]), jnp.array([True]), jnp.array([sd]))


def after_one(chosen, y, sd=0.0):
    """Mean after one reading of a state of mean 0 and standard deviation 2."""
    dynamics, cycle = Dynamics(ONE), a_cycle(y, sd)
    belief = chosen.start(dynamics, ONE.init(), key=jax.random.key(0))
    belief = chosen.opened(belief, jax.tree.map(lambda leaf: leaf[None], cycle))
    after, _ = chosen.analysis(dynamics, belief, cycle, key=jax.random.key(0))
    return float(chosen.moments(after)[0][0])


@each_filter
def test_that_bears_all_it_is_the_filter_itself(inner, coupled, key):
    _, plain = filtered(inner, coupled.dynamics, coupled.cycles, key)
    _, told = filtered(Gated(inner, jnp.inf), coupled.dynamics, coupled.cycles, key)
    assert eqx.tree_equal(told.analysis.belief, plain.analysis, rtol=1e-9, atol=1e-12)
    assert eqx.tree_equal(told.innovation, plain.innovation, rtol=1e-9, atol=1e-12)


@each_filter
def test_that_bears_nothing_it_is_blind(inner, coupled, key):
    """Where every reading is refused, all is as if there was none."""
    none = jnp.zeros_like(coupled.cycles.mask)
    blind = replace(coupled.cycles, mask=none, y=jnp.zeros_like(coupled.cycles.y))
    _, plain = filtered(inner, coupled.dynamics, blind, key)
    _, told = filtered(Gated(inner, 0.0, 10**6), coupled.dynamics, coupled.cycles, key)
    one, other = (jax.vmap(inner.moments)(b) for b in (told.analysis.belief, plain.analysis))
    assert eqx.tree_equal(one, other, rtol=1e-9, atol=1e-12)
    refused = np.asarray(coupled.cycles.mask).cumsum(axis=0)
    np.testing.assert_array_equal(told.analysis.refused, refused)


@pytest.mark.parametrize("wrap", [Gated, Tolerant])
def test_a_time_without_readings_changes_nothing(wrap, coupled, key):
    _, told = filtered(wrap(ETKF(20)), coupled.dynamics, coupled.cycles, key)
    blind = int(np.flatnonzero(~np.asarray(coupled.cycles.mask).any(axis=1))[0])
    one, other = (
        jax.tree.map(lambda leaf: leaf[blind], belief)
        for belief in (told.analysis, told.background)
    )
    assert eqx.tree_equal(one, other)


@pytest.mark.parametrize(
    "inner",
    [Kalman(), pytest.param(WeakFourDVar(np.eye(4)), marks=pytest.mark.slow)],
    ids=["Kalman", "WeakFourDVar"],
)
def test_a_refused_reading_is_a_missing_one(inner, coupled, key):
    """For ever, also where a window is looked at again; and its innovation is told all the same."""
    spoilt = replace(coupled.cycles, y=coupled.cycles.y.at[4, 0].add(100.0))
    hidden = replace(coupled.cycles, mask=coupled.cycles.mask.at[4, 0].set(False))
    assert coupled.cycles.mask[4, 0]
    _, told = filtered(Gated(inner, 10.0), coupled.dynamics, spoilt, key)
    _, plain = filtered(inner, coupled.dynamics, hidden, key)
    one, other = (jax.vmap(inner.moments)(b) for b in (told.analysis.belief, plain.analysis))
    assert eqx.tree_equal(one, other, rtol=1e-9, atol=1e-12)
    assert told.innovation.residual[4, 0] > 90.0 and told.innovation.log_score[4, 0] < -100.0


def test_a_filter_that_is_sure_and_wrong_is_told_again(x64, key):
    """After as many readings as its patience, until it agrees."""
    dynamics = Dynamics(ONE)
    spans, y = regular_spans(1.0, 40), jnp.full((40, 1), 3.0)
    cycles = Cycle(spans, y, jnp.ones_like(y, bool).at[1].set(False), jnp.zeros_like(y))
    prior = dist.Normal(jnp.array([-3.0]), 1e-3).to_event(1)
    _, told = filtered(Gated(Kalman(), 3.0, 4), dynamics, cycles, key, prior)
    refused = np.asarray(told.analysis.refused[:, 0])
    np.testing.assert_array_equal(refused[:6], [1, 1, 2, 3, 4, 5])
    means = np.asarray(told.analysis.belief.mean[:, 0])
    same = means == np.asarray(told.background.belief.mean[:, 0])
    np.testing.assert_array_equal(same[:12], [True] * 5 + [False] * 7)
    _, never = filtered(Gated(Kalman(), 3.0, 100), dynamics, cycles, key, prior)
    assert refused[-1] == 0 and means[-1] > 2.0
    assert never.analysis.belief.mean[-1, 0] < -2.8


@pytest.mark.parametrize("df", [1.0, 4.0, 200.0])
@pytest.mark.parametrize("sd", [0.0, 1.5])
def test_the_mean_is_that_of_an_error_with_heavy_tails(df, sd, x64):
    """A Gaussian times a Student's t, by quadrature; the file's own error lies within the whole."""
    x, error = np.linspace(-60.0, 60.0, 60_001), np.hypot(0.5, sd)
    for y in (2.0, 4.0, 8.0, 20.0):
        weight = stats.norm.pdf(x, 0.0, 2.0) * stats.t.pdf(y - x, df, 0.0, error)
        exact = (x * weight).sum() / weight.sum()
        most = y * 4.0 / (4.0 + error**2)  # the error never falls
        found = after_one(Tolerant(Kalman(), df), y, sd)
        assert found == pytest.approx(min(exact, most), rel=1e-6), y


def test_far_readings_weigh_as_in_robust_regression(x64):
    """Where the background is exact."""
    chosen, sure = Tolerant(Kalman(), 4.0), Gaussian(jnp.zeros(1), 1e-6 * jnp.eye(1), jnp.zeros(()))
    for y in (0.1, 1.0, 3.0, 30.0):
        cycle = a_cycle(y)
        _, innovation = Kalman().analysis(Dynamics(ONE), sure, cycle, key=jax.random.key(0))
        told, _ = chosen.screened(Dynamics(ONE), Watched(sure, None), cycle, innovation)
        precision = 0.25 / (0.25 + float(told.sd[0]) ** 2)
        assert precision == pytest.approx(min(5.0 / (4.0 + y**2 / 0.25), 1.0), rel=1e-6)


@pytest.mark.parametrize("y", [1e3, 1e6, 1e9])
def test_the_furthest_readings_weigh_nothing(y):
    assert abs(after_one(Tolerant(Kalman(), 4.0), y)) < 0.05


def test_among_gross_errors_it_is_nearly_as_good_as_one_that_knows_them(x64, key):
    """A tenth of the readings off by twenty standard errors."""
    k_path, k_which, k_off, k_run = jax.random.split(key, 4)
    ssm = OrnsteinUhlenbeck(*(v * jnp.ones(3) for v in (0.0, 2.0, 5.0, 1.0)))
    spans = regular_spans(1.0, 1500)
    x, y = simulate(ssm, jnp.zeros(3), spans, key=k_path)
    wrong = jax.random.bernoulli(k_which, 0.1, y.shape)
    y = y + 20.0 * wrong * jax.random.rademacher(k_off, y.shape)
    cycles = Cycle(spans, y, jnp.ones_like(y, bool), jnp.zeros_like(y))
    known = replace(cycles, mask=~wrong, y=jnp.where(wrong, 0.0, y))

    def rmse(chosen, cycles):
        _, told = filtered(chosen, Dynamics(ssm), cycles, k_run)
        return float(np.sqrt(((jax.vmap(chosen.moments)(told.analysis)[0] - x) ** 2).mean()))

    best, plain = rmse(Kalman(), known), rmse(Kalman(), cycles)
    assert plain > 1.5 * best
    assert rmse(Gated(Kalman(), 4.0), cycles) < 1.15 * best
    assert rmse(Tolerant(Kalman(), 4.0), cycles) < 1.15 * best


@pytest.mark.slow
def test_a_record_cut_in_two_is_the_whole(coupled, key):
    chosen = Gated(Kalman(), 1.0, 2)
    whole, told = filtered(chosen, coupled.dynamics, coupled.cycles, key)
    assert told.analysis.refused.max() > 0
    first, second = (
        jax.tree.map(lambda leaf, s=s: leaf[s], coupled.cycles) for s in (slice(5), slice(5, None))
    )
    belief, _ = filtered(chosen, coupled.dynamics, first, key)
    k_run = jax.random.split(key)[1]
    belief, _ = run(chosen, coupled.dynamics, belief, second, key=k_run, first_step=5)
    assert eqx.tree_equal(belief, whole, rtol=1e-9, atol=1e-12)


def test_members_with_parameters_of_their_own(x64, key):
    """The variance of the error is then a mean over them."""
    errors = jnp.linspace(0.3, 0.9, 20)[:, None]
    batch = jax.vmap(lambda error: eqx.tree_at(lambda s: s.error, ONE, error))(errors)
    spans, y = regular_spans(1.0, 5), jnp.full((5, 1), 9.0)
    cycles = Cycle(spans, y, jnp.ones_like(y, bool), jnp.zeros_like(y))
    dynamics, chosen = Dynamics(batch, each=True), Tolerant(ETKF(20), 4.0)
    belief = chosen.start(dynamics, ONE.init(), key=key)
    _, told = run(chosen, dynamics, belief, cycles, key=key)
    _, plain = run(ETKF(20), dynamics, belief.belief, cycles, key=key)
    assert 0.0 < told.analysis[0][0, 0] < plain.analysis[0][0, 0] - 1.0
