"""Records that are hard on a latent world: nine tenths missing, channels that are copies, windows of two rows."""

import re
import warnings

import equinox as eqx
import jax
import numpy as np
import pytest
import xarray as xr
from numpyro import handlers

from assim import models
from assim.inferring import _posed

KEY = jax.random.key(0)
RUNS, ROWS, NAMES = 20, 2, "abcde"
MODEL = models.KoopmanVAE(1, window=ROWS, hidden=(2,))


def record():
    y = np.random.default_rng(0).normal(size=(RUNS, ROWS, len(NAMES)))
    time = np.datetime64("2024-01-01", "ns") + np.arange(ROWS) * np.timedelta64(600, "s")
    ds = {n: (("run", "time"), y[..., c]) for c, n in enumerate(NAMES)}
    return xr.Dataset(ds, coords={"time": time, "run": np.arange(RUNS)})


def hollow():
    """One reading in ten is left, one in each window."""
    left = np.zeros((RUNS, ROWS * len(NAMES)), bool)
    left[np.arange(RUNS), 3 * np.arange(RUNS) % 10] = True
    left = left.reshape(RUNS, ROWS, -1)
    return xr.Dataset({n: v.where(left[..., c]) for c, (n, v) in enumerate(record().items())})


@eqx.filter_jit
def descent(ssm, records):
    """The bounds of windows, and the slope of their sum."""

    def total(ssm):
        told = jax.vmap(lambda r: ssm.bound(r, key=KEY))(records)
        return told.sum(), told

    return eqx.filter_value_and_grad(total, has_aux=True)(ssm)


@pytest.mark.parametrize(
    ("ds", "said"),
    [
        (hollow(), "of the readings .* are missing"),
        (record().assign(b=1 - 3 * record()["a"]), "'a' and 'b' are copies of one another"),
        (record(), None),
    ],
    ids=["90 % missing", "copies", "two rows"],
)
def test_a_bound_is_a_number_and_so_is_its_slope(ds, said):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        problem, _ = _posed(MODEL, ds, None, key=KEY)
    assert problem.num_data == RUNS and len(told) == (said is not None)
    assert said is None or re.search(said, str(told[0].message))
    with handlers.block(), handlers.seed(rng_seed=0):
        ssm = problem.prior()
    (_, bounds), slope = descent(ssm, problem.examples.record)
    assert np.isfinite(bounds).all()
    leaves = jax.tree.leaves(slope)
    assert all(np.isfinite(leaf).all() for leaf in leaves) and any(leaf.any() for leaf in leaves)
