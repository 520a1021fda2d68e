"""Monthly fields: leads are calendar months, and every verb knows when they end."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import assim
from assim import filters, inference, models
from assim.statespace import Span
from tests.test_field_forecasts import flow, quiet, systems
from tests.test_fields import front, readings

DAY = 86_400.0
LATER = np.datetime64("2004-10", "M")


def monthly(ds, begin):
    months = begin + np.arange(ds.sizes["time"])
    return ds.assign_coords(time=months.astype("datetime64[ns]"))


@pytest.fixture(scope="module")
def post():
    """Two operators of the prior for a record on the first of every month, without noise."""
    model = models.SemilinearOperator(modes=4, width=4, layers=1, substeps=1, error=0.3)
    train = monthly(front(36, 2, key=jax.random.key(1)), np.datetime64("2001-01", "M"))
    return quiet(assim.infer(model, train, inference.Prior(2), key=jax.random.key(0)))


@pytest.fixture
def truth(key):
    return monthly(front(12, key=key), LATER)


def test_leads_end_on_the_calendar_and_steps_are_as_long_as_months(post, truth, key):
    told = assim.forecast(post, truth, 4, key=key, num_draws=2)["predictions"]
    np.testing.assert_array_equal(told["init_time"], truth["time"].values[[3, 7, 11]])
    wanted = LATER + np.array([[3], [7], [11]]) + np.arange(1, 5)
    np.testing.assert_array_equal(told["valid_time"], wanted.astype("datetime64[ns]"))
    first = told["valid_time"][0].values - told["init_time"][0].values
    np.testing.assert_array_equal(told["lead_time"], first)
    assert told["lead_time"].attrs["step_months"] == 1
    assert "first init_time" in told["lead_time"].attrs["comment"]
    ssm = systems(post)[1]
    for origin, days in ((0, (31, 28, 31, 30)), (1, (31, 30, 31, 31)), (2, (30, 31, 30, 31))):
        x = truth["h"].sel(time=told["init_time"][origin]).values.astype(np.float32)
        for lead, length in enumerate(days):
            x = flow(ssm, x, Span(jnp.asarray(length * DAY), jnp.zeros(0)))
            np.testing.assert_allclose(told["h"][0, 1, origin, lead], x, atol=2e-4)
    x = truth["h"].values[4].astype(np.float32)
    short, long = (flow(ssm, x, Span(jnp.asarray(d * DAY), jnp.zeros(0))) for d in (28, 31))
    assert float(jnp.abs(short - long).max()) > 2e-3  # so that the test can fail


@pytest.mark.parametrize(
    ("asked", "leads"),
    [
        *((3, 3), ("92D", 3), ("89D", 3), ("31D", 1), ("28D", 1)),
        pytest.param("365D", 12, marks=pytest.mark.slow),
    ],
)
def test_horizons_are_steps_or_durations(asked, leads, post, truth, key):
    told = assim.forecast(post, truth, asked, key=key, origins="last", num_draws=1)
    assert told["predictions"].sizes["lead_time"] == leads
    assert told.attrs["horizon"] == ("1 month" if leads == 1 else f"{leads} months")


def test_what_is_shorter_than_a_month_or_off_its_clock_is_said(post, truth, key):
    with pytest.raises(ValueError, match="'27D' is shorter than one step of 1 month"):
        assim.forecast(post, truth, "27D", key=key)
    with pytest.raises(ValueError, match="every 1 month"):
        assim.forecast(post, truth, 1, key=key, origins=["2005-01-15"])


@pytest.mark.slow
def test_an_analysis_of_one_month_rolls_on_by_months(post, truth, key):
    read = readings(truth.isel(time=slice(0, 5)), key=key)
    first = assim.assimilate(post, read.isel(time=slice(0, 4)), filters.ETKF(6), key=key)
    last = assim.assimilate(post, read.isel(time=[4]), filters.ETKF(6), key=key, resume=first)
    told = assim.forecast(post, last, 2, key=key, origins="last")["predictions"]
    np.testing.assert_array_equal(told["valid_time"][0], truth["time"].values[5:7])


@pytest.mark.slow
def test_scores_pairs_and_flat_files_know_when_a_lead_ends(post, truth, tmp_path, key):
    early = assim.forecast(post, truth, 2, key=key, origins=truth["time"].values[[2, 4]])
    late = assim.forecast(post, truth, 2, key=key, origins=truth["time"].values[[4, 6]])
    assert list(early["predictions"]["lead_time"].values) != list(
        late["predictions"]["lead_time"].values
    )
    early.to_netcdf(tmp_path / "early.nc")
    from assim.tree import read_tree

    early = read_tree(tmp_path / "early.nc")
    pairs = assim.verify(early, truth)
    seen = pairs["observed_data"]["y"]
    assert seen.size == 4 * 32
    (month,) = np.unique(assim.verify(early, truth, lead_time="28D")["observed_data"]["lead_time"])
    assert month == early["predictions"]["lead_time"][0]
    for cell in (0, 40, 127):
        at = {"time": seen["time"][cell], "x": seen["x"][cell]}
        assert float(seen[cell]) == pytest.approx(float(truth["h"].sel(at)), rel=1e-6)
    table = assim.compare({"early": early, "late": late}, truth=truth)
    assert table.sizes["lead_time"] == 2 and int(table["n"].sum()) == 64
    for name, tree in (("early", early), ("late", late)):
        wanted = tree["log_score"]["h"].sel(init_time=truth["time"].values[4]).mean("x")
        np.testing.assert_allclose(
            table["log_score"].sel(model=name, variable="h"), wanted, rtol=1e-5
        )
    assim.to_cf(early, tmp_path / "flat.nc")
    with xr.open_dataset(tmp_path / "flat.nc", engine="h5netcdf") as flat:
        np.testing.assert_array_equal(flat["time"].values.T, early["predictions"]["valid_time"])


def test_leads_of_two_clocks_are_not_compared(post, truth, key):
    told = assim.forecast(post, truth, 2, key=key, origins=truth["time"].values[[3, 6]])
    equal = told.copy()
    flat = told["predictions"].to_dataset()
    lead = flat["lead_time"].values
    valid = flat["init_time"].values[:, None] + lead
    equal["predictions"] = flat.assign_coords(
        lead_time=lead, valid_time=(("init_time", "lead_time"), valid)
    )
    with pytest.raises(ValueError, match="one is counted in calendar months"):
        assim.compare({"months": told, "equal": equal}, truth=truth)
