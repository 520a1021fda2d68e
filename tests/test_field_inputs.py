"""Fields that are driven from fit to forecast: by a pattern that stays and by a wind that is known in advance."""

import json
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from scipy.stats import norm

import assim
from assim import filters, inference, models
from assim.gridded import pose_fields
from assim.statespace import Span
from tests.test_fields import START, STEP

METHOD = inference.EnsembleMAP(1, num_steps=500, batch_size=20, learning_rate=2e-2)
SETTINGS = {"modes": 4, "width": 8, "layers": 1, "features": 8, "error": 0.2}
BOTH = {"static": "pattern", "controls": "wind"}
METRES, SPEED = {"units": "m"}, {"units": "m s-1"}


def pushed(times, runs=None, *, seed, places=16):
    """z' = 0.8 z + 0.5 (pattern + wind), from waves anywhere; the wind is that at the end of a step."""
    rng = np.random.default_rng(seed)
    count, x = runs or 1, 2 * np.pi * np.arange(places) / places
    wind, phase = rng.normal(size=(count, times)), rng.uniform(0, 2 * np.pi, (count, 4, 1))
    waves = rng.normal(size=(count, 4, 1)) * np.cos(np.arange(4)[:, None] * x + phase)
    pattern, z = np.sin(2 * x) + 0.5 * np.cos(3 * x), [waves.sum(axis=1)]
    for k in range(1, times):
        z.append(0.8 * z[-1] + 0.5 * (pattern + wind[:, k, None]))
    values, at = 3.0 + np.stack(z, axis=1), np.arange(places) * 16.0 / places
    lead = ("run", "time") if runs else ("time",)
    held = {
        "h": ((*lead, "x"), values if runs else values[0], METRES),
        "wind": (lead, wind if runs else wind[0], SPEED),
        "pattern": ("x", 40.0 + 5.0 * pattern, {"units": "Pa"}),
    }
    return xr.Dataset(held, {"time": START + np.arange(times) * STEP, "x": ("x", at, METRES)})


TRAIN = pushed(4, 40, seed=1)


def fitted(**settings):
    model = models.SemilinearOperator(**SETTINGS, **settings)
    with warnings.catch_warnings():  # that more steps would do better is true, and no matter here
        warnings.filterwarnings("ignore", message="The members were still moving")
        return assim.infer(model, TRAIN, METHOD, key=jax.random.key(0), pointwise=4)


@pytest.fixture(scope="module")
def post():
    return fitted(**BOTH)


def later(times=12, **more):
    ds = pushed(times, seed=2, **more)
    return ds.assign_coords(time=ds["time"] + np.timedelta64(1, "h"))


def error(post, truth, *, key):
    """Of forecasts over one step."""
    fields = truth.isel(time=slice(0, -1))
    told = assim.forecast(post, fields, 1, key=key, origins="1s", num_draws=8, plan=truth)
    told = told["predictions"]
    wanted = truth["h"].sel(time=told["valid_time"])
    return float(np.sqrt(((told["h"].mean(("chain", "draw")) - wanted) ** 2).mean()))


def changed(tree, group, **values):
    again = tree.copy()
    again[group] = tree[group].to_dataset().assign(values)
    return again


def test_a_driven_field_is_learned_by_what_drives_it(post, key):
    """And what it learned is that: with no pattern, or a wind that stays at its mean, the same fit is lost."""
    truth, fixed = later(), post["constant_parameters"]["constants.fixed"]
    bare = changed(post, "constant_parameters", **{"constants.fixed": fixed * 0.0})
    calm = truth.assign(wind=truth["wind"] * 0.0 + float(TRAIN["wind"].mean()))
    assert error(post, truth, key=key) < 0.1
    assert error(bare, truth, key=key) > 0.25
    assert error(post, calm, key=key) > 0.25


@pytest.mark.slow
@pytest.mark.parametrize("left", ["static", "controls"])
def test_without_what_drives_it_it_cannot_be_learned(left, key):
    rest = {k: v for k, v in BOTH.items() if k != left}
    assert error(fitted(**rest), later(), key=key) > 0.25


def test_a_fit_keeps_what_drives_it_and_comes_back(post, tmp_path, key):
    post.to_netcdf(tmp_path / "driven.nc")
    again = assim.restore(tmp_path / "driven.nc")
    assert (again.model.static, again.model.controls) == (("pattern",), ("wind",))
    assert (again.layout.inputs, again.layout.num_controls) == (("wind",), 1)
    pattern, wind = (TRAIN[n].values.ravel() for n in ("pattern", "wind"))
    wanted = (pattern - pattern.mean()) / pattern.std()
    np.testing.assert_allclose(again.constants["fixed"][1], wanted, rtol=1e-5)
    np.testing.assert_allclose(
        np.ravel(again.frame["control_scaling"]), [wind.mean(), wind.std()], rtol=1e-9
    )
    assert again.frame["attrs"]["wind"]["units"] == "m s-1"
    truth = later().drop_vars("pattern")  # the fit has its own
    one, other = (
        assim.forecast(p, truth, 2, key=key, origins="2s", num_draws=2)["predictions"]["h"]
        for p in (post, tmp_path / "driven.nc")
    )
    np.testing.assert_array_equal(one, other)


