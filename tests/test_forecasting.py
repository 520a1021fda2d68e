"""`forecast`: origins, plans of controls, stations, stores, and the sentences where it cannot be."""

import warnings

import jax
import numpy as np
import pytest
import xarray as xr

import assim
from assim import forecasting, inference
from assim.models import VAR, Autoregressive, Climatology, Direct, Persistence

KEY = jax.random.key(0)
STEP = np.timedelta64(600, "s")
TIME = np.datetime64("2020-01-01", "ns") + np.arange(600) * STEP
SPLIT = 500
DRIVE = 1.0
SUPPORTS = {
    "t": {"units": "degC", "standard_name": "air_temperature"},
    "w": {"units": "m s-1", "standard_name": "wind_speed"},
    "h": {"units": "%", "standard_name": "relative_humidity"},
    "d": {"units": "degree", "standard_name": "wind_from_direction"},
}


def mast(stations=None, seed=0):
    """Autoregressions on four supports, near their bounds."""
    rng = np.random.default_rng(seed)
    y = np.zeros((4, stations or 1, TIME.size))
    for t in range(1, TIME.size):
        y[..., t] = 0.9 * y[..., t - 1] + rng.normal(size=y.shape[:2])
    y = [10 + y[0], np.maximum(y[1], 0), np.clip(95 + 4 * y[2], 0, 100), (20 * y[3]) % 360]
    dims, y = (("station", "time"), y) if stations else (("time",), [v[0] for v in y])
    coords = {"time": TIME}
    if stations:
        coords["station"] = [f"mast {i}" for i in range(stations)]
    return xr.Dataset(
        {n: (dims, v, a) for (n, a), v in zip(SUPPORTS.items(), y, strict=True)}, coords
    )


