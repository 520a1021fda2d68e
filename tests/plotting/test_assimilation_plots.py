"""Plots of assimilations hold the numbers that they claim to."""

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from assim import plotting, scoring
from tests.synthetic_assimilation import make_assimilation, make_scalars, without_members


@pytest.fixture(scope="module")
def field() -> tuple[xr.DataTree, xr.Dataset]:
    return make_assimilation(times=60)


@pytest.fixture(scope="module")
def scalars() -> tuple[xr.DataTree, xr.Dataset]:
    return make_scalars(times=60)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def entries(ax) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def panels(figure) -> dict[str, object]:
    return {ax.get_title(loc="left"): ax for ax in figure.axes if ax.get_title(loc="left")}


def test_hovmoeller_shows_truth_beliefs_and_error(field):
    tree, truth = field
    drawn = panels(plotting.hovmoeller(tree, truth))
    assert list(drawn) == ["truth", "background", "analysis", "error of the analysis"]
    meshes = {name: ax.collections[0] for name, ax in drawn.items()}
    held = tree["analysis"]["x_mean"]
    np.testing.assert_allclose(meshes["analysis"].get_array(), held.transpose("place", "time"))
    error = (held - truth["x"]).transpose("place", "time")
    np.testing.assert_allclose(meshes["error of the analysis"].get_array(), error)
    limits = {name: mesh.get_clim() for name, mesh in meshes.items()}
    assert limits["truth"] == limits["background"] == limits["analysis"]
    low, high = limits["error of the analysis"]
    assert -low == high == pytest.approx(float(abs(error).max()))


def test_hovmoeller_without_truth_shows_the_spread(field):
    tree, _ = field
    sheet = Figure(layout="constrained")
    assert plotting.hovmoeller(without_members(tree), figure=sheet) is sheet
    drawn = panels(sheet)
    assert list(drawn) == ["background", "analysis", "sd of the analysis"]
    spread = tree["analysis"]["x_sd"].transpose("place", "time")
    np.testing.assert_allclose(drawn["sd of the analysis"].collections[0].get_array(), spread)
    assert drawn["sd of the analysis"].collections[0].get_clim()[0] == 0


