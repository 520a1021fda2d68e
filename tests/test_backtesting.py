"""`backtest`: nothing that is forecast was seen, every origin is there or told of, and the first alone compiles."""

import json

import arviz as az
import jax
import numpy as np
import pytest
import xarray as xr

import assim
from assim import refitting
from assim.backtesting_origins import asked_by_run, asked_in_time
from assim.data.clockwork import stamp
from assim.data.framing import frame_of
from assim.inference import AbstractMethod, Ascent, GaussNewton, Laplace, Prior
from assim.models import Autoregressive, Direct, FieldPersistence, FixedNormal

STEP = np.timedelta64(50, "ms").astype("timedelta64[ns]")
RUNS, TIMES, DRAWS = 6, 48, 60
KEY = jax.random.key(5)
METHOD = Laplace(GaussNewton(), Ascent(num_steps=40, polish=20), num_draws=DRAWS)


def bench(seed=0):
    """Runs of a target y that a sensor s drives and a sensor z knows nothing of, under a plan u."""
    rng = np.random.default_rng(seed)
    s, z, u = rng.normal(size=(3, RUNS, TIMES))
    y = np.zeros((RUNS, TIMES))
    for t in range(1, TIMES):
        y[:, t] = 0.5 * y[:, t - 1] + s[:, t - 1] + 0.3 * rng.normal(size=RUNS)
    time = np.datetime64("2020-01-01", "ns") + np.arange(TIMES) * STEP
    values = {"y": y, "s": s, "z": z, "u": u}
    names = [f"run{i}" for i in range(RUNS)]
    return xr.Dataset(
        {k: (("run", "time"), v) for k, v in values.items()}, {"run": names, "time": time}
    )


def model(sensor="s", **settings):
    plain = {"noise": FixedNormal(0.6), "mask_rate": 0.0, "calendar": ()}
    return Autoregressive(2, (), targets="y", covariates=sensor, **(plain | settings))


class Watched(AbstractMethod):
    """A method that notes how often JAX has compiled before each of its runs."""

    method: AbstractMethod
    compiled: list
    noted: list

    def run(self, problem, *, key, watch, start=None):
        self.noted.append(self.compiled[0])
        return self.method.run(problem, key=key, watch=watch, start=start)


class Astray(AbstractMethod):
    """Draws of the prior whose second fit fails; keys are noted."""

    keys: list

    def run(self, problem, *, key, watch, start=None):
        self.keys.append(jax.random.key_data(key).tolist())
        if len(self.keys) == 2:
            raise FloatingPointError("The loss stopped being finite: try another seed.")
        return Prior(DRAWS).run(problem, key=key, watch=watch, start=start)


def watched():
    compiled = [0]

    def heard(event, duration, **about):
        compiled[0] += event.startswith("/jax/core/compile")

    jax.monitoring.register_event_duration_secs_listener(heard)
    return Watched(METHOD, compiled, [])


def tried(ds, method=METHOD, horizon=3, sensor="s", **settings):
    return assim.backtest(model(sensor), ds, method, horizon, key=KEY, **settings)


def predicted(tree):
    return tree["predictions"].to_dataset()


def reasons(tree):
    """What is left out, by run and row."""
    told = tree["left_out"].to_dataset()
    rows = (told["init_time"].values - bench()["time"].values[0]) / STEP
    runs = told["run"].values if "run" in told.coords else [""] * len(rows)
    return {
        (str(r), int(row)): str(w)
        for r, row, w in zip(runs, rows, told["reason"].values, strict=True)
    }


@pytest.fixture(scope="module")
def ds():
    return bench()


@pytest.fixture(scope="module")
def rolled(ds):
    """A fit at each of five origins in one run, and how often JAX had compiled before each of them."""
    method = watched()
    one = ds.isel(run=0, drop=True)
    return tried(one, method, start=one["time"].values[30], every=3, refit=True), method.noted


@pytest.fixture(scope="module")
def folded(ds):
    return {name: tried(ds, by="run", folds=3, sensor=name) for name in "sz"}


