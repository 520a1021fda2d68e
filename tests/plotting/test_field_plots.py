"""Maps, strips in time, spectra and errors of fields hold the numbers that they claim to."""

import matplotlib

matplotlib.use("agg")

from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from assim import plotting, scoring
from assim.plotting.panels import LAND
from tests.synthetic_assimilation import without_members
from tests.synthetic_fields import make_field_assimilation, make_field_forecast, make_fields

MAPS = ["truth", "mean of the analysis", "standard deviation", "mean minus truth"]


@pytest.fixture(scope="module")
def truth() -> xr.Dataset:
    return make_fields(land=True)


@pytest.fixture(scope="module")
def forecast(truth) -> xr.DataTree:
    return make_field_forecast(truth)


@pytest.fixture(scope="module")
def analysis(truth) -> xr.DataTree:
    return make_field_assimilation(truth)


@pytest.fixture(scope="module")
def line() -> tuple[xr.DataTree, xr.Dataset]:
    truth = make_fields(axes=1)
    return make_field_assimilation(truth), truth


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def panels(figure) -> dict[str, object]:
    return {ax.get_title(loc="left"): ax for ax in figure.axes if ax.get_title(loc="left")}


def drawn(ax) -> np.ndarray:
    return np.ma.filled(ax.collections[0].get_array(), np.nan)


def bars(figure) -> list:
    return [ax for ax in figure.axes if ax.get_label() == "<colorbar>"]


def entries(ax) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def assert_apart(figure):
    """No words lie on others."""
    figure.canvas.draw()
    words = [figure._suptitle, figure._supylabel]
    for ax in figure.axes:
        words += [ax.xaxis.label, ax.yaxis.label, ax._left_title]
        words += ax.get_legend().get_texts() if ax.get_legend() else []
        for axis in (ax.xaxis, ax.yaxis):
            low, high = np.sort(axis.get_view_interval())
            words += [t.label1 for t in axis.get_major_ticks() if low <= t.get_loc() <= high]
    held = [w for w in words if w is not None and w.get_visible() and w.get_text()]
    pairs = combinations([(w.get_text(), w.get_window_extent()) for w in held], 2)
    clashes = [(one, other) for (one, a), (other, b) in pairs if a.overlaps(b)]
    assert clashes == [] and len(held) > 8


def test_a_map_shows_truth_mean_spread_and_error(analysis, truth):
    figure = plotting.plot_map(analysis, truth, time="2000-01-01T00:00:07")
    held = panels(figure)
    assert list(held) == MAPS
    at, known = analysis["analysis"].to_dataset().isel(time=7), truth["sst"][7]
    wanted = [known, at["sst_mean"], at["sst_sd"], at["sst_mean"] - known]
    for ax, values in zip(held.values(), wanted, strict=True):
        np.testing.assert_allclose(drawn(ax), values)
        assert ax.get_facecolor() == matplotlib.colors.to_rgba(LAND)
    limits = [ax.collections[0].get_clim() for ax in held.values()]
    assert limits[0] == limits[1] and limits[2][0] == 0 and -limits[3][0] == limits[3][1]
    assert [ax.get_ylabel() for ax in bars(figure)] == ["degC"] * 3
    assert figure.get_suptitle() == "sea surface temperature, 2000-01-01 00:00:07"
    assert held[MAPS[3]].get_xlabel() == "longitude (°E)"
    assert figure.get_supylabel() == "latitude (°N)"
    low, high = held["truth"].get_ylim()
    assert low < high and held["truth"].get_aspect() == 1


def test_limits_are_those_of_the_time_that_is_drawn(analysis, truth):
    tall = truth.copy(deep=True)
    tall["sst"][0] = 1000.0
    figure = plotting.plot_map(analysis, tall)
    assert panels(figure)["truth"].collections[0].get_clim()[1] < 20


