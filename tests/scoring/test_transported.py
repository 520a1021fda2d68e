"""Distances between clouds, against formulas and other people's code."""

import jax
import numpy as np
import pytest
from scipy import stats
from scipy.linalg import sqrtm

from assim.scoring import transported as t

KEY = jax.random.key(0)
ALL = [
    t.Wasserstein(2),
    t.Wasserstein(1),
    t.SlicedWasserstein(),
    t.SquaredMMD(),
    t.EnergyDistance(),
]


@pytest.fixture(scope="module")
def clouds():
    rng = np.random.default_rng(1)
    return rng.normal(size=(12, 3)), rng.normal(size=(9, 3)) * [1.0, 2.0, 0.5] + 1.0


@pytest.fixture(scope="module")
def weights():
    rng = np.random.default_rng(2)
    return rng.uniform(size=12), rng.uniform(size=9)


def between(points, others, weight, other_weight, value):
    """The double sum, term by term."""
    return sum(
        p * q * value(x, y)
        for x, p in zip(points, weight / weight.sum(), strict=True)
        for y, q in zip(others, other_weight / other_weight.sum(), strict=True)
    )


@pytest.mark.parametrize("score", ALL, ids=lambda score: score.name)
def test_a_distance_is_symmetric_and_0_from_itself(score, clouds, weights):
    one, other = (t.Cloud.of(x, w) for x, w in zip(clouds, weights, strict=True))
    assert score(one, one, key=KEY) == pytest.approx(0, abs=1e-7)
    there = score(one, other, key=KEY)
    assert there > 0.1
    if score.name != "mmd2":  # whose bandwidth is that of the true cloud
        assert score(other, one, key=KEY) == pytest.approx(there)


@pytest.mark.parametrize("score", ALL, ids=lambda score: score.name)
def test_weights_are_numbers_of_points(score, clouds):
    many = np.arange(1, 10)
    one = t.Cloud.of(clouds[0])
    told = score(one, t.Cloud.of(clouds[1], many), key=KEY)
    assert told == pytest.approx(score(one, t.Cloud.of(np.repeat(clouds[1], many, 0)), key=KEY))


def test_a_cloud_that_is_moved_is_as_far_as_it_was_moved(clouds):
    moved = clouds[0][::-1] + [3.0, 4.0, 12.0]
    for order in (1, 2, 3):
        assert t.wasserstein(clouds[0], moved, order=order) == pytest.approx(13)


def test_the_distance_of_gaussian_clouds_is_that_of_their_moments():
    """Bures: |m|^2 + tr(S + T - 2 (S^1/2 T S^1/2)^1/2), for a cloud and its image by a symmetric positive map."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(40, 3)) @ rng.normal(size=(3, 3))
    stretch = rng.normal(size=(3, 3))
    stretch, shift = stretch @ stretch.T, np.array([1.0, -2.0, 0.5])
    s = np.cov(x.T, ddof=0)
    root, image = sqrtm(s).real, stretch @ s @ stretch
    moved = (x - x.mean(axis=0)) @ stretch + x.mean(axis=0) + shift
    bures = shift @ shift + np.trace(s + image - 2 * sqrtm(root @ image @ root).real)
    assert t.wasserstein(x, rng.permutation(moved)) == pytest.approx(np.sqrt(bures))


def test_on_a_line_the_distance_is_that_of_quantiles(clouds, weights):
    x, y = clouds[0][:, :1], clouds[1][:, :1]
    known = stats.wasserstein_distance(x[:, 0], y[:, 0], *weights)
    assert t.on_lines(x, y, *weights, order=1)[0] == pytest.approx(known)
    assert t.wasserstein(x, y, *weights, order=1) == pytest.approx(known)
    assert t.on_lines(x, y, *weights)[0] == pytest.approx(t.wasserstein(x, y, *weights) ** 2)


def test_slices_are_those_of_directions(clouds):
    """A moved cloud: the mean of (u . shift)^2 over directions is |shift|^2 / d."""
    one, far = t.Cloud.of(clouds[0]), t.Cloud.of(clouds[0] + [3.0, 4.0, 12.0])
    many = t.SlicedWasserstein(directions=4000)
    assert many(one, far, key=KEY) == pytest.approx(13 / np.sqrt(3), rel=0.02)
    few = t.SlicedWasserstein(directions=3)
    assert few(one, far, key=KEY) == few(one, far, key=KEY)
    assert few(one, far, key=KEY) != few(one, far, key=jax.random.key(1))


def test_the_discrepancy_is_the_sum_over_pairs(clouds, weights):
    def kernel(x, y):
        return np.exp(-((x - y) ** 2).sum() / 2.5)

    (x, y), (a, b) = clouds, weights
    known = between(x, x, a, a, kernel) - 2 * between(x, y, a, b, kernel)
    known += between(y, y, b, b, kernel)
    assert t.squared_mmd(x, y, a, b, bandwidth=2.5) == pytest.approx(known)
    far = t.squared_mmd(x[:1], x[:1] + 1e3, bandwidth=2.5)
    assert far == pytest.approx(2)


def test_the_bandwidth_is_the_median_over_pairs_of_the_true_cloud(clouds):
    apart = [((p - q) ** 2).sum() for i, p in enumerate(clouds[0]) for q in clouds[0][:i]]
    h = t.median_bandwidth(clouds[0])
    assert h == pytest.approx(np.median(apart))
    one, other = map(t.Cloud.of, clouds)
    own = t.SquaredMMD()(one, other, key=KEY)
    assert own == t.SquaredMMD(bandwidth=h)(one, other, key=KEY)
    scaled = t.SquaredMMD()(t.Cloud.of(50 * one.x), t.Cloud.of(50 * other.x), key=KEY)
    assert scaled == pytest.approx(own)
    with pytest.raises(ValueError, match="no bandwidth follows"):
        t.median_bandwidth(np.zeros((5, 2)))


def test_the_energy_distance_is_that_of_its_formula(clouds, weights):
    def apart(x, y):
        return np.linalg.norm(x - y)

    (x, y), (a, b) = clouds, weights
    known = 2 * between(x, y, a, b, apart) - between(x, x, a, a, apart)
    known -= between(y, y, b, b, apart)
    assert t.energy_distance(x, y, a, b) == pytest.approx(known)
    line = t.energy_distance(x[:, :1], y[:, :1], a, b)
    assert line == pytest.approx(stats.energy_distance(x[:, 0], y[:, 0], a, b) ** 2)


def test_settings_that_are_no_distance_are_refused():
    with pytest.raises(ValueError, match="no distance"):
        t.Wasserstein(0.5)
    with pytest.raises(ValueError, match="no distance"):
        t.SlicedWasserstein(directions=0)
    with pytest.raises(ValueError, match="above 0"):
        t.SquaredMMD(bandwidth=0.0)
    assert [score.name for score in ALL] == ["w2", "w1", "sliced_w2", "mmd2", "energy"]
    assert "root of the mean squared distance" in ALL[0].words
