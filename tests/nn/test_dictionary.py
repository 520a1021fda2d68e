"""Observables against their formulas, and centres against groups that are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assim.nn.dictionary import Delays, Monomials, RadialBasis, centres

CORNERS = np.array([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0], [5.0, 5.0]])


@pytest.fixture(scope="module")
def groups():
    """Points around four corners, and one far away of weight 0."""
    rng = np.random.default_rng(0)
    points = np.repeat(CORNERS, 50, axis=0) + 0.2 * rng.normal(size=(200, 2))
    weight = np.append(rng.random(200) + 0.1, 0.0)
    return np.concatenate([points, [[100.0, 100.0]]]), weight


def test_delays_are_the_point_and_a_constant():
    x = jnp.array([[2.0, 3.0]])
    np.testing.assert_array_equal(Delays()(x, {}), [[1, 2, 3]])


def test_monomials_are_all_products_up_to_a_degree():
    found = Monomials(3)(jnp.array([2.0, 3.0]), {})
    assert found[0] == 1.0 and Monomials.constant
    wanted = [2.0**i * 3.0**j for i in range(4) for j in range(4) if i + j <= 3]
    assert sorted(np.asarray(found).tolist()) == sorted(wanted)


def test_centres_find_groups_and_leave_out_what_has_no_weight(groups):
    points, weight = groups
    found = np.asarray(jax.jit(centres, static_argnums=2)(*map(jnp.asarray, groups), 4))
    mean = points[:200].reshape(4, 50, 2).mean(axis=1)
    apart = np.linalg.norm(found[:, None] - mean, axis=-1)
    assert sorted(apart.argmin(axis=0)) == [0, 1, 2, 3]
    assert apart.min(axis=0).max() < 1e-5


def test_more_centres_than_points_are_finite():
    points = jnp.array([[0.0], [1.0], [1.0]])
    found = np.asarray(jax.jit(centres, static_argnums=2)(points, jnp.ones(3), 5))
    assert set(found.ravel().tolist()) == {0.0, 1.0}


def test_radial_functions_decay_from_their_centres(groups):
    points, weight = (jnp.asarray(part) for part in groups)
    dictionary = RadialBasis(4)
    counted = jax.jit(dictionary.counted)(points, weight)
    told = np.asarray(points)[:200]
    width = np.linalg.norm(told - told.mean(axis=0), axis=1).mean()
    np.testing.assert_allclose(counted["width"], width, rtol=1e-5)
    far = np.linalg.norm(told[:3, None] - np.asarray(counted["centres"]), axis=-1)
    found = dictionary(points[:3], counted)
    np.testing.assert_allclose(found, np.exp(-far / width), rtol=1e-4)
    assert RadialBasis(4, 2.5).counted(points, weight)["width"] == 2.5


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: RadialBasis(0), "num=0"),
        (lambda: RadialBasis(3, 0.0), "width=0.0"),
        (lambda: Monomials(0), "degree=0"),
    ],
)
def test_a_dictionary_of_nothing_is_refused(make, told):
    with pytest.raises(ValueError, match=told):
        make()
