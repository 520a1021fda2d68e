"""Fields from fit to forecast: one model through `infer`, `restore`, `forecast`, `assimilate` and `compare`."""

import warnings
from pathlib import Path

import jax
import numpy as np
import pytest
import xarray as xr
from scipy.stats import norm

import assim
from assim import filters, inference, models
from assim.filters import Straight
from assim.gridded import pose_fields
from assim.statespace import Span
from assim.systems import KuramotoSivashinsky

STEP = np.timedelta64(1, "s")
START = np.datetime64("2000-01-01", "ns")
SENSORS = np.arange(0.0, 32.0, 2.0)


def front(times, runs=None, *, key):
    """A travelling wave that decays and is driven: fields a small operator can learn in seconds."""
    k_phase, k_size = jax.random.split(key)
    count = 1 if runs is None else runs
    phase = np.asarray(jax.random.uniform(k_phase, (count, 1, 3), maxval=2 * np.pi))
    size = np.asarray(1.0 + jax.random.uniform(k_size, (count, 1, 3)))
    t, x = np.arange(times)[None, :, None, None], 2 * np.pi * np.arange(32) / 32
    k = np.array([1, 2, 3])[:, None]
    waves = size[..., None] * np.cos(k * (x - 0.2 * t) + phase[..., None])
    values = 5.0 + waves.sum(axis=2)
    coords = {"time": START + np.arange(times) * STEP, "x": ("x", np.arange(32.0), {"units": "m"})}
    dims, values = (("run", "time", "x"), values) if runs else (("time", "x"), values[0])
    return xr.Dataset({"h": (dims, values, {"units": "m"})}, coords=coords)


@pytest.fixture(scope="module")
def post():
    model = models.SemilinearOperator(modes=5, width=6, layers=1, horizon=2, error=0.3)
    method = inference.EnsembleMAP(2, num_steps=300, batch_size=32, learning_rate=2e-2)
    train = front(40, 8, key=jax.random.key(1))
    with warnings.catch_warnings():  # that more steps would do better is true, and no matter here
        warnings.filterwarnings("ignore", message="The members were still moving")
        return assim.infer(model, train, method, key=jax.random.key(0))


def readings(truth, *, key):
    at = SENSORS.astype(int)
    noise = 0.3 * np.asarray(jax.random.normal(key, (truth.sizes["time"], at.size)))
    return xr.Dataset(
        {"h": (("time", "sensor"), truth["h"].values[:, at] + noise, {"units": "m"})},
        coords={"time": truth["time"], "position_0": ("sensor", SENSORS)},
    )


def later(ds):
    return ds.assign_coords(time=ds["time"] + np.timedelta64(1, "h"))


def test_a_fit_is_a_tree_that_comes_back_whole(post, tmp_path):
    assert post.attrs["likelihood"] == "composite"
    assert post["log_likelihood"]["y"].dims == ("chain", "draw", "obs_id")
    post.to_netcdf(tmp_path / "fields.nc")
    again = assim.restore(tmp_path / "fields.nc")
    assert again.layout.grid.sizes == (32,) and again.layout.channels == ("h",)
    np.testing.assert_array_equal(again.sites["net.head.bias"], post["posterior"]["net.head.bias"])


def test_each_reading_is_judged_at_its_place_given_the_field_before(post):
    train, fitted = front(40, 8, key=jax.random.key(1)), assim.restore(post)
    ssm = fitted.state_space({k: v[0, 1] for k, v in fitted.sites.items()})
    told, read = post["log_likelihood"]["y"], post["observed_data"]["y"]
    span = Span(np.float32(1.0), np.zeros(0, np.float32))
    for cell in (3, 333, 639):
        at = int((read["time"].values[cell] - START) / STEP)
        place = int(read["x"].values[cell])
        before = train["h"].values[0, at - 1].astype(np.float32)
        np.testing.assert_allclose(read[cell], train["h"].values[0, at, place], rtol=1e-6)
        sd = ssm.process_noise(before, span).variance[place] ** 0.5
        wanted = norm.logpdf(float(read[cell]), ssm.flow(before, span)[place], sd)
        np.testing.assert_allclose(told[0, 1, cell], wanted, rtol=1e-3)


