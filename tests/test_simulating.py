"""Runs under planned inputs: what a rig would have recorded of them, by groups, up to a forecast."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest
import xarray as xr

import assim
from assim import inference, models, systems
from assim.registry import made_from

STEP = 1e-3
QUIET = systems.VanDerPol(gain=(3.0, -2.0), gamma=1.0, error=0.0, substep=STEP, longest=STEP)
TIMES = np.datetime64("2000-01-01T00:00", "ns") + np.arange(1, 5) * np.timedelta64(20, "ms")
KEY = jax.random.key(1)
LAG = np.array([0.03, 0.0])


def plan_of(runs=3, times=TIMES):
    """One input that changes with time, one of each run."""
    u = np.random.default_rng(0).uniform(0, 5, (3, len(TIMES)))[:runs, : len(times)]
    return xr.Dataset(
        {"u": (("run", "time"), u, {"units": "W"}), "v": ("run", np.arange(runs) - 1.0)},
        {"time": times},
    )


def runs_of(key, plan, system=QUIET, **more):
    return assim.simulate_runs(system, plan, "1ms", key=key, lag=LAG, slow="10ms", **more)


@pytest.fixture(scope="module")
def tree():
    return runs_of(KEY, plan_of(), units="Pa")


def test_each_group_has_a_clock_of_its_own_and_all_end_together(tree):
    for group, ms in (("fast", 1), ("slow", 10), ("plan", 20)):
        ds = tree[group].to_dataset()
        assert dict(ds.sizes) == {"run": 3, "time": 80 // ms}
        assert (np.diff(ds["time"].values) == np.timedelta64(ms, "ms")).all()
        assert ds["time"].values[-1] == TIMES[-1] and list(ds["run"].values[:2]) == [
            "run00",
            "run01",
        ]
    assert tree["fast"]["eta"].attrs["units"] == "Pa"
    assert tree["slow"]["u_measured"].attrs["units"] == tree["plan"]["u"].attrs["units"] == "W"
    np.testing.assert_array_equal(tree["plan"]["v"], [[-1.0] * 4, [0.0] * 4, [1.0] * 4])


def test_actuators_follow_the_plan_each_with_its_lag(tree):
    """At the end of a set-point of h seconds, u + (a - u) exp(-h / lag)."""
    held = tree["plan"]["u"].values
    a, found = held[:, 0], tree["slow"]["u_measured"].values
    for row in range(4):
        for half in (0, 1):
            a = held[:, row] + (a - held[:, row]) * np.exp(-0.01 / LAG[0])
            np.testing.assert_allclose(found[:, 2 * row + half], a, rtol=1e-4)
    np.testing.assert_array_equal(tree["slow"]["v_measured"][:, 0], tree["plan"]["v"][:, 0])


def test_the_system_follows_the_actuators(tree):
    """By its own equations from the first two readings on; the noise is a hundred-thousandth of its motion."""
    held = np.repeat(tree["plan"]["u"].values, 20, axis=1).astype(float)
    a = held[:, 0]
    eta = tree["fast"]["eta"].values.astype(float)
    y, rate = eta[:, 1], (eta[:, 1] - eta[:, 0]) / STEP
    for k in range(1, 80):
        a = held[:, k] + (a - held[:, k]) * np.exp(-STEP / LAG[0])
        if k > 1:
            nu = QUIET.nu + 3.0 * a - 2.0 * np.array([-1.0, 0.0, 1.0])
            rate = rate + STEP * ((2 * nu - QUIET.kappa * y**2) * rate - QUIET.omega**2 * y)
            y = y + STEP * rate
            np.testing.assert_allclose(eta[:, k], y, atol=1e-3 * np.abs(eta).max())


def test_sensors_of_actuators_err_by_what_was_said(tree):
    error = (runs_of(KEY, plan_of(), sd=[0.5, 0.0])["slow"] - tree["slow"]).to_dataset()
    assert 0.3 < float(error["u_measured"].std()) < 0.7 and not error["v_measured"].any()


def test_fewer_and_shorter_runs_are_the_first_of_more(tree):
    part = runs_of(KEY, plan_of(2, TIMES[:3]))
    for group in ("fast", "slow"):
        ds = part[group].to_dataset()
        xr.testing.assert_allclose(tree[group].to_dataset().sel(ds.coords), ds)
    assert not np.allclose(tree["fast"]["eta"][0], tree["fast"]["eta"][1])


def test_the_attributes_make_the_runs_again(tree):
    system = made_from(json.loads(tree.attrs["system"]))
    key = jax.random.wrap_key_data(np.array(json.loads(tree.attrs["key"]), np.uint32))
    xr.testing.assert_allclose(runs_of(key, plan_of(), system, units="Pa"), tree)


TUBE = systems.RijkeTube(beta=0.0, gain=(0.01,), noise=50.0, modes=2, line=3, microphones=2)
RING = systems.AnnularCombustor(equivalence=0.0, gain=(1.0,), noise=2000.0)
RIGS = {
    "tube": (TUBE, "1ms", xr.DataArray([20.0, 250.0, 500.0], dims="run", attrs={"units": "W"})),
    "ring": (RING, "200us", xr.DataArray([0.45, 0.50, 0.60], dims="run", attrs={"units": "1"})),
}


@pytest.mark.slow
@pytest.mark.parametrize("rig", RIGS)
def test_runs_come_back_from_a_file_and_are_forecast(rig, key, tmp_path):
    """Beyond its onset a rig is louder; the forecaster hears of it by the plan alone."""
    system, step, levels = RIGS[rig]
    clock = TIMES[0] + np.arange(60) * np.timedelta64(20, "ms")
    plan = xr.Dataset({"level": levels}, {"time": clock, "run": ["calm", "near", "loud"]})
    tree = assim.simulate_runs(system, plan, step, key=key, slow="100ms", sd=0.01, units="Pa")
    assim.to_cf(tree, tmp_path / "rig.nc")
    back = assim.open_groups(tmp_path / "rig.nc")
    for name, node in tree.children.items():
        ds = back[name].to_dataset()
        xr.testing.assert_identical(ds.drop_attrs(), node.to_dataset().drop_attrs())
    assert back.attrs["system"] == tree.attrs["system"] and back.attrs["key"] == tree.attrs["key"]
    ds = assim.join_rates(back, "20ms", {"fast": ["log_rms"]}, hold="level")
    loud = [name for name in ds.data_vars if name.startswith("log_rms")]
    late = ds[loud].isel(time=slice(30, None)).mean("time").to_array().mean("variable")
    assert float(late[2]) - float(late[0]) > 1.0
    model = models.Autoregressive(
        3, (8,), targets=loud[0], covariates=("level_measured",), controls=("level",), calendar=()
    )
    method = inference.EnsembleMAP(2, num_steps=20, batch_size=16)
    post = assim.infer(model, ds.isel(time=slice(0, 50)), method, key=key, pointwise=0)
    fc = assim.forecast(post, ds, "100ms", key=key, origins=ds["time"].values[[50]], num_draws=2)
    assert bool(np.isfinite(fc["predictions"][loud[0]]).all())


BAD = {
    "nobody": ({"plan": xr.Dataset(coords={"time": TIMES})}, "give inputs along 'run'"),
    "one run": ({"plan": plan_of().isel(run=0)}, "has the dimensions time"),
    "no clock": ({"plan": plan_of().drop_vars("time")}, "give inputs along 'run'"),
    "uneven": ({"plan": plan_of().isel(time=[0, 1, 3])}, "not regular"),
    "deaf": ({"system": replace(QUIET, gain=())}, "gain for 0 inputs, and the plan has 2 (u, v)"),
    "step": ({"step": "3ms"}, "The step of the plan is 0.02 s long"),
    "slow": ({"slow": "1.5ms"}, "slow='1.5ms' is 0.0015 s long"),
    "later": ({"slow": "1h"}, "within the plan of 0.08 s"),
    "ahead": ({"lag": -1.0}, "lag=-1.0 must be finite and not negative"),
    "three": ({"sd": [1.0, 1.0, 1.0]}, "for each of the 2 inputs"),
    "blind": ({"plan": plan_of() * np.nan}, "not finite in run 0"),
    "a field": ({"system": systems.Lorenz96(8)}, "seen by assim.twin_experiment"),
    "a seed": ({"key": 3}, "jax.random.key(3)"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_ends_in_a_sentence(key, name):
    more, sentence = BAD[name]
    given = {"system": QUIET, "plan": plan_of(), "step": "1ms", "key": key} | more
    with pytest.raises(TypeError if name.startswith("a ") else ValueError) as caught:
        assim.simulate_runs(given.pop("system"), given.pop("plan"), given.pop("step"), **given)
    said = str(caught.value)
    assert sentence in said
    assert said.endswith(".") and "\n" not in said