def test_every_origin_is_there_or_told_of(rolled, ds):
    tree, _ = rolled
    times = ds["time"].values
    found = predicted(tree)
    np.testing.assert_array_equal(found["init_time"], times[30:45:3])
    assert found["y"].dims == ("chain", "draw", "init_time", "lead_time")
    assert found["y"].notnull().all() and tree["log_score"]["y"].notnull().all()
    np.testing.assert_array_equal(found["valid_time"], found["init_time"] + found["lead_time"])
    assert list(reasons(tree)) == [("", 45)]
    assert reasons(tree)["", 45].startswith(
        "the horizon ends after the last target reading, at 2020"
    )
    told = json.loads(tree.attrs["backtest"])
    assert told == {"by": "time", "fits": 5, "origins": 6, "left_out": 1, "refit": True}
    assert tree.attrs["horizon"] == "0.15 s"


def test_each_origin_has_a_fit_of_its_own_and_says_so(rolled):
    for group in ("predictions", "uncertainty", "log_score"):
        found = rolled[0][group].to_dataset()
        np.testing.assert_array_equal(found["fit"], np.arange(5))
        np.testing.assert_array_equal(found["trained_until"], found["init_time"])
        assert (found["trained_from"] == found["init_time"].values[0] - 30 * STEP).all()


def test_the_first_origin_alone_compiles(rolled):
    noted = rolled[1]
    assert len(noted) == 5 and noted[0] < noted[1]
    assert noted[1:] == noted[1:2] * 4


def test_what_comes_after_an_origin_changes_nothing_there(rolled, ds):
    one = ds.isel(run=0, drop=True)
    other = one.copy(deep=True)
    other["y"][37:], other["s"][37:] = 9.0 + one["y"][37:], -5.0
    again = tried(other, start=one["time"].values[30], every=3, refit=True)
    was, now = predicted(rolled[0])["y"], predicted(again)["y"]
    np.testing.assert_array_equal(was[:, :, :3], now[:, :, :3])
    assert (np.abs(was - now)[:, :, 3:].mean(("chain", "draw")) > 0.1).all()


@pytest.mark.slow
def test_it_is_what_a_fit_to_the_past_forecasts(rolled, ds):
    one = ds.isel(run=0, drop=True)
    post = assim.infer(model(), one.isel(time=slice(0, 40)), METHOD, key=KEY, pointwise=0)
    fc = assim.forecast(post, one, 3, key=KEY, origins=[one["time"].values[39]])
    rolls, plain = (
        t["predictions"]["y"].sel(init_time=one["time"].values[39]) for t in (rolled[0], fc)
    )
    spread = plain.std(("chain", "draw"))
    off = (rolls - plain.mean(("chain", "draw"))).mean(("chain", "draw"))
    assert (np.abs(off) < 4 * spread * np.sqrt(2 / DRAWS)).all()
    np.testing.assert_allclose(rolls.std(("chain", "draw")) / spread, 1, atol=0.35)


def test_one_fit_serves_all_origins_or_every_so_many(ds):
    one, times = ds.isel(run=0, drop=True), ds["time"].values
    once = predicted(tried(one, Prior(DRAWS), start=times[36]))
    assert once["fit"].values.tolist() == [0, 0, 0]
    assert (once["trained_until"] == times[36]).all() and (once["trained_from"] == times[0]).all()
    slid = predicted(tried(one, Prior(DRAWS), start=times[30], refit=3, window="1s"))
    assert slid["fit"].values.tolist() == [0, 0, 0, 1, 1]
    np.testing.assert_array_equal(slid["trained_until"], times[[30, 30, 30, 39, 39]])
    assert (slid["trained_until"] - slid["trained_from"] == 19 * STEP).all()


def test_each_run_is_forecast_by_a_fit_without_it(folded, ds):
    found = predicted(folded["s"])
    assert found["y"].dims == ("chain", "draw", "run", "init_time", "lead_time")
    np.testing.assert_array_equal(found["run"], ds["run"])
    np.testing.assert_array_equal(found["init_time"], ds["time"].values[1:45:3])
    assert np.bincount(found["fit"]).tolist() == [2, 2, 2]
    for run, fit, without in zip(
        *(found[k].values for k in ("run", "fit", "trained_without")), strict=True
    ):
        fold = found["run"].values[found["fit"].values == fit]
        assert without == ", ".join(fold) and run in fold


