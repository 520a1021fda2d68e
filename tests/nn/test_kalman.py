"""The filter and the smoother of a chain against the joint Gaussian of everything, solved at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assim.nn.kalman import Chain, Readings, Sequential, given_next
from assim.nn.parallel_kalman import Parallel

TIME, STATE, CHANNELS = 7, 3, 2


@pytest.fixture(scope="module")
def case():
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    rng = np.random.default_rng(1)
    mask = rng.random((TIME, CHANNELS)) < 0.6
    mask[3] = False
    chain = Chain(
        mean=jnp.asarray(rng.normal(size=STATE)),
        root=jnp.asarray(np.tril(rng.normal(size=(STATE, STATE)))),
        move=jnp.asarray(0.6 * rng.normal(size=(TIME, STATE, STATE))),
        offset=jnp.asarray(rng.normal(size=(TIME, STATE))),
        noise=jnp.asarray(rng.uniform(0.1, 0.5, (TIME, STATE))),
    )
    readings = Readings(
        y=jnp.asarray(rng.normal(size=(TIME, CHANNELS))),
        mask=jnp.asarray(mask),
        sd=jnp.asarray(rng.uniform(0.2, 0.6, (TIME, CHANNELS))),
        h=jnp.asarray(rng.normal(size=(CHANNELS, STATE))),
        offset=jnp.asarray(rng.normal(size=CHANNELS)),
    )
    yield chain, readings
    jax.config.update("jax_enable_x64", before)


def joint(chain):
    """Mean and covariance of all states."""
    mean, cov = [np.asarray(chain.mean)], [np.asarray(chain.root @ chain.root.T)]
    whole = np.zeros((TIME, STATE, TIME, STATE))
    for t in range(1, TIME):
        move, noise = np.asarray(chain.move[t]), np.diag(np.asarray(chain.noise[t]) ** 2)
        mean.append(move @ mean[-1] + np.asarray(chain.offset[t]))
        cov.append(move @ cov[-1] @ move.T + noise)
    for t in range(TIME):
        across = cov[t]
        for u in range(t, TIME):
            across = across if u == t else np.asarray(chain.move[u]) @ across
            whole[u, :, t], whole[t, :, u] = across, across.T
    return np.concatenate(mean), whole.reshape(TIME * STATE, TIME * STATE)


def solved(chain, readings, until=TIME):
    """Mean and covariance of all states given the rows before `until`, and the evidence."""
    mean, cov = joint(chain)
    seen = np.asarray(readings.mask) & (np.arange(TIME) < until)[:, None]
    h = np.kron(np.eye(TIME), np.asarray(readings.h))[seen.ravel()]
    apart = (np.asarray(readings.y) - np.asarray(readings.offset)).ravel()[seen.ravel()] - h @ mean
    spread = h @ cov @ h.T + np.diag(np.asarray(readings.sd).ravel()[seen.ravel()] ** 2)
    gain = np.linalg.solve(spread, h @ cov).T
    misfit = apart @ np.linalg.solve(spread, apart)
    evidence = -0.5 * (misfit + np.linalg.slogdet(2 * np.pi * spread)[1])
    return (mean + gain @ apart).reshape(TIME, STATE), cov - gain @ h @ cov, evidence


@pytest.mark.parametrize("sweep", [Sequential(), Parallel()], ids=["sequential", "parallel"])
def test_beliefs_and_evidence_are_those_of_the_joint_gaussian(case, sweep):
    chain, readings = case
    filtered = sweep.filtered(chain, readings)
    mean, root = sweep.smoothed(chain, filtered)
    told, cov, evidence = solved(chain, readings)
    np.testing.assert_allclose(filtered.evidence(readings), evidence, rtol=1e-10)
    np.testing.assert_allclose(mean, told, rtol=1e-8, atol=1e-10)
    for t in range(TIME):
        here = slice(t * STATE, (t + 1) * STATE)
        np.testing.assert_allclose(root[t] @ root[t].T, cov[here, here], rtol=1e-8, atol=1e-10)
        so_far, cov_so_far, _ = solved(chain, readings, until=t + 1)
        np.testing.assert_allclose(filtered.mean[t], so_far[t], rtol=1e-8, atol=1e-10)
        whole = filtered.root[t] @ filtered.root[t].T
        np.testing.assert_allclose(whole, cov_so_far[here, here], rtol=1e-8, atol=1e-10)


def test_each_reading_is_foreseen_given_all_before_it(case):
    chain, readings = case
    filtered = Sequential().filtered(chain, readings)
    alone = readings.mask & (jnp.arange(CHANNELS) == 0)
    first = Sequential().filtered(chain, Readings(readings.y, alone, *_rest(readings)))
    told = [
        solved(chain, Readings(readings.y, m, *_rest(readings)), 1)[2]
        for m in (alone, readings.mask)
    ]
    steps = jax.scipy.stats.norm.logpdf(readings.y[0], filtered.loc[0], filtered.scale[0])
    steps = np.where(readings.mask[0], steps, 0.0)
    np.testing.assert_allclose(np.cumsum(steps), told, rtol=1e-10)
    np.testing.assert_allclose(first.loc[0, 0], filtered.loc[0, 0])


def test_a_missing_reading_changes_nothing_whatever_stands_there(case):
    chain, readings = case
    other = Readings(jnp.where(readings.mask, readings.y, 1e6), readings.mask, *_rest(readings))
    one, two = (Sequential().filtered(chain, r) for r in (readings, other))
    np.testing.assert_array_equal(one.mean, two.mean)
    assert float(one.evidence(readings)) == float(two.evidence(other))


def test_a_state_given_the_next_one_is_that_of_the_joint_gaussian(case):
    chain, _ = case
    shift, gain, root = given_next(
        chain.mean, chain.root, chain.move[1], chain.offset[1], chain.noise[1]
    )
    mean, cov = joint(chain)
    now, then = slice(0, STATE), slice(STATE, 2 * STATE)
    exact = np.linalg.solve(cov[then, then], cov[then, now]).T
    np.testing.assert_allclose(gain, exact, rtol=1e-8)
    np.testing.assert_allclose(shift, mean[now] - exact @ mean[then], rtol=1e-8)
    left = cov[now, now] - exact @ cov[then, now]
    np.testing.assert_allclose(root @ root.T, left, rtol=1e-8, atol=1e-12)


def _rest(readings):
    return readings.sd, readings.h, readings.offset
