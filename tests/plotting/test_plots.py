"""Plots hold the numbers that they claim to, with units, on the axes that they are given."""

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

from assim import comparing, plotting, scoring
from assim.cli.plots import _ripple, draw_all
from assim.plotting.style import PALETTE, label, lead_axis, line_style, tint
from tests.synthetic import make_forecast, make_posterior, make_truth


@pytest.fixture(scope="module")
def truth() -> xr.Dataset:
    truth = make_truth(hours=120)
    truth["temperature"][60:64] = np.nan
    return truth


@pytest.fixture(scope="module")
def forecast(truth) -> xr.DataTree:
    return make_forecast(truth, leads=6)


@pytest.fixture(scope="module")
def scores(forecast, truth) -> xr.Dataset:
    wide = make_forecast(truth, 3, scale=2, leads=6)
    return comparing.compare({"ar": forecast, "persistence": wide}, truth)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def entries(ax) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def assert_clear(legend):
    """Nothing lies under the legend, and all of it is on the page."""
    figure = legend.get_figure()
    figure.canvas.draw()
    held = legend.get_window_extent()
    assert not any(held.overlaps(ax.get_window_extent()) for ax in figure.axes)
    assert figure.bbox.x0 <= held.x0 and held.x1 <= figure.bbox.x1
    assert figure.bbox.y0 <= held.y0 and held.y1 <= figure.bbox.y1


def luminance(color) -> float:
    parts = np.array(matplotlib.colors.to_rgb(color))
    return float(
        np.where(parts > 0.04045, ((parts + 0.055) / 1.055) ** 2.4, parts / 12.92)
        @ [0.2126, 0.7152, 0.0722]
    )


def test_fan_holds_quantiles_and_observations(forecast, truth):
    ax = plotting.fan(forecast, truth, "temperature", init_time="2020-01-03T08", levels=[0.9])
    path = forecast["predictions"]["temperature"].sel(init_time="2020-01-03T08")
    median = ax.lines[0].get_ydata()
    np.testing.assert_allclose(median, path.median(["chain", "draw"]))
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert band.min() == pytest.approx(float(path.quantile(0.05, ["chain", "draw"]).min()))
    assert ax.get_ylabel() == "temperature (degC)"
    dots = next(line for line in ax.lines if line.get_label() == "observed")
    assert len(dots.get_xdata()) == 13
    assert len(ax.patches) == 1  # the gap


def test_fan_says_which_colour_is_which(forecast, truth):
    truth = truth.copy(deep=True)
    truth["temperature"][50] = np.nan  # a second gap
    ax = plotting.fan(forecast, truth, "temperature", init_time="2020-01-03T08")
    names = ["90 % interval", "50 % interval", "median", "origin", "observed", "not observed"]
    assert entries(ax) == names
    assert len(ax.patches) == 2
    shown = [tuple(handle.get_facecolor()) for handle in ax.get_legend().legend_handles[:2]]
    drawn = [tuple(band.get_facecolor()[0]) for band in ax.collections]
    assert shown == drawn
    assert all(opacity == 1 for *_, opacity in drawn)  # or the wider band would show through
    page = [luminance(color) + 0.05 for color in ("white", *drawn, ax.lines[0].get_color())]
    assert all(light / dark > 1.2 for light, dark in zip(page, page[1:], strict=False))


@pytest.mark.parametrize("leads", [3, 6, 20, 48, 72])
def test_fan_times_do_not_run_together(leads):
    truth = make_truth(hours=3 * leads + 20)
    figure, ax = plt.subplots(figsize=(4.6, 3.3), layout="tight")  # a panel of the report
    plotting.fan(make_forecast(truth, leads=leads), truth, ax=ax)
    figure.canvas.draw()
    left, right = ax.get_xlim()
    ticks = [t for t in ax.xaxis.get_major_ticks() if left <= t.get_loc() <= right]
    boxes = [tick.label1.get_window_extent() for tick in ticks]
    assert len(boxes) > 1
    assert all(a.x1 < b.x0 for a, b in zip(boxes, boxes[1:], strict=False))


def test_fan_titles_tell_origins_apart(forecast):
    assert plotting.fan(forecast, init_time="2020-01-03T08").get_title() == "from 2020-01-03 08:00"
    fast = forecast["predictions"].to_dataset()
    fast["init_time"] = fast["init_time"].values[0] + np.arange(
        fast.sizes["init_time"]
    ) * np.timedelta64(50, "ms")
    ax = plotting.fan(
        xr.DataTree.from_dict({"predictions": fast}), init_time="2020-01-01T00:00:00.25"
    )
    assert "00:00:00.25" in ax.get_title()


def test_fan_wraps_directions_about_north():
    truth = make_truth(hours=40)
    rng = np.random.default_rng(0)
    truth["direction"][:] = rng.normal(0, 8, 40) % 360
    tree = make_forecast(truth)
    cells = tree["predictions"]["direction"]
    cells[:] = rng.normal(0, 8, cells.shape) % 360
    ax = plotting.fan(tree, truth, "direction")
    low, high = ax.get_ylim()
    assert high - low < 120
    assert ax.yaxis.get_major_formatter()(350.0 - 360.0) == "350"