def test_dots_are_sensors_and_hollow_where_silent(analysis, truth):
    ax = panels(plotting.plot_map(analysis, truth))["mean of the analysis"]
    read, silent = ax.lines
    where = analysis["observed_data"].to_dataset()
    np.testing.assert_allclose(read.get_xdata(), where["position_1"][:4])
    np.testing.assert_allclose(read.get_ydata(), where["position_0"][:4])
    np.testing.assert_allclose(silent.get_xdata(), where["position_1"][4:])
    assert entries(ax) == ["sensor", "silent"]
    early = plotting.plot_map(analysis, truth, time="2000-01-01")
    assert entries(panels(early)["mean of the analysis"]) == ["sensor"]


def test_longitudes_of_sensors_are_those_of_the_grid(analysis, forecast):
    west = analysis["observed_data"].to_dataset()
    west = west.assign_coords(position_1=west["position_1"] - 360.0)
    ax = panels(plotting.plot_map(forecast, readings=west))["mean of the forecast"]
    np.testing.assert_allclose(np.sort(ax.lines[0].get_xdata()), [0, 60, 90, 210, 330])


def test_a_map_of_a_forecast_is_at_one_origin_and_lead(forecast, truth):
    figure = plotting.plot_map(forecast, truth, init_time="2000-01-01T00:00:09", lead_time="2s")
    assert figure.get_suptitle() == "sea surface temperature, from 2000-01-01 00:00:08, 2 s ahead"
    paths = forecast["predictions"]["sst"].isel(init_time=2, lead_time=1, chain=0)
    held = panels(figure)
    mean, sd = paths.astype(float).mean("draw"), paths.astype(float).std("draw", ddof=1)
    np.testing.assert_allclose(drawn(held["mean of the forecast"]), mean, rtol=1e-6)
    np.testing.assert_allclose(drawn(held["standard deviation"]), sd, rtol=1e-6)
    np.testing.assert_allclose(drawn(held["truth"]), truth["sst"][10], rtol=1e-6)
    assert list(panels(plotting.plot_map(forecast))) == [
        "mean of the forecast",
        "standard deviation",
    ]


def test_anomalies_are_about_the_climate_and_centred(forecast, truth):
    sheet = Figure(layout="constrained")
    assert plotting.plot_map(forecast, truth, climate=truth, figure=sheet) is sheet
    held, usual = panels(sheet), truth["sst"].mean("time")
    valid = forecast["predictions"]["valid_time"][4, -1]
    np.testing.assert_allclose(
        drawn(held["truth"]), truth["sst"].sel(time=valid) - usual, atol=1e-6
    )
    low, high = held["mean of the forecast"].collections[0].get_clim()
    assert -low == high and held["truth"].collections[0].get_cmap().name == "RdBu_r"
    assert sheet.get_suptitle().startswith("anomaly of sea surface temperature")
    plain = panels(plotting.plot_map(forecast, truth))
    error = "mean minus truth"
    np.testing.assert_allclose(drawn(held[error]), drawn(plain[error]))


def test_a_strip_in_time_has_the_readings(line):
    tree, truth = line
    figure = plotting.plot_hovmoller(tree, truth)
    held = panels(figure)
    assert list(held) == MAPS
    mean = tree["analysis"]["sst_mean"].transpose("x", "time")
    np.testing.assert_allclose(drawn(held["mean of the analysis"]), mean)
    np.testing.assert_allclose(
        drawn(held["mean minus truth"]), mean - truth["sst"].transpose("x", "time")
    )
    (dots,) = held["mean of the analysis"].lines
    assert dots.get_xdata().size == 5 * 40 - 1
    assert set(dots.get_ydata()) == {0.0, 1.0, 1.5, 3.5, 5.5}
    assert figure.get_supylabel() == "x (m)" and len(bars(figure)) == 3


def test_a_strip_is_a_mean_over_the_other_axis_by_area(forecast, analysis, truth):
    figure = plotting.plot_hovmoller(forecast, truth, place=0, axis="lon")
    held = panels(figure)
    paths = forecast["predictions"]["sst"].isel(init_time=4, chain=0).astype(float)
    over = paths.weighted(np.cos(np.deg2rad(truth["lat"]))).mean("lat")
    mean = over.mean("draw").transpose("lon", "lead_time")
    np.testing.assert_allclose(drawn(held["mean of the forecast"]), mean)
    sd = over.std("draw", ddof=1).transpose("lon", "lead_time")
    np.testing.assert_allclose(drawn(held["standard deviation"]), sd)
    assert figure.get_suptitle() == (
        "sea surface temperature, mean over lat, from 2000-01-01 00:00:16"
    )
    assert held["mean minus truth"].get_xlabel() == "lead time (s)"
    rows = panels(plotting.plot_hovmoller(analysis, axis="lat"))
    assert list(rows) == ["mean of the analysis", "standard deviation"]
    bare = panels(plotting.plot_hovmoller(without_members(analysis), truth, axis="lat"))
    assert list(bare) == ["truth", "mean of the analysis", "mean minus truth"]


