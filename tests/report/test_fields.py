"""Fields in a report: maps and strips in time in the place of fans, spectra, and how long a forecast is of use."""

import re

import numpy as np
import pytest
import xarray as xr

from assim import plotting, scoring
from assim.report import report
from assim.report.collecting import collect
from assim.report.fields import exponent_of, fields_by_lead
from tests.synthetic_assimilation import without_members
from tests.synthetic_fields import make_field_assimilation, make_field_forecast, make_fields


def captions(path) -> list[str]:
    return re.findall("<figcaption>(.*?)</figcaption>", path.read_text(encoding="utf-8"))


@pytest.fixture
def no_fans(monkeypatch):
    """One place of a field says nothing of it."""
    for name in ("fan", "analysis_fan"):
        monkeypatch.setattr(f"assim.plotting.{name}", lambda *a, **k: pytest.fail("a fan"))


@pytest.mark.parametrize(
    ("given", "shown"),
    [({"axes": 1}, 1), ({"axes": 1, "runs": 2}, 1), ({"land": True}, 2)],
    ids=["line", "runs", "land"],
)
def test_a_forecast_of_a_field_is_shown_as_one(given, shown, no_fans, tmp_path):
    truth = make_fields(30, **given)
    tree = make_field_forecast(truth, members=5)
    path = report({"wave": tree, "truth": truth}, tmp_path / "r.html")
    held = captions(path)
    assert held.count("wave: sst from one origin") == shown
    assert "sst: error and anomaly correlation by lead, by area" in held
    assert held[-1] == "wave: sst, energy by wavenumber"
    text = path.read_text(encoding="utf-8")
    assert "<td>valid prediction time</td>" not in text and "valid prediction time</th>" in text
    bare = captions(report({"wave": tree}, tmp_path / "bare.html"))
    assert bare == ["wave: sst from one origin"] * shown + ["wave: sst, energy by wavenumber"]


def test_valid_prediction_times_are_tabled():
    truth = make_fields(axes=1)
    trees = {"sure": make_field_forecast(truth, error=1e-3)}
    trees |= {"wild": make_field_forecast(truth, error=1.2, seed=1)}
    text = fields_by_lead(trees, truth)
    rows = [re.findall("<td>(.*?)</td>", row) for row in re.findall("<tr>(.*?)</tr>", text)[1:]]
    assert rows[0] == ["sst", "sure", "5 s", "5 s", "5 s", "9", "9"]
    told = scoring.valid_prediction_time(trees["wild"], truth)
    times = np.sort(told["prediction_time"].values) / np.timedelta64(1, "s")
    wanted = [f"{t:g} s" for t in (times[4], times[0], times[-1])]
    assert rows[1][2:] == [*wanted, "9", str(int((~told["exceeded"]).sum()))]
    assert fields_by_lead(trees, None) == "" == fields_by_lead(trees, truth.rename(sst="other"))


@pytest.mark.slow
def test_valid_prediction_times_are_told_in_lyapunov_times(tmp_path):
    truth = make_fields(axes=1)
    trees = {"wild": make_field_forecast(truth, error=1.2, seed=1)}
    times = np.sort(scoring.valid_prediction_time(trees["wild"], truth)["prediction_time"].values)
    path = report(trees | {"truth": truth}, tmp_path / "r.html", lyapunov_time="2s")
    text = path.read_text(encoding="utf-8")
    heads = re.findall("<th>(.*?)</th>", text)
    middle = times[4] / np.timedelta64(2, "s")
    assert heads[heads.index("valid prediction time") + 1] == "in Lyapunov times"
    assert f"<td>{2 * middle:g} s</td><td>{middle:.3g}</td>" in text
    assert "in Lyapunov times" not in fields_by_lead(trees, truth)
    for wrong in ("soon", "-2s", "0s", "6"):
        with pytest.raises(ValueError, match=f"lyapunov_time='{wrong}' is no span of time above 0"):
            report(trees, tmp_path / "r.html", lyapunov_time=wrong)