def test_a_run_tells_the_others_and_not_itself(folded, ds):
    other = ds.copy(deep=True)
    fold = predicted(folded["s"])["fit"].values
    run = int(np.flatnonzero(fold == 1)[0])
    other["y"][run, 25:] = 4.0 + ds["y"][run, 25:]
    was, now = (predicted(t)["y"] for t in (folded["s"], tried(other, by="run", folds=3)))
    same = (was == now).all(("chain", "draw", "lead_time")).values
    early = (np.arange(1, 45, 3) < 25)[None]
    np.testing.assert_array_equal(
        same, (fold == 1)[:, None] & (early | (np.arange(RUNS) != run)[:, None])
    )


def test_sensor_subsets_are_ranked_by_folds_of_runs(folded, ds):
    elpds = assim.elpds(folded, truth=ds, lead_time="50ms")
    ranked = az.compare(elpds)
    assert list(ranked.index) == ["s", "z"]
    assert elpds["s"].elpd - elpds["z"].elpd > 20
    assert elpds["s"].n_data_points == RUNS * 15
    assert elpds["s"].elpd_i.attrs["block_scoring"] == folded["s"].attrs["block_scoring"]
    assert folded["s"].attrs["block_scoring"].startswith("simulated paths, each lead by itself")
    crps = assim.compare(folded, ds)["crps"].sel(variable="y", lead_time=STEP)
    assert float(crps.sel(model="s")) < 0.7 * float(crps.sel(model="z"))
    assert assim.verify(folded["s"], ds)["observed_data"].sizes["obs_id"] == RUNS * 15 * 3
    chance = assim.exceedance(folded["s"], "y", 0.5)
    assert chance.dims == ("run", "init_time", "lead_time")


def test_its_windows_do_not_overlap_and_calibrate_its_intervals(folded, ds):
    q = assim.conformal(folded["s"], ds, (0.8,))
    assert q.attrs["thinned"] == 0 and (q["y_n"] == RUNS * 15).all()
    bands = assim.intervals(folded["s"], (0.8,), q)["y"].sel(level=0.8)
    seen = ds["y"].sel(time=folded["s"]["predictions"]["valid_time"]).drop_vars("time")
    inside = (bands.sel(bound="lower") <= seen) & (seen <= bands.sel(bound="upper"))
    np.testing.assert_allclose(inside.sum(("run", "init_time")), np.ceil(91 * 0.8), atol=1)


def test_it_survives_a_file(folded, tmp_path):
    folded["s"].to_netcdf(tmp_path / "b.nc", engine="h5netcdf")
    with xr.open_datatree(tmp_path / "b.nc", engine="h5netcdf") as back:
        for group in ("predictions", "left_out"):
            xr.testing.assert_equal(back[group].to_dataset(), folded["s"][group].to_dataset())


def test_rolling_fits_are_held_against_what_they_saw(rolled, ds):
    one = ds.isel(run=0, drop=True)
    assert assim.elpds({"a": rolled[0]}, one)["a"].n_data_points == 15
    tree = rolled[0].copy()
    late = predicted(tree)["trained_until"] + STEP
    tree["predictions"] = xr.DataTree(predicted(tree).assign_coords(trained_until=late))
    with pytest.raises(ValueError, match="5 of its 5 forecasts reach into that"):
        assim.elpds({"a": tree}, one)


def test_runs_that_begin_late_or_end_early_are_told_of(ds):
    ragged = ds.copy(deep=True)
    for name in ("y", "s"):
        ragged[name][0, 20:], ragged[name][1, :10], ragged[name][3, 2:] = np.nan, np.nan, np.nan
    tree = tried(ragged, Prior(DRAWS), by="run", folds=3)
    told, y = reasons(tree), predicted(tree)["y"]
    rows = np.arange(1, 45, 3)
    none, some = (
        getattr(y.isnull(), k)(("chain", "draw", "lead_time")).values for k in ("all", "any")
    )
    np.testing.assert_array_equal(none, some)
    lost = {(f"run{run}", int(rows[origin])) for run, origin in np.argwhere(none)}
    assert lost == {cell for cell in told if cell[1] < 46}
    end = "the horizon ends after the last target reading, at 2020-01-01T00:00:00.950"
    assert told["run0", 19] == end and ("run0", 16) not in told
    assert told["run1", 7] == "the run begins at 2020-01-01T00:00:00.500"
    assert ("run1", 10) not in told
    assert told["run3", 1] == "the horizon is longer than the run, which lasts 0.05 s"


