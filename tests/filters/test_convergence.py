"""Filters against others: an independent library, and the exact filter at the rate of Monte Carlo."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from statsmodels.tsa.statespace.kalman_smoother import KalmanSmoother

from assim.filters import ETKF, RTS, EnKF, Kalman, Particle
from assim.filters.base import Told, run
from assim.filters.smoother import smoothed
from assim.statespace import Span


def of_statsmodels(case):
    """The same model, record and gaps in another library, whose first state is the first background."""
    ssm, cycles = case.dynamics.ssm, case.cycles
    times, channels = cycles.mask.shape
    size = ssm.mean.shape[0]
    spans = [Span(cycles.span.dt[k], jnp.zeros(0)) for k in range(times)]
    moves, noises = [], []
    for span in spans:
        move, _, root = map(np.asarray, ssm.matrices(span))
        moves.append(move)
        noises.append(root @ root.T)
    error = np.asarray(ssm.error @ ssm.error.T)
    obs = np.stack([error + np.diag(np.asarray(s) ** 2) for s in cycles.sd], axis=-1)
    model = KalmanSmoother(k_endog=channels, k_states=size, k_posdef=size)
    model.bind(np.where(cycles.mask, cycles.y, np.nan))
    model["design"] = np.asarray(ssm.observing)
    model["obs_cov"] = obs
    # their transition leads from a time to the next, ours from the one before to a time
    model["transition"] = np.stack([*moves[1:], np.eye(size)], axis=-1)
    model["selection"] = np.eye(size)
    model["state_cov"] = np.stack([*noises[1:], np.zeros((size, size))], axis=-1)
    first = moves[0] @ np.asarray(ssm.mean)
    covariance = moves[0] @ np.asarray(ssm.root @ ssm.root.T) @ moves[0].T + noises[0]
    model.initialize_known(first, covariance)
    return model.smooth()


def covariance(belief):
    return np.einsum("tij,tkj->tik", belief.root, belief.root)


def test_filter_and_smoother_are_those_of_another_library(exact, key):
    other = of_statsmodels(exact)
    begin = exact.dynamics.ssm.init()
    belief = Kalman().start(exact.dynamics, begin, key=key)
    told = run(Kalman(), exact.dynamics, belief, exact.cycles, key=key, keep=Told)[1]
    np.testing.assert_allclose(told.analysis.mean, other.filtered_state.T, rtol=1e-8, atol=1e-9)
    cov = np.moveaxis(other.filtered_state_cov, -1, 0)
    np.testing.assert_allclose(covariance(told.analysis), cov, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(told.analysis.log_density.sum(), other.llf, rtol=1e-9)
    found, _ = smoothed(RTS(), exact.dynamics, belief, exact.cycles, key=key)
    np.testing.assert_allclose(found.mean, other.smoothed_state.T, rtol=1e-7, atol=1e-8)
    cov = np.moveaxis(other.smoothed_state_cov, -1, 0)
    np.testing.assert_allclose(covariance(found), cov, rtol=1e-7, atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [EnKF, ETKF, Particle])
def test_the_error_falls_with_the_root_of_the_members(kind, exact, key):
    """Of the mean at all times, over forty seeds: sixteen times the members, a quarter of the error."""

    def error(size: int) -> float:
        chosen = kind(size)

        def one(key: jax.Array) -> jax.Array:
            k_start, k_run = jax.random.split(key)
            belief = chosen.start(exact.dynamics, exact.dynamics.ssm.init(), key=k_start)
            told = run(chosen, exact.dynamics, belief, exact.cycles, key=k_run)[1]
            return told.analysis[0] - exact.filtered[0]

        apart = eqx.filter_jit(eqx.filter_vmap(one))(jax.random.split(key, 40))
        return float(jnp.sqrt((apart**2).mean()))

    assert 3.0 < error(60) / error(960) < 5.6
