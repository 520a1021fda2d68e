"""The two parts of the variance on hierarchies whose parts are known."""

import numpy as np
import pytest

from assim.data.scaling import TURN, Scaling
from assim.uncertainty import components


def scaling(support="real", centre=5.0, scale=2.0, power=1.0):
    return Scaling((support,), np.array([[centre]]), np.array([[scale]]), np.array([power]))


def hierarchy(between, within, origins=3000, parameters=8, paths=6, leads=2, seed=0):
    """y = m + e with m of sd `between` shared by the paths of a parameter."""
    rng = np.random.default_rng(seed)
    m = between * rng.normal(size=(origins, parameters, 1, 1))
    return m + within * rng.normal(size=(origins, parameters, paths, leads))


@pytest.mark.parametrize(("between", "within"), [(1.0, 0.5), (0.6, 1.0), (2.0, 0.0)])
def test_both_parts_are_unbiased_in_file_units(between, within):
    parts = components(hierarchy(between, within), scaling(), 0, 0)
    assert parts.shape == (2, 3000, 2)
    mean, error = parts.mean(axis=(1, 2)), parts.std(axis=(1, 2)) / 3000**0.5
    told = 4 * np.array([within**2, between**2])
    assert (np.abs(mean - told) <= 4 * error + 1e-9).all()


def test_their_sum_is_the_variance_of_all_paths():
    z = hierarchy(1.0, 1.0, origins=50, parameters=200, paths=50)
    total = components(z, scaling(), 0, 0).sum(axis=0)
    np.testing.assert_allclose(total, 4 * z.reshape(50, -1, 2).var(axis=1), rtol=0.02)


def test_a_posterior_that_knows_has_no_epistemic_part():
    """Without the correction it would be a sixth of the aleatoric part."""
    within, between = components(hierarchy(0.0, 1.0), scaling(), 0, 0).mean(axis=(1, 2))
    assert between < 0.1 * within
    assert (components(hierarchy(0.0, 1.0), scaling(), 0, 0) >= 0).all()


def test_one_parameter_draw_tells_no_epistemic_part():
    within, between = components(hierarchy(1.0, 1.0, parameters=1), scaling(), 0, 0)
    assert np.isnan(between).all()
    assert within.mean() == pytest.approx(4, rel=0.05)


def test_the_transform_comes_before_the_variance():
    z = np.abs(hierarchy(0.2, 0.3, origins=4)) + 1
    bent = components(z, scaling("lower", 0.0, 3.0, 0.5), 0, 0)
    straight = components(3 * z**2, scaling("real", 0.0, 1.0), 0, 0)
    np.testing.assert_allclose(bent, straight)


@pytest.mark.parametrize("north", [0.0, np.pi, 2.0])
def test_directions_spread_the_short_way(north):
    """Around north the variance is what it is elsewhere."""
    z = hierarchy(0.2, 0.1, origins=500)
    circle = scaling("circle", 0.0, 360 / TURN)
    turned = components(z + north, circle, 0, 0).mean(axis=(1, 2))
    told = np.rad2deg([0.1, 0.2]) ** 2
    np.testing.assert_allclose(turned, told, rtol=0.05)