def test_the_error_of_a_mean_over_places_counts_those_with_a_truth(truth):
    tall = truth.copy(deep=True)
    tall["sst"][:, 4] += 100.0
    tree, holed = make_field_forecast(tall), tall.copy(deep=True)
    holed["sst"][:, 4] = np.nan
    error = drawn(panels(plotting.plot_hovmoller(tree, holed))["mean minus truth"])
    assert np.abs(error).max() < 1.5


def test_runs_are_drawn_one_by_one():
    truth = make_fields(axes=1, runs=3)
    tree = make_field_forecast(truth)
    figure = plotting.plot_hovmoller(tree, truth, place=2)
    assert figure.get_suptitle().endswith("run 2")
    valid = tree["predictions"]["valid_time"][4]
    known = truth["sst"].isel(run=2).sel(time=valid).transpose("x", "lead_time")
    np.testing.assert_allclose(drawn(panels(figure)["truth"]), known, rtol=1e-6)
    with pytest.raises(ValueError, match="no run number 3"):
        plotting.plot_hovmoller(tree, place=3)


def test_the_beliefs_of_a_grid_are_drawn_below_each_other(line):
    held = panels(plotting.hovmoeller(*line))
    assert list(held) == ["truth", "background", "analysis", "error of the analysis"]
    assert held["truth"].get_ylabel() == "x (m)"


def test_words_lie_apart(forecast, analysis, truth, line):
    for figure in (
        plotting.plot_map(forecast, truth),
        plotting.plot_map(analysis, truth),
        plotting.plot_map(analysis),
        plotting.plot_hovmoller(*line),
        plotting.plot_hovmoller(forecast, truth, climate=truth),
    ):
        assert_apart(figure)
    figure.set_layout_engine("none")
    truth_words = panels(figure)["truth"]._left_title.get_window_extent()
    x, y = figure.transFigure.inverted().transform((truth_words.x0, truth_words.y1))
    figure.suptitle("on the words of the first panel", x=x, y=y, ha="left")
    with pytest.raises(AssertionError):
        assert_apart(figure)


def curves(ax) -> dict[str, object]:
    return {line.get_label(): line for line in ax.lines}


def test_a_spectrum_shows_truth_members_and_mean(line):
    tree, truth = line
    ax = plotting.plot_spectrum(tree, truth)
    energy = scoring.energy_spectrum(truth["sst"], "x").mean("time")
    drawn = curves(ax)
    np.testing.assert_allclose(drawn["truth"].get_xdata(), energy["wavenumber"][1:])
    seen = energy[1:] > 1e-12 * energy[1:].max()
    np.testing.assert_allclose(drawn["truth"].get_ydata()[seen], energy[1:][seen])
    paths = tree["analysis"]["sst"].astype(float)
    of_members = scoring.energy_spectrum(paths, "x").mean(["chain", "draw", "time"])[1:]
    np.testing.assert_allclose(drawn["members"].get_ydata(), of_members)
    of_mean = scoring.energy_spectrum(paths.mean(["chain", "draw"]), "x").mean("time")[1:]
    np.testing.assert_allclose(drawn["mean of members"].get_ydata(), of_mean)
    assert ax.get_xlabel() == "wavenumber (rad m-1)" and ax.get_ylabel() == "energy (degC2 m rad-1)"
    assert entries(ax) == ["90 % of members", "truth", "members", "mean of members"]
    assert ax.get_title() == "sst along x, analysis"


