"""Populations as JAX sees them: from labels to arrays."""

import jax.numpy as jnp
import numpy as np
import pytest

import assim
from assim.data.populating import population_of
from assim.snapshots import Snapshots

ORIGIN = np.datetime64("2000-01-01", "ns")


def population(unit="1D", **given):
    clouds = [np.arange(6.0).reshape(3, 2), np.arange(4.0).reshape(2, 2)]
    ds = assim.stack_snapshots(clouds, [1, 2.5], ["x", "y"], unit="1D", **given)
    return population_of(ds, unit)


def test_a_population_becomes_arrays_in_its_own_unit_of_time():
    snapshots = Snapshots.from_population(population(id=[[7, 8, 9], [8, 7]]))
    assert snapshots.tick.tolist() == [0, 1] and snapshots.frac.tolist() == [0, 0.5]
    np.testing.assert_allclose(snapshots.spans, [1.5])
    assert snapshots.x.shape == (2, 3, 2) and snapshots.x.dtype == jnp.float32
    assert snapshots.mask[1, 2].tolist() == [False, False] and snapshots.weight[1, 2] == 0
    assert snapshots.id.tolist() == [[0, 1, 2], [1, 0, -1]] and snapshots.sd is None
    hours = Snapshots.from_population(population("1h"))
    np.testing.assert_allclose(hours.spans, [36])


def test_known_errors_go_with_it():
    errors = [np.full((3, 2), 0.5), np.full((2, 2), np.nan)]
    snapshots = Snapshots.from_population(population(sd=errors))
    np.testing.assert_array_equal(snapshots.sd[:, 0, 0], [0.5, 0.0])


@pytest.mark.parametrize("sd", [-1.0, np.nan, np.inf])
def test_errors_that_are_none_are_refused(sd):
    times, x = ORIGIN + np.arange(2) * np.timedelta64(1, "s"), np.ones((2, 3, 1))
    with pytest.raises(ValueError, match="standard errors run from .* finite and 0 or more"):
        Snapshots.of(times, x, origin=ORIGIN, step=1.0, sd=np.full((2, 3, 1), sd))
    with pytest.raises(ValueError, match=r"sd \(2, 3\).*sd like x"):
        Snapshots.of(times, x, origin=ORIGIN, step=1.0, sd=np.ones((2, 3)))