def test_centuries_have_origins_from_their_middle_to_their_end():
    years = np.arange("1700", "2010", dtype="datetime64[Y]").astype("datetime64[ns]")
    needs = model().needs()
    ds = xr.Dataset({n: ("time", np.arange(310.0)) for n in "ys"}, {"time": years})
    asked = asked_in_time(frame_of(ds, needs.selection()), needs, 3, None, 1)
    assert stamp(years[asked.rows[0]])[:4] == "1855" and asked.lacking == 2


def test_a_plan_that_ends_is_told_of_where_the_model_reads_it(ds):
    short = ds.copy(deep=True)
    short["u"][2, 30:] = np.nan
    frame = frame_of(short, model(controls="u").needs().selection())
    for direct, last in ((None, 26), (Direct(5), 24)):
        needs = model(controls="u", decoding=direct).needs()
        asked = asked_by_run(frame, needs, 3, None, 1, short)
        rows = asked.rows[asked.kept[2]]
        assert rows[-1] == last and asked.kept[[0, 1, 3], : last + 1].all()
        end = stamp(frame.times[last + 1 + asked.ahead])
        words = f"the record does not give the controls u from 2020-01-01T00:00:01.500 to {end}"
        assert asked.reasons[2, last] == words


def test_a_fit_that_goes_astray_leaves_the_others(ds, monkeypatch):
    method, starts, times = Astray([]), [], ds["time"].values

    def begun(problem, names, *, key):
        starts.append(jax.random.key_data(key).tolist())

    monkeypatch.setattr(refitting, "begun_at_centre", begun)
    tree = tried(ds.isel(run=0, drop=True), method, start=times[36], refit=True)
    np.testing.assert_array_equal(tree["predictions"]["init_time"], times[[36, 42]])
    assert reasons(tree)["", 39] == "no fit: The loss stopped being finite: try another seed"
    assert len(starts) == len(method.keys) == 3
    assert not any(a == b for a, b in zip(starts, method.keys, strict=True))


def test_origins_before_there_is_enough_to_learn_from_are_told_of(ds):
    tree = tried(
        ds.isel(run=0, drop=True), Prior(DRAWS), start=ds["time"].values[6], every=6, refit=True
    )
    assert (
        reasons(tree)["", 6] == "no fit: 5 usable windows to learn from, and at least 10 are needed"
    )
    assert predicted(tree).sizes["init_time"] == 6


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"by": "station"}, "by='station' is unknown: choose 'time' or 'run'"),
        ({"by": "run", "refit": True}, "refit=True are of fits that roll on"),
        ({"by": "run", "folds": 7}, "folds=7 of 6 runs: give from 2 to 6"),
        ({"refit": 0}, "refit=0 is no number of origins"),
        (
            {"horizon": "30s"},
            "A horizon of 30 s is longer than the longest run, which lasts 2.35 s",
        ),
        ({"horizon": "now"}, "horizon='now' is not a duration"),
        ({"start": "2021"}, "No origin lies between start=2021 and the end of the record"),
        (
            {"start": "2020-01-01"},
            "None of the 16 origins .* of the first: no fit: 'y' is constant",
        ),
    ],
)
def test_what_cannot_be_tested_is_refused_in_a_sentence(ds, settings, said):
    with pytest.raises(ValueError, match=said) as caught:
        tried(
            ds if "by" in settings or "horizon" in settings else ds.isel(run=0, drop=True),
            Prior(4),
            **settings,
        )
    assert "\n" not in str(caught.value)


def test_no_runs_no_windows_and_more_leads_than_a_model_has_are_refused(ds):
    one = ds.isel(run=0, drop=True)
    with pytest.raises(ValueError, match="has no runs to tell apart"):
        tried(one, Prior(4), by="run")
    with pytest.raises(ValueError, match="fitted for 2 leads and 3 are asked for"):
        assim.backtest(model(decoding=Direct(2)), one, Prior(4), 3, key=KEY)
    with pytest.raises(TypeError, match="told by fields on a grid"):
        assim.backtest(FieldPersistence(), one, None, 3, key=KEY)
    with pytest.raises(TypeError, match="jax.random.key"):
        assim.backtest(model(), one, Prior(4), 3, key=0)
