"""Twin experiments: a path that the system could walk, readings of it as they were asked for, labels that last."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from assim.data import open_dataset, to_cf
from assim.registry import made_from
from assim.statespace import AbstractNamed, Span
from assim.systems import (
    KuramotoSivashinsky,
    LinearGaussian,
    Lorenz63,
    Lorenz96,
    LotkaVolterra,
    NavierStokes2D,
    OrnsteinUhlenbeck,
    Repressilator,
    TwoScaleLorenz96,
    VanDerPol,
)
from assim.systems.lorenz63 import CENTRE
from assim.systems.seeing import at_sensors
from assim.twin import twin_experiment

RING, EXACT = Lorenz96(8), Lorenz96(8, error=0.0)
CALM = OrnsteinUhlenbeck(*(jnp.array(v) for v in ([1.0, 2.0], [0.5, 3.0], [2.0, 9.0], [0.1, 0.2])))
STEP = 0.05
ZERO = np.datetime64("2000-01-01", "ns")


def seconds(ds):
    return (ds["time"].values - ZERO) / np.timedelta64(1, "s")


def walked(system, x, dt):
    """Where the system without noise is after each of these steps, from each of these states."""
    spans = Span(jnp.asarray(dt, float), jnp.zeros((len(dt), 0)))
    return jax.jit(jax.vmap(system.flow))(jnp.asarray(x), spans)


def test_a_key_decides_it_all(key):
    first, again, other = (
        twin_experiment(RING, (STEP, 30), key=k, missing=0.3, sd=0.5)
        for k in (key, key, jax.random.fold_in(key, 1))
    )
    for one, same, another in zip(first, again, other, strict=True):
        xr.testing.assert_identical(one, same)
        assert not np.allclose(one["x"], another["x"])
    assert (first[1]["x"].isnull() != other[1]["x"].isnull()).any()


def test_the_truth_obeys_the_system(key):
    truth, _ = twin_experiment(RING, (STEP, 60), key=key)
    np.testing.assert_allclose(seconds(truth), STEP * np.arange(1, 61), atol=1e-9)
    ahead = walked(RING, truth["x"][:-1], np.full(59, STEP))
    np.testing.assert_allclose(truth["x"][1:], ahead, atol=1e-4)


def test_it_starts_as_the_system_does_and_where_it_is_told(key):
    truth, _ = twin_experiment(Lorenz63(begin=1e-3), [0.0, 0.1], key=key)
    first = truth.isel(time=0)
    np.testing.assert_allclose([first[name] for name in "xyz"], CENTRE, atol=0.01)
    told, _ = twin_experiment(RING, [0.0, STEP], key=key, start=np.arange(8.0))
    np.testing.assert_array_equal(told["x"][0], np.arange(8.0))
    later, _ = twin_experiment(RING, [STEP], key=key, start=np.arange(8.0))
    np.testing.assert_allclose(told["x"][1], later["x"][0], rtol=1e-5)


def test_a_path_after_a_spin_up_is_the_end_of_a_longer_one(key):
    whole, _ = twin_experiment(CALM, (2.0, 20), key=key)
    tail, seen = twin_experiment(CALM, (2.0, 12), key=key, spin_up=8, every=4)
    assert tail["time"][0] == whole["time"][0]
    np.testing.assert_allclose(tail["x0"], whole["x0"][8:], rtol=1e-5)
    np.testing.assert_allclose(seen["x1"], tail["x1"][3::4], atol=5 * 0.2)


@pytest.mark.parametrize("dates", [False, True])
def test_times_may_be_irregular(key, dates):
    dt = np.array([0.05, 0.02, 0.075, 0.05, 0.013])
    at = 0.4 + np.cumsum(dt) - dt[0]
    times = np.datetime64("2021-03-04T05:06:07", "ns") + np.rint(1e9 * at).astype("m8[ns]")
    truth, seen = twin_experiment(EXACT, times if dates else at, key=key, every=2)
    if dates:
        np.testing.assert_array_equal(truth["time"], times)
        assert truth.attrs["start_time"] == str(times[0])
    else:
        np.testing.assert_allclose(seconds(truth), at, atol=1e-9)
        assert truth.attrs["start_time"] == str(ZERO)
    np.testing.assert_array_equal(seen["time"], truth["time"][1::2])
    np.testing.assert_array_equal(seen["x"].values, truth["x"].values[1::2])
    ahead = walked(EXACT, truth["x"][:-1], dt[1:])
    np.testing.assert_allclose(truth["x"][1:], ahead, atol=1e-4)


def test_readings_have_the_error_of_the_system_and_what_was_asked_for_on_top(key):
    asked = np.linspace(0.0, 3.5, 8)
    truth, seen = twin_experiment(Lorenz96(8, error=0.8), (STEP, 4000), key=key, sd=asked)
    error = seen["x"].values - truth["x"].values
    np.testing.assert_allclose(error.std(axis=0), np.hypot(0.8, asked), rtol=0.06)
    np.testing.assert_allclose(error.mean(axis=0) / np.hypot(0.8, asked), 0.0, atol=0.07)
    assert abs(np.corrcoef(error.T) - np.eye(8)).max() < 0.07
    np.testing.assert_array_equal(seen["x_sd"], np.broadcast_to(asked.astype("f4"), (4000, 8)))
    _, plain = twin_experiment(Lorenz96(8, error=0.8), (STEP, 4000), key=key)
    assert list(plain.data_vars) == ["x"]
    assert float((plain["x"] - truth["x"].values).std()) == pytest.approx(0.8, rel=0.02)


def test_errors_may_differ_between_readings(key):
    asked = np.where(np.arange(40) % 2, 1e3, 0.0)[:, None] * np.ones(8)
    truth, seen = twin_experiment(EXACT, (STEP, 120), key=key, every=3, sd=asked)
    error = abs(seen["x"].values - truth["x"].values[2::3]).max(axis=1)
    assert (error[::2] == 0).all()
    assert (error[1::2] > 100).all()


def test_a_share_of_the_readings_is_missing(key):
    shares = np.array([0.0, 0.1, 0.25, 0.5, 0.5, 0.75, 0.9, 1.0])
    _, whole = twin_experiment(RING, (STEP, 2000), key=key)
    _, holed = twin_experiment(RING, (STEP, 2000), key=key, missing=shares)
    lost = holed["x"].isnull().values
    np.testing.assert_allclose(lost.mean(axis=0), shares, atol=0.05)
    assert abs(np.corrcoef(lost[:, 3], lost[:, 4])[0, 1]) < 0.1
    np.testing.assert_array_equal(holed["x"].values[~lost], whole["x"].values[~lost])
    assert not whole["x"].isnull().any()


def test_missing_readings_may_be_named(key):
    mask = np.asarray(jax.random.bernoulli(key, 0.4, (10, 8)))
    _, seen = twin_experiment(RING, (STEP, 20), key=key, every=2, missing=mask)
    np.testing.assert_array_equal(seen["x"].isnull(), mask)


@pytest.mark.parametrize("form", ["stay", "move", "move with a coordinate"])
def test_sensors_between_places_read_between_them(key, form):
    at = np.asarray(jax.random.uniform(key, (20, 3), maxval=8.0), float)
    given = {"stay": at[0], "move": at, "move with a coordinate": at[..., None]}[form]
    truth, seen = twin_experiment(EXACT, (STEP, 60), key=key, every=3, sensors=given)
    at = np.broadcast_to(at[0], at.shape) if form == "stay" else at
    field = truth["x"].values[2::3]
    expected = [
        np.interp(a, np.arange(9), np.append(x, x[0])) for a, x in zip(at, field, strict=True)
    ]
    np.testing.assert_allclose(seen["x"], expected, atol=1e-4)
    assert seen["position_0"].dims == (("sensor",) if form == "stay" else ("time", "sensor"))
    np.testing.assert_array_equal(np.broadcast_to(seen["position_0"], at.shape), at)
    assert seen.attrs["featureType"] == ("timeSeries" if form == "stay" else "trajectory")


def test_a_square_is_read_at_pairs_of_coordinates(key):
    system = NavierStokes2D(8, error=0.0)
    at = np.array([[0.5, 2.0], [7.5, 7.25], [3.0, 3.0]])
    truth, seen = twin_experiment(system, (0.2, 4), key=key, sensors=at)
    assert truth["vorticity"].dims == ("time", "place")
    places = np.stack([truth["place_0"], truth["place_1"]], axis=-1)
    np.testing.assert_array_equal(places, system.places())
    np.testing.assert_array_equal(np.stack([seen["position_0"], seen["position_1"]], axis=-1), at)
    for x, y in zip(truth["vorticity"].values, seen["vorticity"].values, strict=True):
        np.testing.assert_allclose(y, at_sensors(jnp.asarray(x).reshape(8, 8), at), atol=1e-4)


def test_places_in_a_row_are_their_own_coordinate_and_others_are_numbered(key):
    truth, seen = twin_experiment(RING, (STEP, 5), key=key)
    np.testing.assert_array_equal(truth["place"], RING.places()[:, 0])
    np.testing.assert_array_equal(seen["position_0"], RING.sensors()[:, 0])
    assert "place_0" not in truth.coords
    system = TwoScaleLorenz96(4, 3, error=0.0)
    truth, seen = twin_experiment(system, (STEP, 5), key=key)
    np.testing.assert_array_equal(truth["place"], np.arange(16))
    np.testing.assert_array_equal(truth["place_0"], system.places()[:, 0])
    np.testing.assert_array_equal(seen["position_0"], system.sensors()[:, 0])
    np.testing.assert_array_equal(seen["x"].values, truth["x"].values[:, :4])


def test_channels_are_read_by_name(key):
    system = Lorenz63(error=0.0)
    truth, seen = twin_experiment(system, (0.1, 10), key=key, sensors=["z", "x"], sd=[1e3, 0.0])
    assert set(truth.data_vars) == {"x", "y", "z"}
    assert set(seen.data_vars) == {"x", "z", "x_sd", "z_sd"}
    np.testing.assert_array_equal(seen["x"].values, truth["x"].values)
    assert float(abs(seen["z"] - truth["z"]).max()) > 100
    assert float(seen["z_sd"].min()) == 1e3
    np.testing.assert_array_equal(seen["x_sd"], np.zeros(10))
    _, one = twin_experiment(system, (0.1, 10), key=key, sensors="y")
    np.testing.assert_array_equal(one["y"].values, truth["y"].values)
    assert "featureType" not in one.attrs


def test_what_is_seen_has_the_name_of_the_channel(key):
    truth, seen = twin_experiment(LotkaVolterra(error=0.0), (1.0, 6), key=key)
    np.testing.assert_allclose(seen["predator"], np.exp(truth["log_predator"]), rtol=1e-5)
    turning = LinearGaussian(
        jnp.array([[0.0, 1.0], [-1.0, 0.0]]),
        jnp.zeros((2, 1)),
        *(jnp.array([[2.0, 1.0]]), jnp.zeros((1, 1)), jnp.ones(2), jnp.eye(2)),
    )
    truth, seen = twin_experiment(turning, (0.3, 6), key=key)
    np.testing.assert_allclose(seen["y0"], 2 * truth["x0"] + truth["x1"], rtol=1e-5)
    driven = VanDerPol(gain=(3.0,), error=0.0)
    truth, seen = twin_experiment(driven, (1e-3, 6), key=key)
    np.testing.assert_array_equal(seen["eta"], truth["eta"])
    proteins, messengers = twin_experiment(Repressilator(), (1.0, 4), key=key)
    assert list(messengers.data_vars) == ["m1", "m2", "m3"]
    assert list(proteins.data_vars)[-1] == "log_p3"


ROUNDS = {
    "ring": (RING, (1 / 30, 9), {"missing": 0.3, "sd": 0.5}),
    "moving": (RING, (STEP, 6), {"sensors": np.arange(18.0).reshape(6, 3)}),
    "square": (NavierStokes2D(8), [0.1, 0.4, 0.5], {"sd": 1.0}),
    "vector": (CALM, (3600.0, 5), {"sd": [1.0, 2.0]}),
}


@pytest.mark.parametrize("name", ROUNDS)
def test_both_survive_a_file(key, name, tmp_path):
    system, times, more = ROUNDS[name]
    for ds in twin_experiment(system, times, key=key, **more):
        ds.to_netcdf(tmp_path / "twin.nc")
        back = xr.load_dataset(tmp_path / "twin.nc")
        xr.testing.assert_identical(ds, back)
        told = json.loads(back.attrs["system"])
        assert told["type"] == type(system).__name__
        assert json.loads(back.attrs["key"]) == jax.random.key_data(key).tolist()
        assert all(v.attrs["units"] == "1" and v.attrs["long_name"] for v in back.values())
        to_cf(ds, tmp_path / "flat.nc")
        flat = open_dataset(tmp_path / "flat.nc")
        assert set(flat.data_vars) == set(ds.data_vars)
        for v in ds.data_vars:
            np.testing.assert_array_equal(flat[v].values, ds[v].values)


@pytest.mark.parametrize("name", ROUNDS)
def test_the_compliance_checker_finds_nothing(key, name, tmp_path):
    """But that it would have the dimensions in another order."""
    runner = pytest.importorskip("compliance_checker.runner")
    runner.CheckSuite.load_all_available_checkers()
    system, times, more = ROUNDS[name]
    for ds in twin_experiment(system, times, key=key, **more):
        ds.to_netcdf(tmp_path / "twin.nc")
        suite = runner.CheckSuite()
        file = suite.load_dataset(str(tmp_path / "twin.nc"))
        groups, errors = suite.run_all(file, ["cf:1.8"], skip_checks=[])["cf:1.8"]
        file.close()
        assert errors == {}
        found = {g.name: g.msgs for g in groups if g.msgs and g.value[0] < g.value[1]}
        assert {n: m for n, m in found.items() if not n.startswith("§2.4")} == {}


@pytest.mark.parametrize("system", [Lorenz96(6, forcing=7.0), CALM])
def test_the_settings_make_the_system_again(key, system):
    truth, _ = twin_experiment(system, (STEP, 3), key=key)
    again, _ = twin_experiment(made_from(json.loads(truth.attrs["system"])), (STEP, 3), key=key)
    xr.testing.assert_allclose(truth, again)


def test_a_system_of_which_json_cannot_hold_a_part_serves_too(key):
    class Bent(AbstractNamed):
        bend: object = jnp.tanh

        def init(self, context, *, key):
            return CALM.init()

        def transition(self, x, span, u=None, *, key):
            return self.bend(x)

        def observation(self, x, span, where=None, sd=None, u=None):
            return CALM.observation(x, span)

        def components(self):
            return ("a", "b")

        channels = components

    truth, _ = twin_experiment(Bent(), (1.0, 3), key=key)
    assert json.loads(truth.attrs["system"])["type"] == "Bent"
    np.testing.assert_allclose(truth["a"][1], np.tanh(truth["a"][0]), rtol=1e-5)


BAD = {
    "no step": ({"times": (0.0, 5)}, "tuple (step, count)"),
    "no count": ({"times": (0.1, 2.5)}, "tuple (step, count)"),
    "three": ({"times": (0.1, 0.2, 0.3)}, "tuple (step, count)"),
    "backwards": ({"times": [0.1, 0.3, 0.2]}, "0.2 follows 0.3"),
    "twice": ({"times": np.array(["2020-01-01"] * 2, "M8[s]")}, "sort them"),
    "before": ({"times": [-1.0, 1.0]}, "numbers from 0"),
    "endless": ({"times": [1.0, math.inf]}, "numbers from 0"),
    "too far": ({"times": (1e6, 10_000)}, "numbers from 0"),
    "no date": ({"times": np.array(["NaT"], "M8[s]")}, "holds NaT"),
    "none": ({"times": []}, "shape (0,)"),
    "a table": ({"times": np.ones((2, 2))}, "shape (2, 2)"),
    "words": ({"times": ["soon"]}, "neither numbers nor datetimes"),
    "a seed": ({"key": 3}, "jax.random.key(3)"),
    "no system": ({"system": 3.0}, "derive yours from AbstractNamed"),
    "a class": ({"system": Lorenz96}, "derive yours from AbstractNamed"),
    "seldom": ({"every": 11}, "every=11 leaves no reading of 10 times"),
    "never": ({"every": 0}, "at least 1"),
    "half": ({"spin_up": 0.5}, "at least 0"),
    "lost": ({"missing": 1.5}, "shares from 0 to 1"),
    "lost twice": ({"missing": [0.1, 0.2]}, "it has shape (2,)"),
    "mask": ({"missing": np.zeros((3, 8), bool)}, "a mask of shape (10, 8)"),
    "unknown": ({"missing": np.nan}, "shares from 0 to 1"),
    "negative": ({"sd": -1.0}, "not negative"),
    "errors": ({"sd": np.ones(3)}, "it has shape (3,)"),
    "nowhere": ({"sensors": [1.0, np.nan]}, "finite positions"),
    "nobody": ({"sensors": []}, "finite positions"),
    "a name": ({"sensors": ["x"]}, "are no positions"),
    "too few moves": ({"sensors": np.ones((4, 3))}, "(10, sensor, 1)"),
    "one or ten": ({"sensors": np.ones((10, 1))}, "one sensor that moves or 10 that stay"),
    "stranger": ({"system": Lorenz63(), "sensors": ["w"]}, "it has x, y, z"),
    "twins": ({"system": Lorenz63(), "sensors": ["x", "x"]}, "each once"),
    "place": ({"system": Lorenz63(), "sensors": [1.0]}, "it has x, y, z"),
    "small": ({"start": np.ones(3)}, "has (8,)"),
    "torn": ({"start": np.full(8, np.nan)}, "finite"),
    "wild": ({"system": VanDerPol(), "times": (0.2, 10)}, "2000-01-01T00:00:00.200000000 on"),
    "spun": ({"system": VanDerPol(), "times": (0.2, 9), "spin_up": 2}, "in the spin-up"),
    "coarse": ({"system": NavierStokes2D(8), "sensors": np.ones((4, 3))}, "(sensor, 2)"),
}
KINDS = {"words", "a seed", "no system", "a class", "a name"}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_ends_in_a_sentence(key, name):
    more, sentence = BAD[name]
    given = {"system": RING, "times": (STEP, 10), "key": key} | more
    with pytest.raises(TypeError if name in KINDS else ValueError) as caught:
        twin_experiment(given.pop("system"), given.pop("times"), **given)
    said = str(caught.value)
    assert sentence in said
    assert said.endswith(".") and "\n" not in said


def test_a_flame_front_is_a_field_like_any_other(key):
    truth, seen = twin_experiment(KuramotoSivashinsky(32, 22.0), (1.0, 5), key=key, missing=0.5)
    assert truth["u"].shape == seen["u"].shape == (5, 32)
