"""Populations of which some are lost, a snapshot is empty or nothing is left to chance, through the verbs."""

import jax
import numpy as np
import numpyro.distributions as dist
import pytest
import xarray as xr

import assim
from assim.inference import Prior
from assim.models import SchrodingerBridge, references, survival, volatilities

KEY = jax.random.key(0)
COUNTS = (60, 40, 25)
NEAR = {"matrix": dist.Normal(0.0, 1e-3), "offset": dist.Normal(0.0, 1e-3)}
STILL = references.Linear(NEAR)
SLOW = volatilities.Constant({"sd": dist.LogNormal(np.log(0.1), 1e-3)})
RATE, SLOPE = 0.3, 1.5


def snapshots() -> xr.Dataset:
    """Two groups at rest, of which the right one is lost more quickly."""
    rng = np.random.default_rng(0)
    x = []
    for k, count in enumerate(COUNTS):
        right = rng.random(count) < (0.5, 0.35, 0.25)[k]
        x.append(np.where(right, 1.0, -1.0)[:, None] + 0.1 * rng.normal(size=(count, 1)))
    return assim.stack_snapshots(x, np.arange(3.0), ("east",))


RECORD = snapshots()


@pytest.fixture(scope="module")
def fitted() -> xr.DataTree:
    priors = {"rate": dist.LogNormal(np.log(RATE), 1e-3), "slope": dist.Normal(SLOPE, 1e-3)}
    hazard = survival.LinearHazard(priors)
    model = SchrodingerBridge(STILL, SLOW, hazard=hazard, steps=2)
    return assim.infer(model, RECORD, Prior(1), key=KEY)


def test_weighed_paths_meet_every_snapshot_and_those_that_die_count_less(fitted):
    paths = assim.generate(fitted, 4000, key=KEY, times=3)["generated"].to_dataset()
    right = paths["east"] > 0
    for k, time in enumerate(RECORD["time"].values):
        told = right.sel(time=time).weighted(paths["weight"].sel(time=time)).mean()
        seen = (RECORD["east"].isel(time=k).dropna("sample") > 0).mean()
        assert abs(float(told) - float(seen)) < 0.03
    # each group stays where it is, at a rate of its own
    flat = RECORD["east"].values[np.isfinite(RECORD["east"].values)]
    since = (paths["time"] - paths["time"][0]) / np.timedelta64(1, "s")
    for side in (-1.0, 1.0):
        mine = (np.sign(paths["east"]) == side).all("time")
        rate = RATE * np.exp(SLOPE * (side - flat.mean()) / flat.std())
        np.testing.assert_allclose(
            paths["weight"].sel(sample=mine.values).mean("sample"), np.exp(-rate * since), rtol=0.25
        )


def test_a_forecast_knows_what_is_left(fitted):
    ahead = assim.forecast(fitted, None, "2s", key=KEY)["predictions"].to_dataset().squeeze()
    assert ahead["weight"].dims == ahead["east"].dims and (ahead["weight"] < 1).all()
    right = (ahead["east"].isel(lead_time=0) > 0).values
    left = ahead["weight"].isel(lead_time=-1)
    assert left.values[right].max() < left.values[~right].min()


def test_where_none_is_lost_nothing_is_weighed():
    post = assim.infer(SchrodingerBridge(STILL, SLOW, steps=2), RECORD, Prior(1), key=KEY)
    assert "weight" not in assim.generate(post, 3, key=KEY, times=0)["generated"]
    assert "weight" not in assim.forecast(post, None, 1, key=KEY)["predictions"]


@pytest.mark.filterwarnings("ignore")
def test_an_empty_snapshot_does_not_reach_a_forecast():
    x = [np.full((4, 2), np.nan) if k in (0, 2) else np.ones((4, 2)) * k for k in range(5)]
    x = [cloud + 0.1 * np.random.default_rng(k).normal(size=(4, 2)) for k, cloud in enumerate(x)]
    record = assim.stack_snapshots(x, np.arange(5.0), ("east", "north"))
    model = SchrodingerBridge(references.Linear(), volatilities.Constant(), steps=2)
    post = assim.infer(model, record, Prior(1), key=KEY)
    ahead = assim.forecast(post, None, 1, key=KEY)["predictions"].to_dataset()
    assert np.isfinite(ahead["east"]).all() and ahead["init_time"] == record["time"].values[-1]


