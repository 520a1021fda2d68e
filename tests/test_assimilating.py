"""`assimilate`: systems, fits and priors; gaps, resumption, stores, labels, and sentences where it cannot be."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
import xarray as xr

import assim
from assim import inference
from assim.assimilation.telling import stretch
from assim.filters import ETKF, LETKF, EnKF, EnKS, ExtendedKalman, Kalman, Particle, Straight
from assim.filters.base import Cycle, Dynamics, Told, run
from assim.models import Autoregressive, FixedNormal, Mechanistic
from assim.statespace import Span
from assim.systems import LinearGaussian, Lorenz63, Lorenz96, OrnsteinUhlenbeck
from tests.test_forecasting import mast

KEY = jax.random.key(0)
SMALL = Lorenz96(size=8)


@pytest.fixture(scope="module")
def twin():
    """Truth and readings of a small ring, some of them missing, and one time without any."""
    truth, observed = assim.twin_experiment(SMALL, (0.05, 70), key=KEY, missing=0.3)
    observed["x"][20] = np.nan
    return truth, observed


@pytest.fixture(scope="module")
def whole(twin):
    return assim.assimilate(SMALL, twin[1], ETKF(10, 1.02), key=KEY)


@pytest.fixture(scope="module")
def record():
    return mast()


@pytest.fixture(scope="module")
def fit(record):
    model = Autoregressive(lags=2, hidden=(), calendar=(), noise=FixedNormal())
    return assim.infer(
        model,
        record.isel(time=slice(0, 400)),
        inference.EnsembleMAP(8, 100, learning_rate=5e-2),
        key=KEY,
    )


def test_what_is_told_has_labels_and_units(twin, whole):
    truth, observed = twin
    assert set(whole.children) == {
        "background",
        "analysis",
        "innovation",
        "observed_data",
        "belief",
    }
    for group in ("background", "analysis"):
        held = whole[group].to_dataset()
        assert held["x"].dims == ("chain", "draw", "time", "place")
        assert held["x"].sizes == {"chain": 1, "draw": 10, "time": 70, "place": 8}
        np.testing.assert_array_equal(held["time"], observed["time"])
        np.testing.assert_array_equal(held["place"], truth["place"])
        np.testing.assert_allclose(held["x"].mean(("chain", "draw")), held["x_mean"], atol=1e-5)
        np.testing.assert_allclose(
            held["x"].std(("chain", "draw"), ddof=1), held["x_sd"], atol=1e-5
        )
    told = whole["innovation"].to_dataset()
    read = np.isfinite(observed["x"].values)
    for suffix in ("", "_sd", "_log_score", "_after"):
        np.testing.assert_array_equal(np.isfinite(told[f"x{suffix}"]), read)
    before = whole["background"]["x_mean"].values
    after = whole["analysis"]["x_mean"].values
    np.testing.assert_allclose(
        told["x"].values[read], (observed["x"].values - before)[read], atol=2e-5
    )
    np.testing.assert_allclose(
        told["x_after"].values[read], (observed["x"].values - after)[read], atol=2e-5
    )
    score = dist.Normal(before, told["x_sd"].fillna(1.0).values).log_prob(
        observed["x"].fillna(0.0).values
    )
    np.testing.assert_allclose(told["x_log_score"].values[read], np.asarray(score)[read], atol=1e-4)


def test_a_time_without_readings_changes_nothing(whole):
    before, after = (whole[g]["x"].values[:, :, 20] for g in ("background", "analysis"))
    np.testing.assert_array_equal(before, after)
    assert np.isnan(whole["innovation"]["normalised"].values[20])


def test_it_is_the_filter_on_arrays(x64):
    """Irregular times, gaps: what `run` gives, with labels."""
    ou = OrnsteinUhlenbeck(
        *(jnp.asarray(v) for v in ([0.5, 1.0], [1.0, 2.0], [3.0, 9.0], [0.3, 0.4]))
    )
    rng = np.random.default_rng(0)
    seconds = np.cumsum(rng.uniform(0.2, 2.0, 15))
    times = np.datetime64("2000-01-01", "ns") + (seconds * 1e9).astype("timedelta64[ns]")
    y = np.where(rng.random((15, 2)) < 0.7, rng.normal(size=(15, 2)), np.nan)
    sd = rng.uniform(0.0, 0.3, (15, 2))
    ds = xr.Dataset({"x0": ("time", y[:, 0]), "x1": ("time", y[:, 1])}, {"time": times})
    ds = ds.assign(x0_sd=("time", sd[:, 0]), x1_sd=("time", sd[:, 1]))
    found = assim.assimilate(ou, ds, Kalman(), key=KEY, since="2000-01-01")
    spans = np.diff(np.concatenate([[0.0], seconds]))
    mask = np.isfinite(y)
    cycles = Cycle(
        Span(jnp.asarray(spans), jnp.zeros((15, 0))),
        jnp.asarray(np.where(mask, y, 0.0)),
        jnp.asarray(mask),
        jnp.asarray(np.where(mask, sd, 0.0)),
    )
    belief = Kalman().start(Dynamics(ou), ou.init(), key=KEY)
    told = run(Kalman(), Dynamics(ou), belief, cycles, key=KEY, keep=Told)[1]
    for i, name in enumerate(("x0", "x1")):
        mean, spread = told.analysis.mean[:, i], jnp.sqrt((told.analysis.root**2).sum(-1))[:, i]
        np.testing.assert_allclose(found["analysis"][f"{name}_mean"], mean, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(found["analysis"][f"{name}_sd"], spread, rtol=1e-7)
        assert found["analysis"][name].sizes["draw"] == 100


@pytest.mark.filterwarnings("ignore:Particle lost the state")
@pytest.mark.parametrize(
    "chosen",
    [
        LETKF(6, 2.0, Straight((8.0,)), 1.05, True),
        Particle(30),
        pytest.param(ETKF(10, 1.02, True), marks=pytest.mark.slow),
        pytest.param(EnKF(10), marks=pytest.mark.slow),
    ],
    ids=["LETKF", "Particle", "ETKF", "EnKF"],
)
def test_to_go_on_is_to_have_gone_on(twin, chosen):
    """Bit for bit, wherever the record is cut; the rest may come with what went before."""
    _, observed = twin
    whole = assim.assimilate(SMALL, observed, chosen, key=KEY)
    first = assim.assimilate(SMALL, observed.isel(time=slice(0, 33)), chosen, key=KEY)
    for rest in (observed.isel(time=slice(33, None)), observed):
        second = assim.assimilate(SMALL, rest, chosen, key=KEY, resume=first)
        for group in ("background", "analysis"):
            expected = whole[group].to_dataset().isel(time=slice(33, None))
            xr.testing.assert_identical(second[group].to_dataset(), expected)
        xr.testing.assert_identical(second["belief"].to_dataset(), whole["belief"].to_dataset())
        expected = whole["innovation"].to_dataset().isel(time=slice(33, None))
        xr.testing.assert_identical(second["innovation"].to_dataset(), expected)


def test_one_cycle_more_is_as_good_as_many(twin, whole):
    _, observed = twin
    first = assim.assimilate(SMALL, observed.isel(time=slice(0, 69)), ETKF(10, 1.02), key=KEY)
    last = assim.assimilate(SMALL, observed, ETKF(10, 1.02), key=KEY, resume=first)
    np.testing.assert_array_equal(last["analysis"]["x"], whole["analysis"]["x"][:, :, 69:])


def test_other_sensors_are_not_gone_on_with(twin, whole):
    fewer = twin[1].isel(sensor=slice(0, 5))
    first = assim.assimilate(SMALL, fewer.isel(time=slice(0, 9)), ETKF(10, 1.02), key=KEY)
    with pytest.raises(ValueError, match="other sensors"):
        assim.assimilate(SMALL, twin[1], ETKF(10, 1.02), key=KEY, resume=first)


def test_a_resume_survives_the_disk(twin, whole, tmp_path):
    _, observed = twin
    first = assim.assimilate(SMALL, observed.isel(time=slice(0, 33)), ETKF(10, 1.02), key=KEY)
    first.to_netcdf(tmp_path / "first.nc")
    again = xr.open_datatree(tmp_path / "first.nc")
    second = assim.assimilate(SMALL, observed, ETKF(10, 1.02), key=KEY, resume=again)
    np.testing.assert_array_equal(second["analysis"]["x"], whole["analysis"]["x"][:, :, 33:])


def test_a_store_holds_what_memory_would(twin, whole, tmp_path, monkeypatch):
    monkeypatch.setattr("assim.assimilating.CYCLES", 16)
    lazy = assim.assimilate(SMALL, twin[1], ETKF(10, 1.02), key=KEY, to=tmp_path / "an.zarr")
    for group in whole.children:
        for name, held in whole[group].to_dataset().data_vars.items():
            np.testing.assert_array_equal(lazy[group][name].values, held.values)


def test_irregular_times_survive_a_store(tmp_path, monkeypatch):
    monkeypatch.setattr("assim.assimilating.CYCLES", 4)
    ou = OrnsteinUhlenbeck(*(jnp.asarray([v]) for v in (0.0, 1.0, 3.0, 0.3)))
    hours = np.array([1.0, 2.0, 3.0, 4.0, 4.5, 5.25, 5.2501, 9.0])
    times = np.datetime64("2000-01-01", "ns") + (hours * 3.6e12).astype("timedelta64[ns]")
    ds = xr.Dataset({"x0": ("time", np.ones(8))}, {"time": times})
    found = assim.assimilate(ou, ds, EnKF(5), key=KEY, to=tmp_path / "an.zarr")
    np.testing.assert_array_equal(found["analysis"]["time"].values, times)


def test_members_are_thinned(twin, whole):
    few = assim.assimilate(SMALL, twin[1], ETKF(10, 1.02), key=KEY, members=4)
    none = assim.assimilate(SMALL, twin[1], ETKF(10, 1.02), key=KEY, members=0)
    assert few["analysis"].sizes["draw"] == 4
    assert set(none["analysis"].data_vars) == {"x_mean", "x_sd"}
    np.testing.assert_array_equal(few["analysis"]["x_mean"], whole["analysis"]["x_mean"])
    np.testing.assert_array_equal(none["analysis"]["x_sd"], whole["analysis"]["x_sd"])


def test_nothing_is_traced_again(twin):
    """Neither for the same record nor for another of other values and about the same length."""
    _, observed = twin
    assim.assimilate(SMALL, observed, ETKF(10, 1.02), key=KEY)
    with jax.log_compiles(False):
        before = stretch._cached._cache_size()
        assim.assimilate(SMALL, observed, ETKF(10, 1.02), key=jax.random.key(5))
        assim.assimilate(SMALL, observed.isel(time=slice(0, 66)) * 1.1, ETKF(10, 1.02), key=KEY)
    assert stretch._cached._cache_size() == before


def test_sensors_may_stay_or_move():
    """A few fixed ones see what the filter then knows better than the rest; moving ones see all of it in time."""
    fixed = np.array([0.0, 2.5, 4.0])
    truth, observed = assim.twin_experiment(SMALL, (0.05, 40), key=KEY, sensors=fixed)
    chosen = LETKF(8, 2.0, Straight((8.0,)), 1.05)
    found = assim.assimilate(SMALL, observed, chosen, key=KEY)
    assert found["innovation"]["x"].sizes == {"time": 40, "sensor": 3}
    moving = (fixed + 0.1 * np.arange(40)[:, None]) % 8
    truth, observed = assim.twin_experiment(SMALL, (0.05, 40), key=KEY, sensors=moving)
    found = assim.assimilate(SMALL, observed, chosen, key=KEY)
    assert np.isfinite(found["analysis"]["x"]).all()
    spoilt = observed.copy(deep=True)
    spoilt["position_0"][:] = (spoilt["position_0"] + 4.0) % 8
    other = assim.assimilate(SMALL, spoilt, chosen, key=KEY)
    assert not np.allclose(other["analysis"]["x_mean"], found["analysis"]["x_mean"])


def test_a_fit_assimilates_in_file_units(fit, record):
    """Draws are members; a gap widens the interval until the sensor is back; bounds and circles are kept."""
    ds = record.isel(time=slice(400, 480)).copy(deep=True)
    ds["t"][30:50] = np.nan
    found = assim.assimilate(fit, ds, ETKF(40), key=KEY)
    after = found["analysis"].to_dataset()
    assert after["t"].attrs["units"] == "degC"
    np.testing.assert_array_equal(after["time"], ds["time"])
    inside, outside = after["t_sd"].values[49], after["t_sd"].values[29]
    assert inside > 5 * outside and after["t_sd"].values[51] < 2 * outside
    seen = np.isfinite(ds["t"].values)
    np.testing.assert_allclose(after["t_mean"].values[seen], ds["t"].values[seen], atol=0.5)
    assert (after["w"] >= 0).all() and (after["h"] <= 100 + 1e-3).all()
    assert (after["d"] >= 0).all() and (after["d"] < 360).all()
    apart = (after["d_mean"] - ds["d"] + 180) % 360 - 180
    assert float(abs(apart).max()) < 10
    expected = float(found["innovation"]["t_sd"].mean())
    assert 0.75 < expected < 1.3  # the noise of a step is 1


def test_a_restored_fit_serves_as_well(fit, record):
    """As one of a class of your own has to be given."""
    ds = record.isel(time=slice(400, 410))
    one, other = (assim.assimilate(m, ds, EnKF(20), key=KEY) for m in (fit, assim.restore(fit)))
    np.testing.assert_array_equal(one["analysis"]["t"], other["analysis"]["t"])


def test_a_record_in_other_units_goes_on_from_the_training_record(fit, record):
    ds = record.isel(time=slice(400, 412))
    warm = ds.assign(t=(ds["t"] + 273.15).assign_attrs(ds["t"].attrs | {"units": "K"}))
    one, other = (assim.assimilate(fit, d, EnKF(40), key=KEY)["background"] for d in (ds, warm))
    np.testing.assert_allclose(other["t_mean"], one["t_mean"], atol=2e-2)


def test_a_fit_goes_on_after_a_gap(fit, record):
    """The rows that no file holds are cycles without readings."""
    ds = record.isel(time=slice(400, 480)).copy(deep=True)
    for name in ds.data_vars:
        ds[name][30:36] = np.nan
    whole = assim.assimilate(fit, ds, EnKF(40), key=KEY)
    first = assim.assimilate(fit, ds.isel(time=slice(0, 30)), EnKF(40), key=KEY)
    rest = ds.isel(time=slice(36, None))
    second = assim.assimilate(fit, rest, EnKF(40), key=KEY, resume=first)
    np.testing.assert_array_equal(
        second["analysis"]["t"].values[:, :, -44:], whole["analysis"]["t"].values[:, :, 36:]
    )


def test_a_filter_that_loses_the_state_says_so():
    truth, observed = assim.twin_experiment(Lorenz63(), (0.25, 120), key=KEY)
    with pytest.warns(UserWarning, match="ETKF lost the state by 2000-01-01.*more inflation"):
        found = assim.assimilate(Lorenz63(), observed, ETKF(3, 0.5), key=KEY)
    assert found["innovation"]["lost"].values.sum() > 20
    assert found["innovation"]["lost"].values[0] == 0
    half = observed.isel(time=slice(0, 100))
    with pytest.warns(UserWarning, match="lost the state"):
        first = assim.assimilate(Lorenz63(), half, ETKF(3, 0.5), key=KEY)
    with pytest.warns(UserWarning, match="lost the state"):
        second = assim.assimilate(Lorenz63(), observed, ETKF(3, 0.5), key=KEY, resume=first)
    np.testing.assert_array_equal(second["innovation"]["lost"], found["innovation"]["lost"][100:])


def test_numbers_that_are_none_are_told():
    _, observed = assim.twin_experiment(SMALL, (0.05, 30), key=KEY)
    wild = Lorenz96(size=8, forcing=1e6)
    with pytest.warns(UserWarning, match="came to values that are no numbers"):
        found = assim.assimilate(wild, observed, ETKF(5), key=KEY)
    assert found["innovation"]["lost"].values[-1] == 1


MISTAKES = {
    "no such variable": (lambda ds: ds.rename(x="y"), {}, "has no variable 'x'"),
    "sensors": (
        lambda ds: ds.drop_vars("position_0").isel(sensor=slice(0, 3)),
        {},
        "3 channels .* through 8",
    ),
    "a position": (
        lambda ds: ds.assign(position_0=ds["position_0"].where(ds["sensor"] > 0) + 0.5),
        {},
        "no position",
    ),
    "no time": (lambda ds: ds.isel(time=slice(0, 0)), {}, "no time at all"),
    "no clock": (lambda ds: ds.rename(time="when"), {}, "no clock"),
    "backwards": (lambda ds: ds.isel(time=slice(None, None, -1)), {}, "do not increase"),
    "too early": (lambda ds: ds, {"since": "2000-01-02"}, "the state is of 2000-01-02"),
    "parameters": (lambda ds: ds, {"update": "forcing"}, "no unknown parameters"),
    "members": (lambda ds: ds, {"members": -1}, "members=-1"),
    "a resume": (lambda ds: ds, {"resume": xr.DataTree()}, "no assimilation"),
    "errors": (lambda ds: ds.assign(x_sd=-1.0 + 0 * ds["x"]), {}, "negative or infinite"),
}


@pytest.mark.parametrize("which", MISTAKES)
def test_mistakes_are_sentences(twin, which):
    change, more, words = MISTAKES[which]
    with pytest.raises(ValueError, match=words):
        assim.assimilate(SMALL, change(twin[1]), ETKF(10), key=KEY, **more)


@pytest.mark.parametrize(
    ("chosen", "words"),
    [("etkf", "no filter"), (ETKF, "ETKF is no filter"), (EnKS(20), "EnKS is a smoother")],
)
def test_what_is_no_filter_is_named(twin, chosen, words):
    with pytest.raises(TypeError, match=words):
        assim.assimilate(SMALL, twin[1], chosen, key=KEY)


def test_kinds_are_looked_at(fit, record, twin, whole):
    with pytest.raises(TypeError, match="Dataset"):
        assim.assimilate(SMALL, twin[1]["x"], ETKF(10), key=KEY)
    with pytest.raises(ValueError, match=r"no 'time' dimension.*assim.open_dataset"):
        assim.assimilate(fit, record.rename(time="TIME"), ETKF(5), key=KEY)
    with pytest.raises(TypeError, match="whole number"):
        assim.assimilate(SMALL, twin[1], ETKF(10), key=KEY, members=1.5)
    with pytest.raises(ValueError, match="is no time"):
        assim.assimilate(SMALL, twin[1], ETKF(10), key=KEY, since="NaT")
    with pytest.raises(ValueError, match="of known systems"):
        assim.assimilate(fit, record, ETKF(10), key=KEY, since="2020-01-01")
    with pytest.raises(ValueError, match="both tell the time"):
        more = {"since": "2000-01-01", "resume": whole}
        assim.assimilate(SMALL, twin[1], ETKF(10, 1.02), key=KEY, **more)
    with pytest.raises(ValueError, match="2 coordinates"):
        flat = LETKF(6, 2.0, Straight((8.0, 8.0)))
        assim.assimilate(SMALL, twin[1], flat, key=KEY)


def test_readings_without_an_error_are_refused(twin):
    with pytest.raises(ValueError, match="error of variance 0 by Lorenz96"):
        assim.assimilate(Lorenz96(size=8, error=0.0), twin[1], ETKF(10), key=KEY)
    known = twin[1].assign(x_sd=1.0 + 0 * twin[1]["x"])
    assim.assimilate(Lorenz96(size=8, error=0.0), known, ETKF(10), key=KEY)
    one, two = jnp.eye(1), jnp.ones((2, 1))
    tied = LinearGaussian(-one, one, two, jnp.array([[1.0, 0.0], [1.0, 0.0]]), jnp.zeros(1), one)
    times = np.datetime64("2000-01-01", "ns") + np.arange(1, 4) * np.timedelta64(1, "s")
    ds = xr.Dataset({n: ("time", np.zeros(3)) for n in ("y0", "y1")}, {"time": times})
    with pytest.raises(ValueError, match="not positive definite"):
        assim.assimilate(tied, ds, Kalman(), key=KEY)


def test_mistakes_with_fits_are_sentences(fit, record, twin, whole):
    ds = record.isel(time=slice(400, 420))
    with pytest.raises(TypeError, match="random key"):
        assim.assimilate(fit, ds, ETKF(10), key=0)
    with pytest.raises(TypeError, match="without members"):
        assim.assimilate(fit, ds, Kalman(), key=KEY)
    with pytest.raises(ValueError, match="does not have; it has"):
        assim.assimilate(fit, ds, ETKF(10), key=KEY, update="forcing")
    with pytest.raises(ValueError, match="parameters and the filter has 5 members"):
        assim.assimilate(fit, ds, ETKF(5), key=KEY, update="both")
    with pytest.raises(TypeError, match="not fitted yet"):
        assim.assimilate(Autoregressive(), ds, ETKF(5), key=KEY)
    with pytest.raises(ValueError, match="another filter"):
        assim.assimilate(SMALL, twin[1], ETKF(12), key=KEY, resume=whole)
    with pytest.raises(ValueError, match="another key"):
        assim.assimilate(SMALL, twin[1], ETKF(10, 1.02), key=jax.random.key(1), resume=whole)
    with pytest.raises(ValueError, match="record ends at"):
        assim.assimilate(SMALL, twin[1], ETKF(10, 1.02), key=KEY, resume=whole)
    with pytest.raises(TypeError, match="Kalman is exact"):
        assim.assimilate(SMALL, twin[1], Kalman(), key=KEY)
    with pytest.raises(ValueError, match="places|coordinates"):
        assim.assimilate(fit, ds, LETKF(10), key=KEY)
    with pytest.raises(TypeError, match="cannot correct parameters alone"):
        unknown = Mechanistic(SMALL, {"forcing": dist.Normal(8.0, 1.0)})
        assim.assimilate(unknown, twin[1], Particle(20), key=KEY, update="parameters")
    with pytest.raises(TypeError, match="carries no draws"):
        unknown = Mechanistic(SMALL, {"forcing": dist.Normal(8.0, 1.0)})
        assim.assimilate(unknown, twin[1], ExtendedKalman(), key=KEY)