def driven():
    """A channel pushed by a control, 15 % missing, with a gap of 40 rows before row 560."""
    rng = np.random.default_rng(1)
    u = np.repeat(rng.choice([-1.0, 1.0], TIME.size // 20), 20)
    y = np.zeros(TIME.size)
    for t in range(1, TIME.size):
        y[t] = 0.8 * y[t - 1] + DRIVE * u[t] + 0.5 * rng.normal()
    y[rng.random(TIME.size) < 0.15] = np.nan
    y[520:560] = np.nan
    y[[519, 559]] = 0.0
    y[559] = np.nan
    return xr.Dataset({"y": ("time", y), "u": ("time", u)}, {"time": TIME})


def fit(model, ds, method, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return assim.infer(model, ds, method, key=KEY, **settings)


@pytest.fixture(scope="module")
def prior():
    """Draws of the prior: all that origins, stores and names need."""
    return fit(VAR(2), mast().isel(time=slice(0, SPLIT)), inference.Prior(12), pointwise=0)


@pytest.fixture(scope="module")
def test_part():
    return mast().isel(time=slice(SPLIT, None))


@pytest.fixture(scope="module")
def post():
    method = inference.SVI(
        num_steps=600, ascent=inference.Ascent(600, batch_size=None), num_draws=200
    )
    train = driven().isel(time=slice(0, SPLIT))
    return fit(VAR(3, controls="u"), train, method, pointwise=50)


def predict(tree, ds=None, horizon="30min", **settings):
    return assim.forecast(tree, ds, horizon, key=KEY, **settings)


def starts(tree):
    return tree["predictions"]["init_time"].values


class TestOrigins:
    def test_one_every_horizon_counted_back_from_the_last_time(self, prior, test_part):
        init = starts(predict(prior, test_part))
        assert init[-1] == TIME[-1]
        assert np.all(np.diff(init) == 3 * STEP)
        assert TIME[SPLIT - 1] <= init[0] < TIME[SPLIT + 2]

    def test_the_last_one_alone_and_without_a_score(self, prior, test_part):
        tree = predict(prior, test_part, origins="last")
        assert starts(tree).tolist() == [TIME[-1].astype(int)]
        assert "log_score" not in tree.children

    def test_a_duration_apart(self, prior, test_part):
        init = starts(predict(prior, test_part, origins="2h"))
        assert np.all(np.diff(init) == 12 * STEP)

    def test_times_in_any_order_are_taken_once(self, prior, test_part):
        tree = predict(prior, test_part, origins=[str(TIME[560]), str(TIME[560])])
        assert starts(tree).tolist() == [t.astype(int) for t in TIME[[560]]]

    def test_a_path_depends_on_its_own_origin_alone(self, prior, test_part):
        many = predict(prior, test_part, origins="30min")
        one = predict(prior, test_part, origins=list(TIME[[542]]))
        longer = predict(prior, mast().isel(time=slice(300, None)), origins=list(TIME[[542]]))
        middle = many["predictions"].to_dataset().sel(init_time=TIME[[542]])
        for other in (one, longer):
            xr.testing.assert_allclose(
                middle, other["predictions"].to_dataset(), rtol=1e-4, atol=1e-4
            )

    def test_without_a_record_it_goes_on_from_the_end_of_training(self, prior, test_part):
        tree = predict(prior)
        assert starts(tree).tolist() == [TIME[SPLIT - 1].astype(int)]
        other = predict(prior, mast(), origins=[TIME[SPLIT - 1]])
        for name in SUPPORTS:
            one, two = (t["predictions"][name].values for t in (tree, other))
            np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-3)

    def test_the_end_of_training_stands_in_front_of_what_follows(self, prior, test_part):
        one = predict(prior, test_part, origins=[TIME[SPLIT]])
        two = predict(prior, mast(), origins=[TIME[SPLIT]])
        xr.testing.assert_allclose(
            one["predictions"].to_dataset(), two["predictions"].to_dataset(), rtol=1e-4, atol=1e-3
        )

    @pytest.mark.parametrize(
        ("origins", "words"),
        [
            ([TIME[520] + STEP // 2], "not on the clock of the record .*every 10 min"),
            ([TIME[-1] + STEP], "not on the clock of the record"),
            (["then"], "are no times"),
            ([], "asks for no forecast"),
            ("yesterday", "origins='yesterday' is not a duration"),
            ("1s", "origins='1s' is shorter than one step"),
        ],
        ids=str,
    )
    def test_others_are_refused(self, prior, test_part, origins, words):
        with pytest.raises(ValueError, match=words):
            predict(prior, test_part, origins=origins)


class TestWhatComesOut:
    def test_every_channel_stays_where_it_can_lie(self, prior, test_part):
        p = predict(prior, test_part)["predictions"]
        assert float(p["w"].min()) == 0.0
        assert float(p["h"].max()) == 100.0
        assert float(p["h"].min()) >= 0.0
        assert float(p["d"].min()) >= 0.0
        assert float(p["d"].max()) < 360.0
        assert float(p["t"].min()) < 0.0

    def test_it_is_labelled(self, prior, test_part):
        tree = predict(prior, test_part)
        p = tree["predictions"]["t"]
        assert p.dims == ("chain", "draw", "init_time", "lead_time")
        assert p.attrs["units"] == "degC"
        assert p["lead_time"].values.tolist() == [
            (k * STEP).astype("m8[ns]").astype(int) for k in range(1, 4)
        ]
        valid = p["init_time"].values[:, None] + p["lead_time"].values
        np.testing.assert_array_equal(p["valid_time"].values, valid)
        assert tree["uncertainty"]["t"]["component"].values.tolist() == ["aleatoric", "epistemic"]

    def test_draws_are_chosen_evenly(self, prior, test_part):
        few = predict(prior, test_part, origins="last", num_draws=5)
        assert few["predictions"].sizes["draw"] == 5
        assert (
            predict(prior, test_part, origins="last", num_draws=None)["predictions"].sizes["draw"]
            == 12
        )

    def test_a_draw_may_have_several_paths(self, prior, test_part):
        once = predict(prior, test_part, num_draws=3, origins="6h")
        more = predict(prior, test_part, num_draws=3, paths=40, origins="6h")
        name = next(iter(more["predictions"].data_vars))
        y = more["predictions"][name].isel(chain=0, init_time=0, lead_time=0)
        assert y.sizes["draw"] == 3 * 40 and len(np.unique(y)) == 3 * 40
        middle = y.values.reshape(3, 40).mean(axis=1)
        parts = more["uncertainty"][name].isel(init_time=0, lead_time=0)
        np.testing.assert_allclose(parts.sel(component="epistemic"), middle.var(ddof=1), rtol=0.6)
        again = (g["log_score"].to_dataset().isel(lead_time=0) for g in (once, more))
        xr.testing.assert_allclose(*again, rtol=1e-4)

    def test_a_store_holds_what_memory_does(self, prior, test_part, tmp_path, monkeypatch):
        whole = predict(prior, test_part)
        monkeypatch.setattr(forecasting, "CHUNK_VALUES", 12 * 3 * 4 * 5)
        stored = predict(prior, test_part, to=tmp_path / "fc.zarr")
        assert set(stored.children) == set(whole.children)
        for name, group in whole.children.items():
            xr.testing.assert_allclose(
                stored[name].to_dataset().load(), group.to_dataset(), rtol=1e-4, atol=1e-3
            )
        assert stored.attrs["model"] == whole.attrs["model"]
        again = predict(prior, test_part, origins="last", to=tmp_path / "fc.zarr")
        assert starts(again).size == 1
        assert [p.name for p in tmp_path.iterdir()] == ["fc.zarr"]

    def test_a_folder_of_other_things_is_never_replaced(self, prior, tmp_path):
        (tmp_path / "notes.txt").write_text("mine")
        with pytest.raises(ValueError, match="no Zarr store"):
            predict(prior, to=tmp_path)
        assert (tmp_path / "notes.txt").read_text() == "mine"

    def test_the_tree_may_be_a_file(self, prior, tmp_path):
        path = tmp_path / "post.nc"
        prior.to_netcdf(path, engine="h5netcdf")
        one, two = predict(path), predict(prior)
        xr.testing.assert_identical(
            one["predictions"].to_dataset(), two["predictions"].to_dataset()
        )
        assert one.attrs["method"] == two.attrs["method"] != ""

    def test_stations_keep_their_names_and_their_paths(self):
        ds = mast(3)[["t", "w"]]
        post = fit(VAR(1), ds.isel(time=slice(0, SPLIT)), inference.Prior(6), pointwise=0)
        test = ds.isel(time=slice(SPLIT, None))
        every = predict(post, test, origins="last")["predictions"]["t"]
        assert every["station"].values.tolist() == ["mast 0", "mast 1", "mast 2"]
        assert every.dims == ("chain", "draw", "station", "init_time", "lead_time")
        some = predict(post, test.isel(station=[2, 0]), origins="last")["predictions"]["t"]
        assert some["station"].values.tolist() == ["mast 2", "mast 0"]
        np.testing.assert_allclose(
            some, every.sel(station=["mast 2", "mast 0"]), rtol=1e-4, atol=1e-3
        )
        with pytest.raises(ValueError, match="knows nothing of elsewhere"):
            predict(post, test.assign_coords(station=["mast 0", "mast 1", "elsewhere"]))


class TestLearned:
    def test_the_score_one_step_ahead_is_the_mixture_of_the_log_likelihood(self, post):
        told = post["log_likelihood"]["y"]
        expected = np.logaddexp.reduce(told.values, axis=(0, 1)) - np.log(told.sizes["draw"])
        cells = told["time"].values[10:26]
        tree = predict(post, driven(), origins=list(cells - STEP), num_draws=None)
        found = tree["log_score"]["y"].isel(lead_time=0).values
        np.testing.assert_allclose(found, expected[10:26], rtol=1e-3, atol=1e-3)

    def test_the_two_parts_add_up_to_the_spread_of_the_paths(self, post):
        tree = predict(post, driven(), origins=list(TIME[499:515]))
        total = tree["uncertainty"]["y"].sum("component").mean("init_time")
        paths = tree["predictions"]["y"].var(["chain", "draw"]).mean("init_time")
        np.testing.assert_allclose(total, paths, rtol=0.15)
        assert (tree["uncertainty"]["y"] >= 0).all()

    def test_a_gap_widens_the_forecast(self, post):
        tree = predict(post, driven(), origins=list(TIME[515:531]))
        spread = tree["predictions"]["y"].std(["chain", "draw"]).isel(lead_time=0)
        assert spread[-1] > 1.5 * spread[0]

    def test_the_plan_moves_the_forecast_its_own_way(self, post):
        ds = driven()
        ahead = ds["time"] > TIME[515]
        means = [
            predict(post, ds.assign(u=ds["u"].where(~ahead, level)), origins=[TIME[515]])[
                "predictions"
            ]["y"]
            .mean(["chain", "draw"])
            .isel(init_time=0)
            .values
            for level in (-1.0, 0.0, 1.0)
        ]
        assert np.all(means[0] < means[1])
        assert np.all(means[1] < means[2])
        late = DRIVE * (1 - 0.8**3) / (1 - 0.8)
        assert (means[2] - means[0])[-1] / 2 == pytest.approx(late, rel=0.25)

    def test_a_plan_alone_goes_on_from_the_end_of_training(self, post):
        plan = driven()[["u"]].isel(time=slice(SPLIT, SPLIT + 9))
        tree = predict(post, plan)
        assert starts(tree).tolist() == [TIME[SPLIT - 1].astype(int)]
        whole = predict(post, driven(), origins=[TIME[SPLIT - 1]])
        for t in (tree, whole):
            assert t["predictions"]["y"].sizes["lead_time"] == 3
        one, two = (t["predictions"]["y"].values for t in (tree, whole))
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-4)

    def test_the_plan_may_reach_beyond_the_readings(self, post):
        ds = driven()
        ds["y"] = ds["y"].where(ds["time"] <= TIME[590])
        last = (
            TIME[590] if np.isfinite(ds["y"].values[590]) else TIME[np.isfinite(ds["y"].values)][-1]
        )
        assert starts(predict(post, ds, origins="last")).tolist() == [last.astype(int)]

    def test_the_missing_span_of_the_plan_is_named(self, post):
        ds = driven()
        ds["u"] = ds["u"].where((ds["time"] < TIME[552]) | (ds["time"] > TIME[553]))
        with pytest.raises(
            ValueError, match=r"the controls u from 2020-01-04T20:00:00 to 2020-01-04T20:10:00"
        ):
            predict(post, ds, origins=[TIME[550]])
        with pytest.raises(
            ValueError, match=r"needs the controls u from .* to 2020-01-05T04:20:00"
        ):
            predict(post, ds, origins=[TIME[599]])
        with pytest.raises(ValueError, match="add their plan"):
            predict(post)
        assert TIME[550] not in starts(predict(post, ds, origins="10min"))

    def test_a_plan_left_out_is_no_constant_plan(self, post):
        with pytest.raises(ValueError, match="no variable 'u'"):
            predict(post, driven()[["y"]])


class TestRefused:
    @pytest.mark.parametrize(
        ("horizon", "words"),
        [
            ("soon", "horizon='soon' is not a duration"),
            ("5min", "shorter than one step of 10 min"),
            (0, "shorter than one step"),
            (None, "horizon"),
        ],
    )
    def test_a_horizon_that_is_none(self, prior, horizon, words):
        with pytest.raises(ValueError, match=words):
            predict(prior, None, horizon)

    @pytest.mark.parametrize(
        "model",
        [Persistence(4, 2), Autoregressive(2, (), decoding=Direct(4), calendar=())],
        ids=["naive", "direct"],
    )
    def test_a_horizon_beyond_that_of_the_fit(self, model):
        post = fit(model, mast()[["t"]].isel(time=slice(0, 100)), inference.Prior(2), pointwise=0)
        assert predict(post, None, np.int64(4))["predictions"].sizes["lead_time"] == 4
        with pytest.raises(
            ValueError, match="fitted for 4 leads and 6 are asked for: ask for at most 40 min, or"
        ):
            predict(post, None, "1h")

    def test_a_seed_in_place_of_a_key(self, prior):
        with pytest.raises(TypeError, match=r"key=7 is not .* give key=jax\.random\.key\(7\)"):
            assim.forecast(prior, key=7)

    def test_no_paths(self, prior):
        with pytest.raises(ValueError, match="paths=0 leave no path"):
            predict(prior, paths=0)

    def test_no_draws(self, prior):
        with pytest.raises(ValueError, match="num_draws=0"):
            predict(prior, num_draws=0)

    def test_a_record_of_nothing(self, prior, test_part):
        with pytest.raises(ValueError, match="no time at all"):
            predict(prior, test_part.isel(time=slice(0, 0)))

    def test_a_tree_of_another_kind_or_model(self, prior, test_part):
        with pytest.raises(ValueError, match="not a posterior tree"):
            predict(predict(prior, test_part, origins="last"), test_part)
        with pytest.raises(ValueError, match="holds a Autoregressive"):
            predict(prior, test_part, model=Persistence())

    def test_a_record_of_other_variables(self, prior, test_part):
        with pytest.raises(ValueError, match="the dataset has no t, w, h, d: give a file"):
            predict(prior, test_part.rename({name: f"{name}2" for name in SUPPORTS}))


def test_the_calendar_goes_on_beyond_the_record():
    hours = np.arange(24 * 20)
    time = np.datetime64("2020-01-01", "ns") + hours * np.timedelta64(1, "h")
    noise = np.random.default_rng(0).normal(0, 0.5, hours.size)
    values = 10 * np.sin(2 * np.pi * hours / 24) + noise
    ds = xr.Dataset({"t": ("time", values, {"units": "degC"})}, {"time": time})
    key = jax.random.key(0)
    post = assim.infer(Climatology(("day",)), ds, key=key, pointwise=0)
    ahead = assim.forecast(post, horizon="24h", key=key)["predictions"]["t"]
    mean = ahead.mean(["chain", "draw"]).isel(init_time=0)
    np.testing.assert_allclose(
        mean, 10 * np.sin(2 * np.pi * (hours[-1] + 1 + np.arange(24)) / 24), atol=0.5
    )
    inside = assim.forecast(post, ds, "24h", origins=[time[-25]], key=key)["predictions"]["t"]
    beyond = assim.forecast(post, ds.isel(time=slice(0, -24)), "24h", origins="last", key=key)
    np.testing.assert_allclose(beyond["predictions"]["t"], inside, rtol=1e-5)
