"""A pool of forecasts: whose members it has, what density and variance, and which forecasts are no parts of one."""

import json

import numpy as np
import pytest
import xarray as xr

import assim
from assim.scoring import crps, members
from tests.synthetic import make_forecast, make_truth

TRUTH = make_truth(hours=60)


def ahead(seed=1, **settings):
    return make_forecast(TRUTH, seed, **settings)


@pytest.fixture(scope="module")
def parts():
    return {"a": ahead(1, members=(2, 20)), "b": ahead(2, shift=3.0, members=(1, 30))}


def paths(tree, name="temperature"):
    """Members first, (member, init_time, lead_time)."""
    return np.moveaxis(members(tree["predictions"][name]).values, -1, 0)


def test_equal_parts_are_as_many_whole_paths_of_each(parts):
    pooled = assim.pool(parts)
    assert (
        dict(pooled["predictions"].sizes) | {"chain": 1, "draw": 60} == pooled["predictions"].sizes
    )
    found = paths(pooled)
    every = {name: paths(tree) for name, tree in parts.items()}
    picked = np.linspace(0, 39, 30).round().astype(int)
    np.testing.assert_array_equal(found[:30], every["a"][picked])
    np.testing.assert_array_equal(found[30:], every["b"])
    winds = paths(pooled, "wind_speed")
    np.testing.assert_array_equal(winds[:30], paths(parts["a"], "wind_speed")[picked])
    assert pooled["predictions"]["temperature"].attrs["units"] == "degC"
    assert json.loads(pooled.attrs["pool"]) == {"a": 0.5, "b": 0.5}


def test_weights_share_the_members(parts):
    pooled = assim.pool(parts, {"b": 3.0, "a": 1.0})
    assert pooled["predictions"].sizes["draw"] == 40
    np.testing.assert_array_equal(paths(pooled)[10:], paths(parts["b"]))


def test_the_density_is_the_mean_density(parts):
    w = {"a": 0.2, "b": 0.8}
    found = assim.pool(parts, w)["log_score"]["temperature"]
    densities = {k: np.exp(parts[k]["log_score"]["temperature"]) for k in parts}
    xr.testing.assert_allclose(np.exp(found), 0.2 * densities["a"] + 0.8 * densities["b"])
    jensen = sum(w[k] * parts[k]["log_score"]["temperature"] for k in parts)
    assert (found > jensen - 1e-9).all()


def test_a_reading_that_one_has_no_score_of_has_none():
    holed = ahead(3)
    holed["log_score"]["temperature"][2, 1] = np.nan
    found = assim.pool({"a": ahead(1), "b": holed})["log_score"]
    np.testing.assert_array_equal(np.argwhere(found["temperature"].isnull().values), [[2, 1]])
    assert found["wind_speed"].notnull().all()


def test_without_a_score_of_each_there_is_none_of_the_pool(parts):
    bare = ahead(3, log_score=False)
    del bare["uncertainty"]
    assert set(assim.pool(parts | {"c": bare}).children) == {"predictions"}


def test_what_lies_between_the_means_is_epistemic(parts):
    found = assim.pool(parts, {"a": 1, "b": 3})["uncertainty"]["temperature"]
    means = [paths(tree).mean(axis=0) for tree in parts.values()]
    between = 0.25 * 0.75 * (means[0] - means[1]) ** 2
    assert found.dims == ("component", "init_time", "lead_time")
    np.testing.assert_allclose(found.sel(component="aleatoric"), 0.8)
    np.testing.assert_allclose(found.sel(component="epistemic"), 0.2 + between)
    assert between.mean() > 1.0


def turned(angle):
    """A forecast of directions about an angle."""
    tree = ahead(4, channels=("direction",))
    drawn = tree["predictions"]["direction"]
    tree["predictions"]["direction"] = (drawn / 36 - 5 + angle) % 360
    return tree


def test_directions_lie_apart_by_the_shorter_way():
    found = assim.pool({"a": turned(350.0), "b": turned(10.0)})["uncertainty"]["direction"]
    np.testing.assert_allclose(found.sel(component="epistemic"), 0.2 + 100.0, rtol=1e-6)


