"""`assimilate` gone on from: every filter comes to the last bit where it would have come in one run."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
import xarray as xr

import assim
from assim import filters, inference
from assim.models import Mechanistic
from assim.systems import OrnsteinUhlenbeck

KEY = jax.random.key(0)
CALM = OrnsteinUhlenbeck(*map(jnp.asarray, ([0.5, 1.0], [1.0, 2.0], [3.0, 9.0], [0.3, 0.4])))
UNKNOWN = Mechanistic(CALM, {"tau": dist.LogNormal(1.0, 0.5).expand([2]).to_event(1)})
ROOT = np.diag([1.0, 2.0])
EVERY = {
    "Kalman": filters.Kalman(),
    "ExtendedKalman": filters.ExtendedKalman(1.1),
    "DEnKF": filters.DEnKF(5, 1.1),
    "EnKFN": filters.EnKFN(5, rotate=True),
    "IEnKS": filters.IEnKS(5, 3, 2, 1.1, True),
    "ThreeDVar": filters.ThreeDVar(ROOT, iterations=2),
    "FourDVar": filters.FourDVar(ROOT, lag=3, iterations=2),
    "WeakFourDVar": filters.WeakFourDVar(ROOT, lag=3, iterations=2),
    "GuidedParticle": filters.GuidedParticle(20),
    "Gated": filters.Gated(filters.Kalman(), 0.1, 3),
    "Tolerant": filters.Tolerant(filters.EnKF(5)),
}
SLOW = {"DEnKF", "ThreeDVar"}
"""Filters that remember nothing that others do not."""
GROUPS = ("background", "analysis", "innovation", "observed_data")


@pytest.fixture(scope="module")
def record():
    """Twelve times, not all equally far apart; some readings are missing, and of one time all."""
    _, observed = assim.twin_experiment(CALM, (1.0, 15), key=KEY, missing=0.2)
    observed = observed.isel(time=[0, 1, 2, 4, 5, 6, 7, 9, 10, 11, 12, 14])
    for name in ("x0", "x1"):
        observed[name][6] = np.nan
    return observed


def gone_on(model, record, chosen, path, **more):
    """Cut after the fifth time and again after the sixth, the second time by way of a file."""
    whole = assim.assimilate(model, record, chosen, key=KEY, **more)
    first = assim.assimilate(model, record.isel(time=slice(0, 5)), chosen, key=KEY, **more)
    second = assim.assimilate(model, record.isel(time=[5]), chosen, key=KEY, resume=first, **more)
    second.to_netcdf(path)
    with xr.open_datatree(path) as held:
        third = assim.assimilate(model, record, chosen, key=KEY, resume=held, **more)
    for part, times in ((first, slice(0, 5)), (second, slice(5, 6)), (third, slice(6, None))):
        for group in GROUPS:
            expected = whole[group].to_dataset().isel(time=times)
            xr.testing.assert_identical(part[group].to_dataset(), expected)
    xr.testing.assert_identical(third["belief"].to_dataset(), whole["belief"].to_dataset())
    return whole, third


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in EVERY]
)
def test_to_go_on_is_to_have_gone_on(name, record, tmp_path):
    gone_on(CALM, record, EVERY[name], tmp_path / "second.nc")


@pytest.mark.slow
@pytest.mark.parametrize("update", ["both", "parameters"])
def test_parameters_go_on_with_the_state(update, record, tmp_path):
    found, _ = gone_on(UNKNOWN, record, filters.EnKF(8), tmp_path / "second.nc", update=update)
    tau = found["analysis"]["tau_mean"].values
    assert (np.abs(np.diff(tau, axis=0)) > 0).any(axis=1).sum() == len(tau) - 2  # one time is blind


@pytest.mark.slow
def test_filters_of_many_draws_go_on_side_by_side(record, tmp_path):
    post = assim.infer(UNKNOWN, record, inference.Prior(num_draws=3), key=KEY)
    told = [
        tree["log_likelihood"]["y"]
        for tree in gone_on(post, record, filters.Kalman(), tmp_path / "second.nc")
    ]
    assert told[0].sizes["draw"] == 3 and told[1].size < told[0].size
    np.testing.assert_array_equal(told[1], told[0][:, :, -told[1].sizes["obs_id"] :])


def test_every_filter_is_gone_on_with():
    """Here, in the tests of the verb, or with its models: the observer."""
    known = [v for n in filters.__all__ if isinstance(v := getattr(filters, n), type)]
    known = {v.__name__ for v in known if issubclass(v, filters.base.AbstractFilter)}
    assert known - set(EVERY) == {"EnKF", "ETKF", "LETKF", "Particle", "Partial", "Observer"}
