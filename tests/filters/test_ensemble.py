"""Ensemble filters of many members against the exact filter; gaps, rotations, inflation; the dense DEnKF."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assim.filters import ETKF, RTPS, Additive, DEnKF, EnKF, Multiplicative
from assim.filters.base import Told, run
from assim.filters.ensemble import Ensemble, Whitened, centred, rotation, transformed, turned

MANY = 4000
EXACT = [EnKF(MANY), ETKF(400), ETKF(400, rotate=True)]
EVERY = [EnKF(20), ETKF(20), ETKF(20, rotate=True), DEnKF(20)]


def filtered(chosen, case, key, **more):
    k_start, k_run = jax.random.split(key)
    belief = chosen.start(case.dynamics, case.dynamics.ssm.init(), key=k_start)
    return eqx.filter_jit(run)(chosen, case.dynamics, belief, case.cycles, key=k_run, **more)


@pytest.mark.parametrize("chosen", EXACT, ids=["EnKF", "ETKF", "rotated"])
def test_many_members_are_the_exact_filter(chosen, exact, key):
    """Within five Monte-Carlo standard errors of a mean of as many members, at every time."""
    _, told = filtered(chosen, exact, key)
    mean, cov = exact.filtered
    sd = np.sqrt(np.einsum("tii->ti", cov))
    found, spread = told.analysis
    assert (np.abs(found - mean) < 5 * sd * (2 / chosen.size) ** 0.5 + 1e-9).all()
    np.testing.assert_allclose(spread / sd, 1, atol=5 * (1 / chosen.size) ** 0.5)


@pytest.mark.parametrize("size", [3, 9])
def test_the_denkf_corrects_the_mean_by_the_gain_and_the_anomalies_by_half_of_it(size, exact, key):
    """By the dense gain of the channels that were read; fewer members than channels and more."""
    ssm, chosen = exact.dynamics.ssm, DEnKF(size)
    members = np.asarray(jax.random.normal(key, (size, 4)) @ ssm.root.T)
    at = int(np.flatnonzero(np.asarray(exact.cycles.mask).sum(axis=1) == 2)[0])
    cycle = jax.tree.map(lambda leaf: leaf[at], exact.cycles)
    after, _ = chosen.analysis(exact.dynamics, Ensemble(jnp.asarray(members)), cycle, key=key)
    read = np.asarray(cycle.mask)
    h, error = np.asarray(ssm.observing)[read], np.diag(np.asarray(ssm.error))
    mean = members.mean(axis=0)
    apart, cov = members - mean, np.cov(members.T)
    noise = np.diag((error**2 + np.asarray(cycle.sd) ** 2)[read])
    gain = cov @ h.T @ np.linalg.inv(h @ cov @ h.T + noise)
    expected = mean + gain @ (np.asarray(cycle.y)[read] - h @ mean)
    np.testing.assert_allclose(after.members.mean(axis=0), expected, rtol=1e-10, atol=1e-12)
    halved = apart - 0.5 * apart @ h.T @ gain.T
    found = after.members - after.members.mean(axis=0)
    np.testing.assert_allclose(found, halved, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("chosen", EVERY, ids=["EnKF", "ETKF", "rotated", "DEnKF"])
def test_a_time_without_readings_changes_nothing(chosen, exact, key):
    chosen = eqx.tree_at(lambda f: f.inflation, chosen, Multiplicative(1.3))
    _, told = filtered(chosen, exact, key, keep=Told)
    blind = ~np.asarray(exact.cycles.mask).any(axis=1)
    same = (told.analysis.members == told.background.members).all(axis=(1, 2))
    np.testing.assert_array_equal(same, blind)


@pytest.mark.parametrize("chosen", EVERY, ids=["EnKF", "ETKF", "rotated", "DEnKF"])
def test_missing_readings_are_as_if_the_sensor_were_not_there(chosen, exact, key):
    """A wild number under the mask moves nothing."""
    wild = jnp.where(exact.cycles.mask, exact.cycles.y, 1e6)
    _, told = filtered(chosen, exact, key)
    spoilt = replace(exact, cycles=eqx.tree_at(lambda c: c.y, exact.cycles, wild))
    _, again = filtered(chosen, spoilt, key)
    np.testing.assert_allclose(again.analysis[0], told.analysis[0], rtol=1e-9, atol=1e-12)


def test_a_rotation_keeps_the_mean_and_the_covariance(x64, key):
    turn = rotation(7, key=key)
    np.testing.assert_allclose(turn @ turn.T, np.eye(7), atol=1e-12)
    np.testing.assert_allclose(turn @ np.ones(7), np.ones(7), atol=1e-12)


@pytest.mark.parametrize("size", [3, 12])
def test_a_turned_root_moves_the_mean_and_spreads_as_the_symmetric_one_does(size, x64, key):
    k_s, k_x, k_turn = jax.random.split(key, 3)
    white = Whitened(centred(jax.random.normal(k_s, (7, 4)))[1], jnp.arange(4.0))
    x = centred(jax.random.normal(k_x, (7, size)))[1]
    weights, root = transformed(white)
    shift, anomalies = turned(white, x, key=k_turn)
    np.testing.assert_allclose(shift, weights @ x, atol=1e-12)
    np.testing.assert_allclose(anomalies.T @ anomalies, x.T @ root @ root @ x, atol=1e-12)
    np.testing.assert_allclose(anomalies.mean(axis=0), 0.0, atol=1e-12)
    assert np.abs(anomalies - root @ x).max() > 0.1


def test_an_inflation_does_what_it_says(x64, key):
    before, after = jax.random.normal(key, (2, 30, 5)) * jnp.array([2.0, 1.0])[:, None, None]
    wide = Multiplicative(1.5)(before, after, key=key)
    np.testing.assert_allclose(wide.std(axis=0), 1.5 * after.std(axis=0))
    relaxed = RTPS(0.3)(before, after, key=key)
    np.testing.assert_allclose(
        relaxed.std(axis=0), 0.7 * after.std(axis=0) + 0.3 * before.std(axis=0)
    )
    noisy = Additive(0.5)(before, after, key=key)
    for found in (wide, relaxed, noisy):
        np.testing.assert_allclose(found.mean(axis=0), after.mean(axis=0), atol=1e-12)
    assert np.std(noisy - after) == pytest.approx(0.5, rel=0.2)