def test_a_pool_is_compared_as_any_forecast(parts):
    pooled = assim.pool(parts)
    scores = assim.compare({**parts, "pool": pooled}, TRUTH)
    assert (scores["n"] > 0).all()
    first = scores["crps"].sel(model="pool", variable="temperature").isel(lead_time=0)
    drawn = pooled["predictions"].to_dataset().isel(lead_time=0)
    came = TRUTH["temperature"].sel(time=drawn["valid_time"].values)
    own = crps(members(drawn["temperature"]), came.rename(time="init_time").drop_vars("init_time"))
    assert float(first) == pytest.approx(float(own.mean()), rel=1e-6)
    assert assim.pool({"one": pooled})["predictions"].identical(pooled["predictions"])


def test_what_is_said_of_all_is_said_of_the_pool(parts):
    told = {k: tree.copy() for k, tree in parts.items()}
    for name, tree in told.items():
        tree.attrs["scaling"] = json.dumps({"step": 3600.0, "scaling": name})
        tree.attrs["method"] = name
    pooled = assim.pool(told)
    assert json.loads(pooled.attrs["scaling"]) == {"step": 3600.0}
    assert pooled.attrs["horizon"] == "4h"
    assert "method" not in pooled.attrs


def test_stations_keep_their_names():
    truth = make_truth(hours=30, stations=2)
    pooled = assim.pool({k: make_forecast(truth, s) for k, s in (("a", 1), ("b", 2))})
    assert pooled["predictions"]["station"].values.tolist() == ["mast0", "mast1"]
    assert pooled["uncertainty"]["temperature"].dims[1] == "station"


def test_what_any_part_was_trained_on_the_pool_was(parts):
    told = {"a": ("2019-01-01", "2019-02-01", ["x"]), "b": ("2018-12-01", "2020-01-02", ["y"])}
    trained = {}
    for name, (begin, end, places) in told.items():
        trained[name] = parts[name].copy()
        trained[name].attrs |= {
            "trained_from": begin,
            "trained_until": end,
            "trained_on": json.dumps({"station": places}),
        }
    pooled = assim.pool(trained)
    assert (pooled.attrs["trained_from"], pooled.attrs["trained_until"]) == (
        "2018-12-01",
        "2020-01-02",
    )
    assert "trained_on" not in pooled.attrs
    with pytest.raises(ValueError, match="Training and test overlap: 'pool'"):
        assim.compare({"pool": pooled}, TRUTH)


@pytest.mark.parametrize(
    "other, differs",
    [
        (lambda: ahead(2, leads=3), "lead_time, valid_time"),
        (lambda: ahead(2, every=3), "init_time, valid_time"),
        (lambda: ahead(2, channels=("temperature", "wind_speed")), "direction"),
        (lambda: kelvin(), "temperature"),
    ],
)
def test_forecasts_of_other_things_are_refused(parts, other, differs):
    with pytest.raises(ValueError, match=f"'a' and 'c' differ in {differs}: pool forecasts of the"):
        assim.pool({"a": parts["a"], "c": other()})


def kelvin():
    tree = ahead(2)
    tree["predictions"]["temperature"].attrs["units"] = "K"
    return tree


@pytest.mark.parametrize(
    "weights, sentence",
    [
        ({"a": 1.0}, r"The weights {'a': 1.0} do not fit the forecasts \['a', 'b'\]"),
        ({"a": 1.0, "b": 0.0}, "give each a name and a number above 0"),
        ({"a": 1.0, "b": np.nan}, "do not fit"),
        ({"a": 1.0, "b": 0.01}, "weight 0.0099 of 'b' is less than one of 40 members"),
    ],
)
def test_weights_that_do_not_fit_are_refused(parts, weights, sentence):
    with pytest.raises(ValueError, match=sentence):
        assim.pool(parts, weights)


def test_nothing_to_pool_is_refused():
    with pytest.raises(ValueError, match="do not fit the forecasts"):
        assim.pool({})