def test_a_spectrum_over_land_is_of_the_rows_that_are_whole(forecast, truth):
    ax = plotting.plot_spectrum(forecast, truth, lead_time="2s")
    wet = truth["sst"].isel(lat=[0, 3, 4, 5])
    weights = np.cos(np.deg2rad(wet["lat"]))
    rows = wet.sel(time=forecast["predictions"]["valid_time"][:, 1])
    energy = scoring.energy_spectrum(rows, "lon").weighted(weights).mean(["lat", "init_time"])[1:]
    seen = energy > 1e-12 * energy.max()
    told = curves(ax)["truth"].get_ydata()
    np.testing.assert_allclose(told[seen], energy[seen], rtol=1e-5)
    assert ax.get_title() == "sst along lon, 2 s ahead"
    with pytest.raises(ValueError, match="nowhere complete along lat and lon"):
        plotting.plot_spectrum(forecast, truth, axis=["lat", "lon"])
    with pytest.raises(ValueError, match="assimilate with members=None"):
        plotting.plot_spectrum(without_members(make_field_assimilation(truth)), truth)


def test_a_spectrum_looks_at_some_of_many_times(line, monkeypatch):
    monkeypatch.setattr("assim.plotting.belief.MOST", 3)
    tree, truth = line
    some = curves(plotting.plot_spectrum(tree, truth))["members"].get_ydata()
    paths = tree["analysis"]["sst"].isel(time=[0, 20, 39])
    wanted = scoring.energy_spectrum(paths, "x").mean(["chain", "draw", "time"])[1:]
    np.testing.assert_allclose(some, wanted)


def test_errors_by_lead_stand_beside_the_spread(forecast, truth):
    scores = scoring.error_by_lead(forecast, truth)
    ax = plotting.plot_error_by_lead(scores)
    drawn = curves(ax)
    np.testing.assert_allclose(drawn["error of the mean"].get_ydata(), scores["rmse"])
    np.testing.assert_allclose(drawn["spread"].get_ydata(), scores["spread"])
    assert ax.get_ylabel() == "root mean square (degC)" and ax.get_xlabel() == "lead time (s)"
    assert "sd of the truth" not in drawn  # it is far above
    wide = plotting.plot_error_by_lead(scores.assign_attrs(climatological_sd=0.8))
    assert "sd of the truth" in curves(wide)
    several = plotting.plot_error_by_lead({"a": scores, "b": scores}, lyapunov=0.5)
    assert [t.split(":")[0] for t in entries(several)] == ["a", "a", "b", "b"]
    np.testing.assert_allclose(several.lines[0].get_xdata(), 0.5 * np.arange(1, 6))
    assert several.get_xlabel() == "lead time (Lyapunov times)"
    correlation = plotting.plot_error_by_lead(scores, "anomaly_correlation")
    assert entries(correlation) == ["anomaly correlation", "of use above 0.6"]
    assert plotting.plot_error_by_lead(scores, "crps").get_ylabel() == "CRPS (degC)"
    with pytest.raises(ValueError, match="no score 'bias'"):
        plotting.plot_error_by_lead(scores, "bias")


@pytest.mark.parametrize(
    ("draw", "says"),
    [
        (lambda f, a: plotting.plot_map(f, variable="ice"), "no field on two axes 'ice'"),
        (lambda f, a: plotting.plot_map(make_field_forecast(make_fields(axes=1))), "two axes"),
        (lambda f, a: plotting.plot_hovmoller(f, axis="depth"), "no axis 'depth'"),
        (lambda f, a: plotting.plot_hovmoller(a, stage="smoothed"), "no belief 'smoothed'"),
        (lambda f, a: plotting.plot_map(f, lead_time="9s"), "no forecast at the lead time"),
        (lambda f, a: plotting.plot_map(f, climate=make_fields().rename(sst="b")), "The climate"),
        (lambda f, a: plotting.plot_spectrum(f, axis="depth"), "no axis 'depth'"),
        (
            lambda f, a: plotting.plot_spectrum(f, make_fields() * 0 + 1),
            "The truth of 'sst' is the",
        ),
    ],
)
def test_what_is_not_there_is_said(draw, says, forecast, analysis):
    with pytest.raises(ValueError, match=says):
        draw(forecast, analysis)