def test_leads_are_drawn_in_lyapunov_times(monkeypatch):
    truth, asked = make_fields(axes=1), []
    drawn = plotting.plot_error_by_lead
    spy = lambda *a, lyapunov, **k: asked.append(lyapunov) or drawn(*a, lyapunov=lyapunov, **k)  # noqa: E731
    monkeypatch.setattr("assim.plotting.plot_error_by_lead", spy)
    fields_by_lead({"wave": make_field_forecast(truth, members=4)}, truth, exponent_of("4s"))
    assert asked == [0.25, 0.25]


def test_a_truth_of_elsewhere_is_said_and_left_out():
    truth = make_fields(axes=1)
    text = fields_by_lead(
        {"wave": make_field_forecast(truth)}, truth.isel(x=slice(0, 3)).rename(x="y")
    )
    assert "wave: The truth of &#x27;sst&#x27; has 3 values along" in text and "<img" not in text


@pytest.mark.parametrize("axes", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_an_assimilation_of_a_field_is_shown_as_one(axes, no_fans, tmp_path):
    truth = make_fields(30, axes=axes, land=axes == 2)
    tree = make_field_assimilation(truth, members=8)
    held = captions(report({"buoys": tree, "truth": truth}, tmp_path / "r.html"))
    assert held == ["buoys: sst"] * axes + [
        "buoys: sst, energy by wavenumber",
        "buoys: innovations of each channel",
        "buoys: error and spread in time, and ranks",
    ]
    bare = captions(report({"buoys": without_members(tree)}, tmp_path / "bare.html"))
    assert bare == ["buoys: sst"] * axes + ["buoys: innovations of each channel"]


@pytest.mark.slow
def test_a_field_without_a_whole_row_has_no_spectrum(tmp_path):
    truth = make_fields(30, axes=1)
    truth["sst"][:, 3] = np.nan
    tree = make_field_forecast(truth, members=5)
    path = report({"wave": tree, "truth": truth}, tmp_path / "r.html")
    assert captions(path)[-1] == "wave: sst from one origin"
    assert "is nowhere complete along x" in path.read_text(encoding="utf-8")
    analysis = make_field_assimilation(truth, members=5)
    path = report({"buoys": analysis, "truth": truth}, tmp_path / "a.html")
    assert "buoys: sst, energy by wavenumber" not in captions(path)


def test_channels_beside_fields_keep_their_fans(tmp_path):
    truth = make_fields(30, axes=1)
    tree = make_field_forecast(truth, members=5)
    both = tree["predictions"].to_dataset()
    both = both.assign(mean=both["sst"].mean("x").assign_attrs(units="degC"))
    path = report({"wave": xr.DataTree.from_dict({"predictions": both})}, tmp_path / "r.html")
    assert captions(path)[-1] == "wave: one forecast of each channel, and its variance by lead"


def test_a_record_by_the_month_is_on_the_clock_of_its_forecasts():
    truth = make_fields(40, axes=1)
    tree = make_field_forecast(truth)
    months = (np.datetime64("2000-01") + np.arange(41)).astype("datetime64[ns]")
    by_month = truth.assign_coords(time=months[:40])
    held = tree["predictions"].to_dataset()
    rows = 4 * np.arange(held.sizes["init_time"])[:, None]
    leads = months[1:6] - months[0]
    held = held.assign_coords(
        init_time=months[rows[:, 0]],
        lead_time=leads.astype("timedelta64[ns]"),
        valid_time=(("init_time", "lead_time"), months[rows + 1 + np.arange(5)]),
    )
    found = collect({"wave": xr.DataTree.from_dict({"predictions": held}), "truth": by_month})
    assert found.left_out == () and found.truth is by_month
    days = by_month.resample(time="1D").nearest()
    assert (
        "the mean of its readings in each 29D"
        in collect(found.forecasts | {"truth": days}).left_out[0]
    )
    rmse = scoring.error_by_lead(found.forecasts["wave"], by_month)["rmse"]
    np.testing.assert_allclose(rmse, scoring.error_by_lead(tree, truth)["rmse"])