def test_hovmoeller_sorts_places_and_needs_a_line(field, scalars):
    tree, truth = field
    order = [3, 0, 2, 1, 7, 6, 5, 4]
    groups = {
        n: g.to_dataset().isel(place=order, missing_dims="ignore") for n, g in tree.children.items()
    }
    drawn = panels(plotting.hovmoeller(xr.DataTree.from_dict(groups), truth))
    held = tree["analysis"]["x_mean"].transpose("place", "time")
    np.testing.assert_allclose(drawn["analysis"].collections[0].get_array(), held)
    with pytest.raises(ValueError, match="no field"):
        plotting.hovmoeller(scalars[0])
    flat = (
        tree["analysis"]
        .to_dataset()
        .assign_coords(place_0=("place", np.arange(8) // 4), place_1=("place", np.arange(8) % 4))
    )
    with pytest.raises(ValueError, match="no field 'x'"):
        plotting.hovmoeller(xr.DataTree.from_dict({"analysis": flat}), variable="x")


def test_rank_bars_are_the_counts(field):
    tree, truth = field
    counted = scoring.truth_histogram(tree, truth, stage="background", bars=7)
    ax = plotting.assimilation_ranks(tree, truth, stage="background", bars=7)
    heights = [bar.get_height() for bar in ax.containers[0]]
    np.testing.assert_array_equal(heights, counted["count"])
    assert ax.get_title() == f"x: background, p = {float(counted['p_value']):.2g}"
    assert ax.get_xlabel() == "rank of the truth among 20 members"
    assert entries(ax) == ["calibrated", "95 % of bars\nif calibrated"]


def test_the_band_of_the_bars_is_wider_for_dependent_cells(field):
    whole, truth = field
    same = {n: g.to_dataset() for n, g in whole.children.items() if n in scoring.stages(whole)}
    same = {n: g.isel(place=[0, 0, 0, 0]).drop_vars("place") for n, g in same.items()}
    tree, truth = xr.DataTree.from_dict(same), truth.isel(place=[0, 0, 0, 0]).drop_vars("place")
    counted = scoring.truth_histogram(tree, truth, every=1, bars=7)
    assert 3 < float(counted["excess"]) < 5
    ax = plotting.assimilation_ranks(tree, truth, every=1, bars=7)
    band = ax.patches[-1].get_height()
    share = 1 / 7
    independent = 2 * 1.96 * np.sqrt(int(counted["n"]) * share * (1 - share))
    assert band == pytest.approx(independent * float(counted["excess"]) ** 0.5, rel=0.05)


def test_ranks_without_truth_are_those_of_readings(field):
    tree, _ = field
    ax = plotting.assimilation_ranks(tree)
    held = scoring.reading_histogram(tree)["count"]
    np.testing.assert_array_equal([bar.get_height() for bar in ax.containers[0]], held)
    assert "among 20 members" in ax.get_xlabel() and ax.get_title().startswith("x: readings")
    with pytest.raises(ValueError, match="members=None"):
        plotting.assimilation_ranks(without_members(tree))


def test_spread_and_error_in_time(field):
    tree, truth = field
    ax = plotting.spread_error(tree, truth)
    lines = {line.get_label().split(",")[0]: line.get_ydata() for line in ax.lines}
    error = np.sqrt(((tree["analysis"]["x_mean"] - truth["x"]) ** 2).mean("place"))
    np.testing.assert_allclose(lines["analysis: error"], error)
    spread = np.sqrt((tree["background"]["x_sd"] ** 2).mean("place"))
    np.testing.assert_allclose(lines["background: spread"], spread)
    assert ax.get_ylim()[0] == 0 and len(entries(ax)) == 4


def test_innovations_stand_in_their_band(field):
    tree, _ = field
    ax = plotting.innovations(tree, place=2, level=0.5)
    residual = tree["innovation"]["x"].isel(sensor=2)
    half = 0.6745 * tree["innovation"]["x_sd"].isel(sensor=2)
    read = residual.notnull()
    lines = {line.get_label().split(":")[0]: line.get_ydata() for line in ax.lines}
    inside = residual.where(abs(residual) <= half).dropna("time")
    np.testing.assert_allclose(lines["innovation"], inside)
    assert lines["outside"].size == int(read.sum()) - inside.size > 0
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert band.max() == pytest.approx(float(half.where(read).max()), rel=1e-4)
    assert ax.get_title() == "x, sensor 2"
    with pytest.raises(ValueError, match="no sensor number 9"):
        plotting.innovations(tree, place=9)
    with pytest.raises(ValueError, match="no channel 'y'"):
        plotting.innovations(tree, "y")


def test_the_fan_has_quantiles_of_members_and_readings(scalars):
    tree, truth = scalars
    ax = plotting.analysis_fan(tree, truth, "wind_speed")
    paths = tree["analysis"]["wind_speed"]
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert band.min() == pytest.approx(float(paths.quantile(0.05, ["chain", "draw"]).min()))
    assert entries(ax) == ["90 % interval", "mean of the analysis", "truth", "reading"]
    lines = {line.get_label(): line.get_ydata() for line in ax.lines}
    np.testing.assert_allclose(lines["reading"], tree["observed_data"]["wind_speed"])
    np.testing.assert_allclose(lines["truth"], truth["wind_speed"])
    assert ax.get_ylabel() == "wind speed (m s-1)"


def test_the_fan_of_a_mean_and_sd_is_gaussian(scalars):
    tree, _ = scalars
    for bare in (without_members(tree), make_scalars(times=60, members=5)[0]):
        ax = plotting.analysis_fan(bare, variable="temperature", level=0.9)
        band = ax.collections[0].get_paths()[0].vertices[:, 1]
        highest = tree["analysis"]["temperature_mean"] + 1.645 * tree["analysis"]["temperature_sd"]
        assert "90 % interval\n(Gaussian)" in entries(ax)
        if "temperature" not in bare["analysis"].data_vars:
            assert band.max() == pytest.approx(float(highest.max()), rel=1e-3)


def test_the_fan_of_particles_is_weighted():
    tree, _ = make_assimilation(times=60, members=800, weights=True)
    ax = plotting.analysis_fan(tree, place=3, level=0.68)
    vertices = ax.collections[0].get_paths()[0].vertices
    widths = [np.ptp(vertices[vertices[:, 0] == t, 1]) for t in np.unique(vertices[:, 0])]
    sd = float(tree["analysis"]["x_sd"].isel(place=3).mean())
    assert np.mean(widths) == pytest.approx(2 * sd, rel=0.1)
    assert ax.get_title() == "place 3"


def test_the_fan_wraps_directions():
    clock = np.datetime64("2000-01-01", "ns") + np.arange(40) * np.timedelta64(1, "s")
    attrs = {"support": "circle", "units": "degree"}
    rng = np.random.default_rng(0)
    mean = rng.normal(0, 8, 40) % 360
    held = xr.Dataset(
        {"d_mean": ("time", mean, attrs), "d_sd": ("time", np.full(40, 5.0), attrs)},
        {"time": clock},
    )
    seen = xr.Dataset({"d": ("time", rng.normal(0, 8, 40) % 360, attrs)}, {"time": clock})
    tree = xr.DataTree.from_dict({"analysis": held, "observed_data": seen})
    ax = plotting.analysis_fan(tree)
    low, high = ax.get_ylim()
    assert high - low < 120
    assert ax.yaxis.get_major_formatter()(-10.0) == "350"


def test_plots_draw_on_the_axes_given(field, scalars):
    _, axes = plt.subplots(1, 4)
    assert plotting.assimilation_ranks(*field, ax=axes[0]) is axes[0]
    assert plotting.spread_error(*field, ax=axes[1]) is axes[1]
    assert plotting.innovations(field[0], ax=axes[2]) is axes[2]
    assert plotting.analysis_fan(scalars[0], ax=axes[3]) is axes[3]