def test_a_forecast_follows_the_wave_and_knows_its_error(post, key):
    truth = later(front(30, key=key))
    told = assim.forecast(post, truth.isel(time=slice(0, 25)), 5, key=key, num_draws=40)
    assert told["predictions"]["h"].dims == ("chain", "draw", "init_time", "lead_time", "x")
    table = assim.compare({"operator": told}, truth=truth)
    paths = told["predictions"]["h"].stack(path=("chain", "draw"))
    wanted = truth["h"].sel(time=told["predictions"]["valid_time"])
    error = np.sqrt(((paths.mean("path") - wanted) ** 2).mean())
    still = np.sqrt(((truth["h"].sel(time=told["predictions"]["init_time"]) - wanted) ** 2).mean())
    assert error < 0.4 * still
    low, high = paths.quantile([0.05, 0.95], "path")
    assert ((low <= wanted) & (wanted <= high)).mean() > 0.85
    assert paths.std("path").mean() < 0.05  # of a wave of 1 to 2
    assert table is not None


@pytest.mark.slow
def test_a_path_hangs_on_its_origin_alone(post, key):
    truth = later(front(12, key=key))
    several = assim.forecast(post, truth, 2, key=key, origins="2s")["predictions"]
    alone = assim.forecast(post, truth, 2, key=key, origins="last")["predictions"]
    np.testing.assert_array_equal(several["h"].isel(init_time=-1), alone["h"].isel(init_time=0))


@pytest.mark.parametrize(
    "chosen",
    [
        filters.ETKF(30, 1.05),
        filters.LETKF(30, 8.0, Straight((32.0,)), 1.05),
        pytest.param(filters.EnKF(30, 1.05), marks=pytest.mark.slow),
    ],
    ids=["ETKF", "LETKF", "EnKF"],
)
def test_a_few_sensors_tell_the_whole_field(chosen, post, key):
    truth = later(front(40, key=key))
    told = assim.assimilate(post, readings(truth, key=key), chosen, key=key)
    analysis = told["analysis"]
    assert (
        analysis["h"].dims == ("chain", "draw", "time", "x") and analysis["h"].attrs["units"] == "m"
    )
    error = np.sqrt(((analysis["h_mean"] - truth["h"]) ** 2).isel(time=slice(10, None)).mean())
    assert error < 0.3
    assert int(told["innovation"]["lost"].sum()) == 0


@pytest.mark.slow
def test_a_store_holds_what_memory_holds(post, tmp_path, key):
    truth = later(front(9, key=key))
    told = assim.forecast(post, truth, 2, key=key, origins="2s", num_draws=4)["predictions"]
    store = assim.forecast(
        post, truth, 2, key=key, origins="2s", num_draws=4, to=tmp_path / "a.zarr"
    )
    xr.testing.assert_equal(store["predictions"].to_dataset().load(), told.to_dataset())


def test_other_units_are_brought_to_those_of_the_fit(post, key):
    truth = later(front(10, key=key))
    in_cm = truth.assign(h=(truth["h"] * 100.0).assign_attrs(units="cm"))
    one, other = (
        assim.forecast(post, ds, 2, key=key, origins="last", num_draws=4)["predictions"]["h"]
        for ds in (truth, in_cm)
    )
    np.testing.assert_allclose(one, other, atol=1e-4)
    read = readings(truth, key=key)
    wide = read.assign(h=(read["h"] * 100.0).assign_attrs(units="cm"))
    one, other = (
        assim.assimilate(post, ds, filters.ETKF(9), key=key)["analysis"]["h_mean"]
        for ds in (read, wide)
    )
    np.testing.assert_allclose(one, other, atol=1e-3)


def test_fields_and_readings_without_units_are_met_with_a_warning(post, key):
    truth = later(front(10, key=key))
    read = readings(truth, key=key)
    says, chosen = "'h' tells no units: it is taken in those of the fit, m", filters.ETKF(9)
    plain = [ds.assign(h=ds["h"].drop_attrs(deep=False)) for ds in (truth, read)]
    with pytest.warns(UserWarning, match=says) as said:
        ahead = assim.forecast(post, plain[0], 2, key=key, origins="last", num_draws=4)
        told = assim.assimilate(post, plain[1], chosen, key=key)
    assert [Path(w.filename).name for w in said] == ["test_fields.py"] * 2
    wanted = assim.forecast(post, truth, 2, key=key, origins="last", num_draws=4)
    np.testing.assert_array_equal(ahead["predictions"]["h"], wanted["predictions"]["h"])
    wanted = assim.assimilate(post, read, chosen, key=key)
    np.testing.assert_array_equal(told["analysis"]["h"], wanted["analysis"]["h"])


def test_an_error_without_units_has_those_of_its_reading(post, key):
    read = readings(later(front(6, key=key)), key=key)
    told = read.assign(h_sd=read["h"].drop_attrs(deep=False) * 0.0 + 0.2)
    wide = told.assign(h=(read["h"] * 100.0).assign_attrs(units="cm"), h_sd=told["h_sd"] * 100.0)
    one, other = (
        assim.assimilate(post, ds, filters.ETKF(9), key=key)["analysis"]["h_sd"]
        for ds in (told, wide)
    )
    np.testing.assert_allclose(one, other, rtol=1e-3)