def test_fan_draws_one_station_by_name():
    truth = make_truth(hours=40, stations=2)
    tree = make_forecast(truth)
    ax = plotting.fan(tree, truth, "temperature", place="mast1")
    path = tree["predictions"]["temperature"].sel(station="mast1").isel(init_time=9)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), path.median(["chain", "draw"]))
    assert "mast1" in ax.get_title()
    with pytest.raises(ValueError, match="no station 'mast9'"):
        plotting.fan(tree, truth, place="mast9")
    with pytest.raises(ValueError, match="no station number 5"):
        plotting.fan(tree, truth, place=5)


def test_pit_bars_are_the_counts_of_the_table(scores):
    ax = plotting.pit(scores, "wind_speed", "persistence", lead_time="2h")
    bars = [patch.get_height() for patch in ax.patches if patch.get_width() < 0.2]
    held = scores["pit_histogram"].sel(variable="wind_speed", model="persistence")[1]
    np.testing.assert_array_equal(sorted(bars), sorted(held))
    assert "2 h" in ax.get_title()


@pytest.mark.parametrize(("members", "bars"), [((1, 9), 10), ((2, 20), 20)])
def test_rank_bars_hold_every_cell(truth, members, bars):
    tree = make_forecast(truth, members=members)
    ax = plotting.ranks(tree, truth, "wind_speed", lead_time="1h", bins=20 if bars == 20 else 40)
    heights = ax.containers[0].datavalues
    assert heights.size == bars
    assert heights.sum() == tree["predictions"].sizes["init_time"]


def test_reliability_lines_share_one_diagonal(scores):
    ax = plotting.reliability(plotting.quantile_curve(scores, model="ar"), name="ar")
    plotting.reliability(plotting.quantile_curve(scores, model="persistence"), name="p", ax=ax)
    assert [line.get_label() for line in ax.lines[1:]] == ["ar", "p"]
    expected = scores["pit_histogram"].sel(model="ar", variable="temperature").sum("lead_time")
    np.testing.assert_allclose(
        ax.lines[1].get_ydata(), (expected.cumsum() / expected.sum()).values[:-1]
    )


def test_reliability_axes_say_what_is_plotted(scores):
    ax = plotting.reliability(plotting.quantile_curve(scores, model="ar"), name="ar")
    assert ax.get_xlabel() == "quantile level of the forecast"
    assert ax.get_ylabel() == "share of readings below the quantile"
    assert entries(ax) == ["calibrated", "ar"]


def test_reliability_of_an_event_has_a_line_per_lead(forecast, truth):
    seen = scoring.pair(scoring.predictions(forecast), truth)["temperature"]
    curve = scoring.event_reliability(
        comparing.exceedance(forecast, "temperature", 1.0), scoring.happened(seen, 1.0)
    )
    ax = plotting.reliability(curve.isel(lead_time=[0, 3]))
    assert [line.get_label() for line in ax.lines[1:]] == ["1 h", "4 h"]
    assert ax.get_xlabel() == "forecast probability of the event"
    assert ax.get_ylabel() == "share of times it happened"


def test_spread_skill_is_in_units_of_the_channel(forecast, truth):
    ax = plotting.spread_skill(forecast, truth, "wind_speed", bins=4, name="ar")
    assert len(ax.lines[1].get_xdata()) == 4
    assert ax.get_xlim() == ax.get_ylim()
    assert ax.get_xlabel() == "spread (m s-1)"


def test_training_draws_every_fit_that_has_a_loss():
    sampled = make_posterior()
    sampled["sample_stats"].dataset = sampled["sample_stats"].to_dataset().drop_vars("loss")
    ax = plotting.training({"svi": make_posterior(), "nuts": sampled})
    assert entries(ax) == ["svi"]
    with pytest.raises(ValueError, match="no training curve"):
        plotting.training(sampled)


def test_scores_by_lead_say_what_they_show(scores):
    ax = plotting.scores_by_lead(scores, "wind_speed")
    lines = {line.get_label(): line for line in ax.lines}
    np.testing.assert_allclose(
        lines["ar"].get_ydata(), scores["crps"].sel(model="ar", variable="wind_speed")
    )
    assert ax.get_ylabel() == "CRPS (m s-1)"
    assert ax.get_xlabel() == "lead time (h)"
    skill = plotting.scores_by_lead(scores, "temperature", "crps_skill")
    assert len(skill.collections) == 2
    assert skill.get_ylabel() == "CRPS skill against persistence"
    coverage = plotting.scores_by_lead(scores, "temperature", "coverage", level=0.8)
    assert coverage.get_ylabel() == "coverage of the 80 % interval"
    assert entries(coverage) == ["calibrated", "ar", "persistence"]
    assert set(coverage.lines[0].get_ydata()) == {0.8}
    assert plotting.scores_by_lead(scores, score="energy_score").get_title() == ""
    with pytest.raises(ValueError, match="no score 'crsp' to plot, only"):
        plotting.scores_by_lead(scores, score="crsp")
    with pytest.raises(ValueError, match="no level '0.7'"):
        plotting.scores_by_lead(scores, score="coverage", level=0.7)