def test_each_reading_is_judged_by_what_drove_it(post):
    fit = assim.restore(post)
    ssm = fit.state_space({k: jnp.asarray(v[0, 0]) for k, v in fit.sites.items()})
    told, read = post["log_likelihood"]["y"], post["observed_data"]["y"]
    centre, scale = np.ravel(fit.frame["control_scaling"])
    span = Span(jnp.asarray(1.0), jnp.zeros(0))
    for cell in (3, 20, 40):
        at, place = int((read["time"].values[cell] - START) / STEP), int(read["x"].values[cell])
        before = jnp.asarray(TRAIN["h"].values[0, at - 1], jnp.float32)
        u = jnp.asarray([(TRAIN["wind"].values[0, at] - centre) / scale], jnp.float32)
        sd = ssm.process_noise(before, span).variance[place] ** 0.5
        wanted = norm.logpdf(float(read[cell]), ssm.flow(before, span, u)[place], sd)
        np.testing.assert_allclose(told[0, 0, cell], wanted, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(post["constant_data"]["wind"][cell], u[0], rtol=1e-5)


@pytest.mark.slow
def test_another_grid_is_driven_alike(post, key):
    truth = later(places=32)
    assert error(assim.regrid(post, truth), truth, key=key) < 0.2


def test_a_forecast_goes_by_the_plan(post, key):
    truth = later()
    init, settings = truth["time"].values[7], {"key": key, "num_draws": 3}
    planned = truth.assign(h=truth["h"].where(truth["time"] <= init))
    whole = assim.forecast(post, truth, 3, origins=[init], **settings)["predictions"]
    ahead = assim.forecast(post, planned, 3, origins="last", **settings)["predictions"]
    xr.testing.assert_identical(ahead.to_dataset(), whole.to_dataset())
    past, quick = truth.isel(time=slice(0, 8)), (3.6 * truth["wind"]).assign_attrs(units="km h-1")
    beside = assim.forecast(
        post, past, 3, origins="last", plan=truth[[]].assign(wind=quick), **settings
    )
    np.testing.assert_allclose(beside["predictions"]["h"], whole["h"], atol=1e-4)
    known = assim.forecast(post, past, 3, **settings)["predictions"]
    np.testing.assert_array_equal(known["init_time"], truth["time"].values[[1, 4]])
    with pytest.raises(
        ValueError, match=r"controls wind are not known at .*01:00:08, where a step"
    ):
        assim.forecast(post, past, 3, origins="last", **settings)
    two = truth["wind"].expand_dims(run=[0, 1]).to_dataset()
    with pytest.raises(ValueError, match="The plan of wind has 2 runs, and the fields have 1"):
        assim.forecast(post, past, 3, origins="last", plan=two, **settings)


def test_each_run_goes_by_a_plan_of_its_own(post, key):
    runs = TRAIN.isel(run=[3, 5])
    settings = {"key": key, "origins": [TRAIN["time"].values[1]], "num_draws": 3}
    told = assim.forecast(post, runs, 2, **settings)["predictions"]["h"].mean("draw")
    wanted = runs["h"].isel(time=[2, 3]).values
    assert np.sqrt(np.mean((told.values[0, :, 0] - wanted) ** 2)) < 0.2


def seen(truth, *, key):
    at = np.arange(0, 16, 5)
    noise = 0.2 * np.asarray(jax.random.normal(key, (truth.sizes["time"], at.size)))
    read = {
        "h": (("time", "sensor"), truth["h"].values[:, at] + noise, METRES),
        "wind": truth["wind"],
    }
    return xr.Dataset(read, {"time": truth["time"], "position_0": ("sensor", at.astype(float))})


@pytest.mark.filterwarnings("ignore:ETKF lost the state")  # by the wrong wind
def test_an_assimilation_goes_by_what_drove_the_fields(post, key):
    truth, chosen = later(24), filters.ETKF(20)
    read, apart = seen(truth, key=key), []
    for wind in (truth["wind"], -truth["wind"]):
        told = assim.assimilate(post, read.assign(wind=wind), chosen, key=key, members=20)
        first_guess = (told["background"]["h_mean"] - truth["h"]).isel(time=slice(8, None))
        apart.append(float(np.sqrt((first_guess**2).mean())))
    assert apart[0] < 0.25 and apart[1] > 2.0 * apart[0]
    past = {"key": key, "members": 20}
    told = assim.assimilate(post, read.isel(time=slice(0, 20)), chosen, **past)
    ahead = assim.forecast(post, told, 3, key=key, origins="last", plan=truth)["predictions"]
    mean = ahead["h"].mean(("chain", "draw")).values[0]
    assert np.sqrt(np.mean((mean - truth["h"].values[20:23]) ** 2)) < 0.3
    with pytest.raises(ValueError, match="driven by wind, and no plan of it is given"):
        assim.forecast(post, told, 3, key=key)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d.drop_vars("wind"), "no variable 'wind', which controls= names"),
        (
            lambda d: d.assign(wind=d["wind"].where(d["time"] != d["time"][5])),
            r"The controls wind are not known at .*01:00:05",
        ),
        (
            lambda d: d.assign(wind=d["wind"].expand_dims(run=[0, 1])),
            "The controls wind have 2 runs, and readings are of one",
        ),
    ],
    ids=["missing", "hole", "runs"],
)
def test_readings_without_what_drives_the_fields_are_refused(change, says, post, key):
    with pytest.raises(ValueError, match=says):
        assim.assimilate(post, change(seen(later(), key=key)), filters.ETKF(8), key=key)