@pytest.mark.slow
def test_a_record_in_two_parts_is_filtered_as_the_whole(post, key):
    read = readings(later(front(40, key=key)), key=key)
    whole = assim.assimilate(post, read, filters.ETKF(12), key=key)["analysis"]["h"]
    first = assim.assimilate(post, read.isel(time=slice(0, 24)), filters.ETKF(12), key=key)
    rest = read.isel(time=slice(24, None))
    second = assim.assimilate(post, rest, filters.ETKF(12), key=key, resume=first)["analysis"]["h"]
    np.testing.assert_array_equal(second, whole.isel(time=slice(24, None)))


def test_no_stretch_leaps_a_gap(key):
    ds = front(60, key=key)
    holed = xr.concat([ds.isel(time=slice(0, 31)), later(ds).isel(time=slice(31, None))], "time")
    model = models.SemilinearOperator(modes=3, width=2, layers=1, horizon=2)
    problem, _ = pose_fields(model, holed)
    assert problem.num_data == 15 + 14
    assert float(problem.examples.spans.dt.max()) == 1.0


@pytest.mark.slow
def test_members_of_an_analysis_roll_on(post, key):
    truth = later(front(25, key=key))
    told = assim.assimilate(
        post, readings(truth, key=key).isel(time=slice(0, 20)), filters.ETKF(30), key=key
    )
    ahead = assim.forecast(post, told, 4, key=key, origins="last")["predictions"]
    assert ahead.sizes["draw"] == 30
    wanted = truth["h"].isel(time=slice(20, 24)).values
    assert np.sqrt(((ahead["h"].mean(("chain", "draw")).values[0] - wanted) ** 2).mean()) < 0.6


def test_an_unread_hour_widens_the_analysis(post, key):
    read = readings(later(front(40, key=key)), key=key)
    read["h"][20:30] = np.nan
    sd = assim.assimilate(post, read, filters.ETKF(40), key=key, members=0)["analysis"][
        "h_sd"
    ].mean("x")
    assert sd[29] > 1.2 * sd[19] and sd[39] < sd[29]


@pytest.mark.slow
def test_two_axes_land_and_a_calendar_go_the_same_way(key):
    times = np.datetime64("2010-01-01", "ns") + 15 * np.arange(72) * np.timedelta64(1, "D")
    year = 2 * np.pi * np.arange(72) * 15 / 365.2425
    lat, lon = np.linspace(60.0, -60.0, 8), 30.0 * np.arange(12)
    values = (
        10.0
        + np.cos(year)[:, None, None] * np.sin(np.deg2rad(lat))[:, None]
        + 0.1 * np.cos(np.deg2rad(lon) + 0.5 * np.arange(72)[:, None, None])
    )
    values[:, 3, 4:7] = np.nan
    coords = {"time": times, "lat": lat, "lon": lon}
    ds = xr.Dataset({"sst": (("time", "lat", "lon"), values, {"units": "degC"})}, coords=coords)
    model = models.SemilinearOperator(
        modes=3,
        width=4,
        layers=1,
        substeps=1,
        horizon=1,
        periodic=(False, True),
        calendar=("year",),
    )
    method = inference.EnsembleMAP(1, num_steps=200, batch_size=16, learning_rate=2e-2)
    post = assim.infer(model, ds.isel(time=slice(0, 60)), method, key=key)
    told = assim.forecast(post, ds.isel(time=slice(60, None)), 3, key=key, origins="last")
    assert told["predictions"]["sst"].dims[-2:] == ("lat", "lon")
    buoys = xr.Dataset(
        {
            "sst": (("time", "sensor"), values[60:, [1, 5, 6], [2, 8, 1]], {"units": "degC"}),
            "sst_sd": (("time", "sensor"), np.full((12, 3), 0.1)),
        },
        coords={
            "time": times[60:],
            "position_0": ("sensor", lat[[1, 5, 6]]),
            "position_1": ("sensor", lon[[2, 8, 1]]),
        },
    )
    analysis = assim.assimilate(post, buoys, filters.ETKF(20), key=key)["analysis"]
    assert analysis["sst"].dims[-2:] == ("lat", "lon")
    for found in (told["predictions"]["sst"][0, 0, 0, 0], analysis["sst_mean"][0]):
        np.testing.assert_array_equal(np.isnan(found), np.isnan(values[0]))
    on_land = buoys.assign_coords(
        position_0=("sensor", lat[[1, 3, 6]]), position_1=("sensor", lon[[2, 5, 1]])
    )
    with pytest.raises(ValueError, match=r"Sensor 1 reads at lat 8.57143, lon 150, .*\(land\)"):
        assim.assimilate(post, on_land, filters.ETKF(20), key=key)
    beyond = buoys.assign_coords(position_0=("sensor", [0.0, 20.0, 88.0]))
    with pytest.raises(
        ValueError, match="Sensor 2 reads at lat 88, lon 30 and the grid spans lat 60 to -60"
    ):
        assim.assimilate(post, beyond, filters.ETKF(20), key=key)
    assert float(np.abs(analysis["sst_mean"] - ds["sst"].isel(time=slice(60, None))).mean()) < 1.0