def test_markers_are_left_out_where_they_would_run_together():
    truth = make_truth(hours=120)
    scores = comparing.compare({"ar": make_forecast(truth, leads=30)}, truth)
    many = plotting.scores_by_lead(scores, "temperature").lines[0]
    few = plotting.scores_by_lead(scores.isel(lead_time=slice(24)), "temperature").lines[0]
    assert (many.get_marker(), few.get_marker()) == ("", "o")
    np.testing.assert_allclose(many.get_ydata(), scores["crps"].sel(variable="temperature")[0])


def test_variance_is_split_and_squared(forecast):
    ax = plotting.variance_split(forecast, "temperature")
    assert ax.get_ylabel() == "forecast variance (degC²)"
    assert (
        plotting.variance_split(forecast, "wind_speed").get_ylabel()
        == "forecast variance ((m s-1)²)"
    )
    assert entries(ax) == ["epistemic", "aleatoric"]  # as they are stacked
    assert ax.dataLim.y1 == pytest.approx(1.0)
    bare = xr.DataTree.from_dict({"predictions": forecast["predictions"].to_dataset()})
    with pytest.raises(ValueError, match="no group 'uncertainty'"):
        plotting.variance_split(bare)


def test_legends_cover_nothing(forecast, truth, scores):
    for ax in (
        plotting.fan(forecast, truth, "temperature"),
        plotting.pit(scores),
        plotting.ranks(forecast, truth),
        plotting.reliability(plotting.quantile_curve(scores), name="ar"),
        plotting.spread_skill(forecast, truth, name="ar"),
        plotting.training({"svi": make_posterior()}),
        plotting.scores_by_lead(scores),
        plotting.variance_split(forecast),
    ):
        assert_clear(ax.get_legend())


def test_figures_of_the_demo_share_one_legend(forecast, truth, scores, tmp_path, monkeypatch):
    monkeypatch.setattr(plt, "close", lambda figure: None)
    names = draw_all({"ar": forecast}, {"ar": make_posterior()}, truth, scores, tmp_path)
    figures = dict(zip(names, map(plt.figure, plt.get_fignums()), strict=True))
    monkeypatch.undo()
    for name in ("fan.png", "crps.png", "coverage.png", "pit.png", "reliability.png"):
        assert all(ax.get_legend() is None for ax in figures[name].axes)
        (legend,) = figures[name].legends
        assert_clear(legend)
    assert "Origins are 2 h apart and leads 1 h" in figures["crps.png"].get_supxlabel()
    assert _ripple(make_forecast(truth, every=1)) == ""


def test_axes_that_are_given_are_used(forecast, truth, scores):
    figure, ax = plt.subplots()
    for drawn in (
        plotting.fan(forecast, truth, ax=ax),
        plotting.pit(scores, ax=ax),
        plotting.ranks(forecast, truth, ax=ax),
        plotting.training(make_posterior(), ax=ax),
    ):
        assert drawn is ax
    assert plt.get_fignums() == [figure.number]


def test_unknown_channels_are_refused(forecast, truth, scores):
    for draw in (
        lambda: plotting.fan(forecast, truth, "pressure"),
        lambda: plotting.pit(scores, "pressure"),
        lambda: plotting.ranks(forecast, truth, "pressure"),
        lambda: plotting.spread_skill(forecast, truth, "pressure"),
        lambda: plotting.variance_split(forecast, "pressure"),
    ):
        with pytest.raises(ValueError, match="no channel 'pressure' to plot"):
            draw()
    blank = truth.map(lambda v: v * np.nan, keep_attrs=True)
    with pytest.raises(ValueError, match="Nothing of 'temperature' was observed"):
        plotting.ranks(forecast, blank)


def test_labels_and_lead_axes_use_the_units_of_people():
    assert label("wind_speed", "m s-1") == "wind speed (m s-1)"
    assert label("crps_skill", "1") == label("crps_skill", "1", squared=True) == "crps skill"
    for compound in ("m s-1", "m/s", "m2", "kg.m", "m^2"):
        assert label("x", compound, squared=True) == f"x (({compound})²)"
    for plain in ("degC", "°C", "%", "hPa"):
        assert label("x", plain, squared=True) == f"x ({plain}²)"
    weeks = xr.DataArray(np.arange(1, 5) * np.timedelta64(7, "D").astype("m8[ns]"))
    assert lead_axis(weeks)[1] == "lead time (d)"
    minutes = xr.DataArray(np.arange(1, 5) * np.timedelta64(10, "m").astype("m8[ns]"))
    np.testing.assert_allclose(lead_axis(minutes)[0], [10, 20, 30, 40])
    styles = [tuple(line_style(i).values()) for i in range(4 * len(PALETTE))]
    assert len(set(styles)) == len(styles)
    assert tint("#ff0000", 0) == (1, 1, 1) and tint("#ff0000", 0.25) == (1, 0.75, 0.75)
