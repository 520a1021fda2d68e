"""Posteriors of a population by chains and by guides: what they agree on, and that ArviZ reads them."""

import warnings

import arviz as az
import jax
import numpy as np
import numpyro.distributions as dist
import pytest
import xarray as xr
from numpyro.infer.autoguide import AutoMultivariateNormal

import assim
from assim import inference
from assim.models import SchrodingerBridge, references, volatilities

KEY = jax.random.key(0)
RATE, VOLATILITY = 0.5, 0.3
METHODS = {
    "chains": inference.NUTS(200, 300, 2, dense_mass=True),
    "guide": inference.SVI(1500, guide=AutoMultivariateNormal, num_draws=600),
}


def snapshots() -> xr.Dataset:
    """Particles that are drawn towards 0: an Ornstein-Uhlenbeck process at three times."""
    rng, x, clouds = np.random.default_rng(0), 3.0 + np.zeros((80, 1)), []
    for _ in range(3):
        clouds.append(x)
        sd = VOLATILITY * np.sqrt((1 - np.exp(-2 * RATE)) / (2 * RATE))
        x = np.exp(-RATE) * x + sd * rng.normal(size=x.shape)
    clouds[0] = clouds[0] + 0.3 * rng.normal(size=(80, 1))
    return assim.stack_snapshots(clouds, np.arange(3.0), ("east",))


@pytest.fixture(scope="module")
def posteriors() -> dict[str, xr.DataTree]:
    drift = references.Linear({"offset": dist.Normal(0.0, 1e-3)})
    model = SchrodingerBridge(drift, volatilities.Constant(), steps=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {k: assim.infer(model, snapshots(), m, key=KEY) for k, m in METHODS.items()}


@pytest.mark.slow
def test_chains_and_a_guide_of_full_rank_agree(posteriors):
    told = {k: v["posterior"]["volatility.sd"].values.ravel() for k, v in posteriors.items()}
    chains, guide = told["chains"], told["guide"]
    assert guide.std() == pytest.approx(float(chains.std()), rel=0.25)
    assert guide.mean() == pytest.approx(chains.mean(), abs=0.5 * float(chains.std()))
    assert posteriors["chains"].attrs["likelihood"] == "composite"


@pytest.mark.slow
def test_arviz_reads_the_posterior_of_a_population(posteriors):
    for tree in posteriors.values():
        table = az.summary(tree, round_to="none")
        assert np.isfinite(table["mean"].astype(float)).all()
    assert float(az.rhat(posteriors["chains"])["volatility.sd"].max()) < 1.05
    assert float(az.ess(posteriors["chains"])["volatility.sd"].min()) > 100