@pytest.mark.filterwarnings("ignore:.* samples are particles:UserWarning")
def test_a_particle_that_is_known_and_gone_is_nowhere():
    x = [np.array([[0.0], [10.0], [20.0]]), np.array([[0.1], [10.1]])]
    record = assim.stack_snapshots(x, np.arange(2.0), ("east",))
    record = record.assign(id=(("time", "sample"), [[0, 1, 2], [0, 1, -1]]))
    post = assim.infer(SchrodingerBridge(STILL, SLOW, steps=2), record, Prior(1), key=KEY)
    east = assim.generate(post, 60, key=KEY, times=1)["generated"]["east"].values
    gone = np.abs(east[:, 0] - 20.0) < 1
    assert gone.any() and np.isnan(east[gone, 1:]).all() and np.isfinite(east[~gone]).all()
    assert (np.abs(east[~gone, 2] - east[~gone, 0]) < 1).all()


def test_particles_without_chance_meet_no_snapshot():
    none = volatilities.Constant({"sd": dist.Delta(0.0)})
    with pytest.raises(ValueError, match="The volatility of east is 0 at every sample"):
        assim.infer(SchrodingerBridge(STILL, none, steps=2), RECORD, Prior(1), key=KEY)


def test_a_forecast_keeps_what_samples_weigh():
    weight = np.where(np.isfinite(RECORD["east"]), 2.0, np.nan)
    weight[-1, :5] = 7.0
    record = RECORD.assign(weight=(("time", "sample"), weight))
    post = assim.infer(SchrodingerBridge(STILL, SLOW, steps=2), record, Prior(1), key=KEY)
    ahead = assim.forecast(post, None, 1, key=KEY)["predictions"].to_dataset().squeeze()
    np.testing.assert_array_equal(ahead["weight"], np.where(np.arange(25) < 5, 7.0, 2.0))


@pytest.mark.filterwarnings("ignore:.* samples are particles:UserWarning")
def test_known_survivors_are_the_ones_that_are_left():
    """A path of one that is seen again weighs as one, and of one that is not nothing; shares are those seen."""
    x = [np.array([[0.0], [10.0], [20.0]]), np.array([[0.0], [10.0]])]
    ds = assim.stack_snapshots(x, np.arange(2.0), ("east",), id=[["a", "b", "c"], ["a", "b"]])
    hazard = survival.LinearHazard({"rate": dist.LogNormal(np.log(RATE), 1e-3)})
    model = SchrodingerBridge(STILL, SLOW, hazard=hazard, steps=2)
    post = assim.infer(model, ds, Prior(1), key=KEY)
    last = assim.generate(post, 3000, key=KEY, times=0)["generated"].to_dataset().isel(time=-1)
    there = np.isfinite(last["east"])
    np.testing.assert_allclose(last["weight"].where(there, drop=True), 1.0, rtol=1e-5)
    assert not last["weight"].where(~there, drop=True).any()
    assert float(last["weight"].mean()) == pytest.approx(2 / 3, abs=0.03)


@pytest.mark.filterwarnings("ignore:.* samples are particles:UserWarning")
def test_one_that_is_lost_is_not_drawn_to_another():
    x = [np.array([[0.0], [10.0], [20.0]]), np.array([[0.0], [10.0]])]
    sd = [np.ones((3, 1)), np.ones((2, 1))]
    ds = assim.stack_snapshots(
        x, np.arange(2.0), ("east",), id=[["a", "b", "c"], ["a", "b"]], sd=sd
    )
    post = assim.infer(SchrodingerBridge(STILL, SLOW, steps=2), ds, Prior(1), key=KEY)
    paths = assim.generate(post, 900, key=KEY, times=0)["generated"].to_dataset()
    lost = paths["east"].isel(time=0).where(paths["east"].isel(time=1).isnull(), drop=True)
    assert float(lost.mean()) == pytest.approx(20.0, abs=0.3) and float(lost.std()) < 1.3


def test_origins_of_equal_and_of_unequal_weights_stand_beside_each_other():
    x = [np.array([[0.0], [1.0]]), np.array([[0.1], [1.1]])]
    ds = assim.stack_snapshots(x, np.arange(2.0), ("east",), weight=[[2.0, 2.0], [2.0, 7.0]])
    post = assim.infer(SchrodingerBridge(STILL, SLOW, steps=2), ds, Prior(1), key=KEY)
    fc = assim.forecast(post, ds, 1, key=KEY, origins=list(ds["time"].values))["predictions"]
    np.testing.assert_array_equal(np.squeeze(fc["weight"].values), [[2.0, 2.0], [2.0, 7.0]])


def test_paths_use_all_draws_before_one_is_used_again():
    ds = RECORD.isel(sample=slice(0, 5))
    post = assim.infer(SchrodingerBridge(STILL, SLOW, steps=2), ds, Prior(50), key=KEY)
    drawn = assim.generate(post, 60, key=KEY, times=0)["generated"].to_dataset()["draw"]
    assert len(np.unique(drawn)) == 50
