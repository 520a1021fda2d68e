"""The square-root filter and smoother against one dense Gaussian."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from assim.filters import RTS, Kalman
from assim.filters.base import Dynamics, Told, run
from assim.filters.smoother import smoothed
from assim.systems import VanDerPol


def filtered(case, key, **more):
    chosen = Kalman()
    belief = chosen.start(case.dynamics, case.dynamics.ssm.init(), key=key)
    return run(chosen, case.dynamics, belief, case.cycles, key=key, **more)


def covariance(belief):
    return np.einsum("tij,tkj->tik", belief.root, belief.root)


def test_the_filter_is_the_conditional_gaussian(exact, key):
    _, told = filtered(exact, key, keep=Told)
    mean, cov = exact.filtered
    np.testing.assert_allclose(told.analysis.mean, mean, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(covariance(told.analysis), cov, rtol=1e-10, atol=1e-12)
    assert float(told.analysis.log_density.sum()) == pytest.approx(exact.log_density, rel=1e-10)


def test_the_smoother_is_the_conditional_gaussian(exact, key):
    belief = RTS().start(exact.dynamics, exact.dynamics.ssm.init(), key=key)
    found, _ = smoothed(RTS(), exact.dynamics, belief, exact.cycles, key=key)
    mean, cov = exact.smoothed
    np.testing.assert_allclose(found.mean, mean, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(covariance(found), cov, rtol=1e-10, atol=1e-12)


def test_a_time_without_readings_changes_nothing(exact, key):
    _, told = filtered(exact, key, keep=Told)
    blind = int(np.flatnonzero(~np.asarray(exact.cycles.mask).any(axis=1))[0])
    assert (told.analysis.mean[blind] == told.background.mean[blind]).all()
    assert (told.analysis.root[blind] == told.background.root[blind]).all()
    assert (told.innovation.log_score[blind] == 0).all()


@pytest.mark.slow
def test_a_record_cut_in_two_is_the_whole(exact, key):
    whole, _ = filtered(exact, key)
    first, second = (
        jax.tree.map(lambda leaf, s=s: leaf[s], exact.cycles) for s in (slice(5), slice(5, None))
    )
    chosen = Kalman()
    belief = chosen.start(exact.dynamics, exact.dynamics.ssm.init(), key=key)
    belief, _ = run(chosen, exact.dynamics, belief, first, key=key)
    belief, _ = run(chosen, exact.dynamics, belief, second, key=key, first_step=5)
    assert eqx.tree_equal(belief, whole)


def test_what_it_is_not_exact_for_is_refused(key):
    prior = dist.Normal(jnp.zeros(2), 1.0).to_event(1)
    with pytest.raises(TypeError, match="VanDerPol is not: use ExtendedKalman"):
        Kalman().start(Dynamics(VanDerPol()), prior, key=key)
