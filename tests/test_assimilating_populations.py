"""A fit to snapshots meets one particle that is read along time: its law of motion is what a filter moves it by."""

import jax
import numpy as np
import numpyro.distributions as dist
import pytest
import xarray as xr

import assim
from assim import filters
from assim.inference import Prior
from assim.models import SchrodingerBridge, errors, references, volatilities

KEY = jax.random.key(0)
ERROR = 0.1
RATES = {"birth": 1.0, "predation": 0.4, "death": 0.4, "growth": 0.1}
KNOWN = {name: dist.LogNormal(np.log(rate), 0.01) for name, rate in RATES.items()}
MODEL = SchrodingerBridge(
    references.LotkaVolterra(KNOWN),
    volatilities.Multiplicative({"share": dist.LogNormal(np.log(0.05), 0.05)}),
    errors.Given(ERROR),
    unit="1min",
    steps=2,
)
MINUTE = np.timedelta64(60, "s")


def way(count: int) -> np.ndarray:
    """Prey and predators each minute, by small steps of Euler and Maruyama, shape (time, 2)."""
    rng, x, h = np.random.default_rng(1), np.array([5.0, 4.0]), 1e-2
    path = []
    for step in range(round(count / h)):
        met = x[0] * x[1]
        drift = np.array([x[0] - 0.4 * met, 0.1 * met - 0.4 * x[1]])
        x = x + h * drift + 0.05 * x * np.sqrt(h) * rng.normal(size=2)
        if (step + 1) % round(1 / h) == 0:
            path.append(x)
    return np.array(path)


@pytest.fixture(scope="module")
def post() -> xr.DataTree:
    """Draws of priors that are as narrow as a posterior; the snapshots say where priors and states are."""
    ds = assim.load_dataset("lotka_volterra").isel(time=slice(0, 5), sample=slice(0, 20))
    seconds = ds["time"].values - ds["time"].values[0]
    return assim.infer(
        MODEL, ds.assign_coords(time=ds["time"][0].values + 60 * seconds), Prior(60), key=KEY
    )


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    return way(16)


@pytest.fixture(scope="module")
def record(truth) -> xr.Dataset:
    """Every reading of prey, and of predators but the first and some in the middle."""
    y = truth + ERROR * np.random.default_rng(2).normal(size=truth.shape)
    y[[0, 6, 7], 1] = np.nan
    clock = np.datetime64("2001-01-01", "ns") + np.arange(1, 17) * MINUTE
    return xr.Dataset(
        {n: ("time", y[:, c]) for c, n in enumerate(("prey", "predator"))}, {"time": clock}
    )


@pytest.mark.parametrize(
    "chosen",
    [
        filters.ETKF(60),
        filters.EnKF(60),
        filters.GuidedParticle(60),
        pytest.param(filters.ExtendedKalman(), marks=pytest.mark.slow),
    ],
    ids=lambda f: type(f).__name__,
)
def test_a_particle_is_followed_by_the_law_that_snapshots_taught(chosen, post, record, truth):
    tree = assim.assimilate(post, record, chosen, key=KEY)
    told = (
        tree["analysis"]
        .to_dataset()
        .mean([d for d in ("chain", "draw") if d in tree["analysis"]["prey_mean"].dims])
    )
    for c, name in enumerate(("prey", "predator")):
        late = slice(3, None)
        missed = (told[f"{name}_mean"].values - truth[:, c])[late]
        assert np.sqrt(np.mean(missed**2)) < 0.8 * ERROR
        sd = told[f"{name}_sd"].values[late]
        assert 0.4 < np.sqrt(np.mean((missed / sd) ** 2)) < 1.8
    predator = told["predator_sd"].values
    assert predator[6] > 1.05 * predator[5]  # unread, but moved along with the prey


@pytest.mark.slow
def test_particles_carry_the_parameters_that_they_are_moved_by(post, record):
    tree = assim.assimilate(post, record, filters.GuidedParticle(60), key=KEY, update="both")
    birth = tree["analysis"]["drift.birth"]
    assert np.isin(birth.values.astype("f4"), post["posterior"]["drift.birth"].values).all()
    assert np.unique(birth.isel(time=-1)).size < np.unique(birth.isel(time=0)).size


def test_what_has_no_coordinate_of_the_fit_is_refused(post, record):
    many = record.expand_dims(sample=2)
    others = record.rename(prey="hares", predator="lynx")
    for ds, words in ((many, r"it has prey \(sample, time.*: select one"), (others, "rename what")):
        says = f"none of the variables that Diffusion is seen through .*{words}"
        with pytest.raises(ValueError, match=says):
            assim.assimilate(post, ds, filters.ETKF(8), key=KEY)
