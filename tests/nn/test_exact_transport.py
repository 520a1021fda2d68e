"""Exact transport: couplings against assignment, and clouds on the way from one to another."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from assim.nn import exact_transport
from assim.nn.exact_transport import midpoints, scaled, transport_plan


@pytest.fixture(scope="module")
def clouds():
    rng = np.random.default_rng(0)
    return rng.normal(size=(6, 2)), rng.normal(size=(18, 2))


def test_equal_sizes_are_assigned(clouds):
    costs = cdist(clouds[0], clouds[1][:6])
    plan = transport_plan(costs)
    rows, columns = linear_sum_assignment(costs)
    assert (plan[rows, columns] == 1 / 6).all() and plan.sum() == pytest.approx(1)


def test_unequal_sizes_are_those_of_repeated_points(clouds):
    costs = cdist(*clouds, "sqeuclidean")
    plan = transport_plan(costs)
    np.testing.assert_allclose(plan.sum(axis=1), 1 / 6)
    np.testing.assert_allclose(plan.sum(axis=0), 1 / 18)
    assert np.count_nonzero(plan) <= 6 + 18 - 1
    repeated = np.repeat(costs, 3, axis=0)
    best = repeated[linear_sum_assignment(repeated)].mean()
    assert (plan * costs).sum() == pytest.approx(best)
    assert (plan * costs).sum() < (np.full_like(plan, plan.mean()) * costs).sum()


def test_whole_weights_are_those_of_repeated_points(clouds):
    weight = np.array([1, 2, 3, 1, 4, 7])
    costs = cdist(*clouds)
    plan = transport_plan(costs, weight)
    np.testing.assert_allclose(plan.sum(axis=1), weight / 18)
    repeated = np.repeat(costs, weight, axis=0)
    assert (plan * costs).sum() == pytest.approx(repeated[linear_sum_assignment(repeated)].mean())


def test_the_way_begins_and_ends_at_the_clouds_and_is_straight(clouds):
    before, after = clouds[0], clouds[0][::-1] @ [[2.0, 0.3], [0.3, 1.0]] + 5.0
    for fraction, cloud in ((0, before), (1, after)):
        points, weight = midpoints(before, after, fraction)
        np.testing.assert_allclose(np.sort(points, axis=0), np.sort(cloud, axis=0))
        np.testing.assert_allclose(weight, 1 / 6)
    # The gradient of a convex function is the best map: nobody turns on the way.
    points, _ = midpoints(before, after, 0.25)
    np.testing.assert_allclose(points, 0.75 * before + 0.25 * after[::-1])


def test_clouds_of_unequal_sizes_meet_in_weighted_pairs(clouds):
    points, weight = midpoints(*clouds, 0.4, np.array([1, 2, 3, 1, 4, 7]))
    assert len(points) == len(weight) <= 6 + 18 - 1 and weight.sum() == pytest.approx(1)
    mean = 0.6 * np.array([1, 2, 3, 1, 4, 7]) / 18 @ clouds[0] + 0.4 * clouds[1].mean(axis=0)
    np.testing.assert_allclose(weight @ points, mean)


def test_weights_are_scaled():
    np.testing.assert_allclose(scaled(np.array([1, 3]), 2), [0.25, 0.75])
    np.testing.assert_allclose(scaled(None, 4), 0.25)


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_without_pot_the_plan_is_the_same(clouds, monkeypatch, size):
    weight = np.array([1, 2, 3, 1, 4, 7])
    costs = cdist(*clouds)
    best = transport_plan(costs, weight)
    monkeypatch.setattr(exact_transport, "find_spec", lambda name: None)
    plan = transport_plan(size * costs, weight)
    assert np.count_nonzero(plan) <= 6 + 18 - 1
    np.testing.assert_allclose(plan, best, atol=1e-12)
