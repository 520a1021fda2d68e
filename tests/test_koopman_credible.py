"""Credible intervals of rates: quantiles away from 0, and the shortest, closed at 0, where draws lie at it."""

import numpy as np
import pytest
from scipy.stats import truncnorm

from assim.data.framing import Selection, frame_of
from assim.koopman.credible import of_rate
from assim.koopman.labelling import labelled
from assim.koopman.reading import Read
from tests.synthetic_modes import CHANNELS, make_record

FRAME = frame_of(make_record(40), Selection())
PILED = np.random.default_rng(0).exponential(size=200)


def told(draws, level=0.9):
    return of_rate(np.asarray(draws)[:, None], level)[:, 0]


def test_draws_piled_at_the_bound_have_an_interval_that_begins_there():
    low, middle, high = told(PILED)
    assert low == 0.0 and middle == np.median(PILED)
    assert high == np.sort(PILED)[179]  # 180 of 200
    assert np.quantile(PILED, 0.05) > 0.0
    low, middle, high = told(PILED, 0.5)
    assert low == 0.0 and high < middle == np.median(PILED)


def test_it_is_the_shortest_that_holds_the_level():
    draws = 0.5 + np.random.default_rng(1).gamma(3.0, size=50)
    x = np.sort(draws)
    pairs = [(a, b) for a in x for b in x if ((a <= x) & (x <= b)).mean() >= 0.8]
    shortest = min(pairs, key=lambda ends: ends[1] - ends[0])
    assert shortest[0] > x[0]  # a draw is left out below
    np.testing.assert_array_equal(told(draws, 0.8)[[0, 2]], shortest)


def test_away_from_the_bound_tails_are_equal():
    for draws in (10.0 + PILED, PILED - 0.5, np.full(9, 2.0), np.zeros(9)):
        np.testing.assert_array_equal(told(draws), np.quantile(draws, [0.05, 0.5, 0.95]))


def test_draws_below_0_are_told_as_those_above():
    np.testing.assert_array_equal(told(-PILED), -told(PILED)[::-1])
    assert not np.signbit(told(-PILED)[2])


def test_draws_without_the_mode_have_no_part():
    holed = np.append(PILED, [np.nan] * 20)
    np.testing.assert_array_equal(told(holed), told(PILED))
    assert np.isnan(told(np.full(3, np.nan))).all()


@pytest.mark.parametrize(("truth", "least"), [(0.0, 0.9), (0.5, 0.9), (2.0, 0.85)])
def test_a_rate_at_its_bound_is_covered(truth, least):
    """Of a flat prior on x >= 0 and one reading of unit error the posterior is a normal law cut off at 0."""
    rng = np.random.default_rng(2)
    reading = truth + rng.normal(size=400)
    draws = truncnorm.rvs(-reading, np.inf, reading, size=(200, 400), random_state=rng)
    low, _, high = of_rate(draws, 0.9)
    assert least < np.mean((low <= truth) & (truth <= high)) < 0.985


def test_a_mode_that_may_not_decay_may_never_halve():
    rate = np.stack([-0.01 * PILED + 0.1j, -0.5 + 0.01 * PILED + 0.3j], axis=1)
    ones = np.ones(rate.shape)
    shape = np.ones((len(rate), len(CHANNELS), 2), complex)
    found = labelled(Read(rate, shape, 0 * ones, ones, 0 * ones), FRAME, 0.9)
    growth, half = found["growth_rate_interval"].values, found["half_life_interval"].values
    assert growth[0, 1] == 0.0 and half[0, 1] == np.inf and np.isfinite(half[0, 0])
    np.testing.assert_allclose(growth[1], np.quantile(rate[:, 1].real, [0.05, 0.95]))
