"""`forecast` of several runs: plans that end, sensors that are silent, missing, or new."""

import warnings

import jax
import numpy as np
import pytest
import xarray as xr

import assim
from assim.inference import Prior
from assim.models import VAR, Direct

KEY = jax.random.key(0)
STEP = np.timedelta64(1, "s").astype("timedelta64[ns]")
TIME = np.datetime64("2020-01-01", "ns") + np.arange(40) * STEP

ORIGINS = list(TIME[[10, 20]])


def bench():
    rng = np.random.default_rng(0)
    values = {n: (("run", "time"), rng.normal(size=(5, 40))) for n in "abu"}
    return xr.Dataset(values, {"run": list("vwxyz"), "time": TIME})


@pytest.fixture(scope="module")
def post():
    model = VAR(3, controls="u", mask_rate=0.2)
    return assim.infer(model, bench(), Prior(4), key=KEY, pointwise=0)


def predict(post, ds, origins=None, horizon=4, **settings):
    return assim.forecast(post, ds, horizon, key=KEY, origins=origins, **settings)


def test_the_missing_span_of_the_plan_is_named_with_its_runs(post):
    ds = bench()
    ds["u"][[1, 3], 22:24] = np.nan
    words = (
        r"of run w, y from 2020-01-01T00:00:20 needs the controls u from 2020-01-01T00:00:22 to "
        r"2020-01-01T00:00:23, .*shorter horizon"
    )
    with pytest.raises(ValueError, match=words):
        predict(post, ds, [TIME[20]])
    with pytest.raises(ValueError, match="of run v, w, x and 2 more from .*00:00:38 needs"):
        predict(post, ds, [TIME[38]])
    with pytest.raises(ValueError, match="give: add their plan.$"):  # no horizon is shorter
        predict(post, ds, [TIME[21]], 1)


def test_all_leads_that_the_model_reads_need_their_plan():
    direct = assim.infer(
        VAR(3, controls="u", decoding=Direct(6)), bench(), Prior(4), key=KEY, pointwise=0
    )
    with pytest.raises(ValueError, match="00:00:40 to .*00:00:41, .* at all 6 leads of the model"):
        predict(direct, bench(), [TIME[35]])
    with pytest.raises(ValueError, match="00:00:40 to .*00:00:40, .* at all 6 leads of the model"):
        predict(direct, bench(), [TIME[34]], 2)


def test_a_sensor_that_is_silent_at_every_origin_is_named_once(post):
    ds = bench()
    ds["b"][:, 8:11], ds["b"][:4, 18:21] = np.nan, np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        predict(post, ds, ORIGINS)  # one run still reads it before the second origin
    ds["b"][4, 18:21] = np.nan
    words = r"no reading of b in the 3 times up to any of the 2 origin\(s\), 2020-01-01T00:00:10 to .*20: .*others"
    with pytest.warns(UserWarning, match=words) as caught:
        predict(post, ds, ORIGINS)
    assert len(caught) == 1
    ds["a"] = ds["a"] * np.nan
    with pytest.warns(UserWarning, match="no reading of a, b in .* goes by none at all"):
        predict(post, ds, ORIGINS)


def test_a_sensor_that_the_file_lacks_is_as_one_that_is_never_read(post):
    ds = bench()
    lost = ds.assign(b=ds["b"] * np.nan)
    with pytest.warns(UserWarning, match="the dataset has no b: taken as missing") as caught:
        one = predict(post, ds.drop_vars("b"), ORIGINS)
    assert len(caught) == 1
    with pytest.warns(UserWarning, match="no reading of b"):
        two = predict(post, lost, ORIGINS)
    xr.testing.assert_equal(one["predictions"].to_dataset(), two["predictions"].to_dataset())
    assert one["predictions"]["b"].notnull().all()


def test_a_sensor_that_the_fit_never_saw_is_ignored_in_a_sentence(post):
    with pytest.warns(UserWarning, match="never saw c, which the dataset has: left out"):
        one = predict(post, bench().assign(c=bench()["a"]), ORIGINS)
    two = predict(post, bench(), ORIGINS)
    xr.testing.assert_equal(one["predictions"].to_dataset(), two["predictions"].to_dataset())


def test_a_fit_that_has_always_seen_all_sensors_says_so_of_one_that_is_silent():
    plain = assim.infer(VAR(3, controls="u"), bench(), Prior(4), key=KEY, pointwise=0)
    ds = bench()
    with pytest.warns(UserWarning) as caught:
        predict(plain, ds.drop_vars("b"), ORIGINS)
        predict(plain, ds.assign(b=ds["b"] * np.nan), ORIGINS)
    said = [str(one.message) for one in caught]
    assert len(said) == 3 and said[1] in said[2] and "no b: taken as missing" in said[0]
    assert said[1].startswith("With mask_rate=0 the fit has learned to do without b only as far as")


def test_a_horizon_longer_than_the_runs_of_the_fit_is_told():
    free = assim.infer(VAR(3), bench().drop_vars("u"), Prior(4), key=KEY, pointwise=0)
    with pytest.warns(UserWarning, match="horizon of 40 s is longer than .* which lasts 39s"):
        predict(free, bench().drop_vars("u"), horizon=40)