def test_readings_far_apart_are_met_with_advice(post, key):
    read = readings(later(front(12, key=key)), key=key).isel(time=slice(None, None, 3))
    with pytest.warns(
        UserWarning, match="Readings lie up to 3 s apart, and the fields of the fit 1 s"
    ) as said:
        assim.assimilate(post, read, filters.ETKF(20), key=key, members=0)
    assert [Path(w.filename).name for w in said] == ["test_fields.py"]  # where a user looks


def test_readings_near_each_other_and_sensors_far_round_are_met_with_advice(post, key):
    read = readings(later(front(6, key=key)), key=key)
    half = read.assign_coords(time=read["time"][0] + (read["time"] - read["time"][0]) // 2)
    with pytest.warns(UserWarning, match="Readings lie 0.5 s apart, and the fields of the fit 1 s"):
        assim.assimilate(post, half, filters.ETKF(20), key=key, members=0)
    far = read.assign_coords(position_0=read["position_0"] + 320.0)
    with pytest.warns(UserWarning, match="Sensor 0 reads at x 320, more than once round"):
        assim.assimilate(post, far, filters.ETKF(20), key=key, members=0)


@pytest.mark.slow
def test_the_last_layer_alone_may_be_uncertain(post, key):
    model, train = assim.restore(post).model, front(40, 8, key=jax.random.key(1))
    quick = inference.Laplace(ascent=inference.Ascent(num_steps=1, polish=0), num_draws=5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        told = assim.infer(model, train, quick, key=key, init=post, pointwise=0)["posterior"]
    moving = {n for n, v in told.data_vars.items() if np.ptp(v.values, axis=(0, 1)).max() > 0}
    assert moving == set(model.head())


@pytest.mark.parametrize(
    ("call", "kind", "says"),
    [
        (lambda p, ds, k: assim.forecast(p, None, 2, key=k), ValueError, "rolled out from a field"),
        (
            lambda p, ds, k: assim.forecast(p, ds.isel(x=slice(0, 16)), 2, key=k),
            ValueError,
            "bring them to that grid",
        ),
        (
            lambda p, ds, k: assim.assimilate(p, readings(ds, key=k), filters.Kalman(), key=k),
            TypeError,
            "without members cannot carry the draws",
        ),
        (
            lambda p, ds, k: assim.assimilate(p, readings(ds, key=k), filters.Particle(50), key=k),
            ValueError,
            "draws whole members again",
        ),
        (
            lambda p, ds, k: assim.assimilate(
                p, readings(ds, key=k), filters.ETKF(9), key=k, update="both"
            ),
            ValueError,
            "more parameters than a filter can",
        ),
        (
            lambda p, ds, k: assim.infer(
                models.SemilinearOperator(horizon=2), ds.isel(time=slice(0, 6)), key=k
            ),
            ValueError,
            "has 2 stretches of 2 steps",
        ),
    ],
)
def test_what_fields_cannot_do_is_said(call, kind, says, post, key):
    with pytest.raises(kind, match=says):
        call(post, later(front(12, key=key)), key)


@pytest.mark.slow
def test_a_known_system_trains_a_learned_one(key):
    """The truth of a twin experiment is a record of fields."""
    truth, _ = assim.twin_experiment(KuramotoSivashinsky(size=32, length=32.0), (1.0, 60), key=key)
    model = models.SemilinearOperator(modes=8, width=4, layers=1, substeps=1)
    post = assim.infer(model, truth, inference.EnsembleMAP(1, num_steps=20), key=key)
    ssm = assim.restore(post).state_space(
        {k: v[0, 0] for k, v in assim.restore(post).sites.items()}
    )
    after = ssm.flow(
        truth["u"].values[0].astype(np.float32), Span(np.float32(1.0), np.zeros(0, np.float32))
    )
    assert np.isfinite(after).all()