def test_a_fit_that_goes_on_keeps_pattern_and_scaling(post):
    fit = assim.restore(post)
    more = TRAIN.drop_vars("pattern").assign(
        wind=(7.2 * TRAIN["wind"]).assign_attrs(units="km h-1")
    )
    problem, frame = pose_fields(fit.model, more, fit)
    np.testing.assert_array_equal(problem.constants["fixed"], fit.constants["fixed"])
    centre, scale = np.asarray(fit.frame["control_scaling"])
    np.testing.assert_allclose(frame.u[::16, :, 0], (2.0 * TRAIN["wind"] - centre) / scale)


def test_no_step_is_learned_without_what_drives_it():
    model = models.SemilinearOperator(**SETTINGS, **BOTH)
    holed = TRAIN.copy(deep=True)
    holed["wind"][3, 2] = np.nan
    found, whole = (pose_fields(model, ds)[0] for ds in (holed, TRAIN))
    assert (found.num_data, whole.num_data) == (119, 120)
    assert bool(jnp.isfinite(found.examples.u).all())
    with pytest.raises(ValueError, match=r"0 stretches .* gap, with the controls known, from a"):
        pose_fields(model, TRAIN.assign(wind=TRAIN["wind"].isel(time=[0])))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d.drop_vars("pattern"), "no variable 'pattern', which static= names"),
        (lambda d: d.assign(pattern=d["h"]), "'pattern' has a time axis"),
        (
            lambda d: d.assign(pattern=d["pattern"].where(d["x"] > 2)),
            "'pattern' is missing at 3 of",
        ),
        (lambda d: d.assign(wind=d["h"]), "'wind' lies on run, time, x, and 'time' is expected"),
    ],
    ids=["missing", "time", "holes", "field"],
)
def test_a_record_without_what_drives_its_fields_is_refused(change, says, key):
    model = models.SemilinearOperator(fields="h", **SETTINGS, **BOTH)
    with pytest.raises(ValueError, match=says):
        assim.infer(model, change(TRAIN), METHOD, key=key)


def test_a_model_of_channels_reads_its_plan_in_the_record(key):
    ds = later(100).isel(x=0, drop=True)[["h"]]
    told = assim.infer(models.Persistence(), ds, inference.Prior(2), key=key, pointwise=0)
    with pytest.raises(ValueError, match="plan= is of models of fields: a Persistence reads it"):
        assim.forecast(told, ds, 2, key=key, plan=ds)


def test_a_checkpoint_is_of_one_pattern(tmp_path, key):
    model = models.SemilinearOperator(**SETTINGS, static="pattern")
    told = {"key": key, "checkpoint": tmp_path / "fit", "pointwise": 0}
    quick = inference.EnsembleMAP(1, 2, batch_size=None)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The members were still moving")
        assim.infer(model, TRAIN, quick, **told)
        other = TRAIN.assign(pattern=TRAIN["pattern"][::-1].variable)
        with pytest.raises(ValueError, match="belongs to another run"):
            assim.infer(model, other, quick, **told)


def test_a_pattern_is_not_new_to_a_fit_that_goes_on(key):
    model = models.SemilinearOperator(**SETTINGS)
    plain = assim.infer(model, TRAIN, inference.Prior(1), key=key, pointwise=0)
    told = json.loads(plain.attrs["model"])
    del told["static"]  # as a file would be that was written before there were any
    plain.attrs["model"] = json.dumps(told)
    with pytest.raises(ValueError, match="other settings"):
        assim.infer(
            models.SemilinearOperator(**SETTINGS, static="pattern"),
            TRAIN,
            inference.Prior(1),
            key=key,
            init=plain,
            pointwise=0,
        )
