"""Plots of snapshots hold the paths, arrows and densities that they claim to."""

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import LineCollection, QuadMesh
from matplotlib.quiver import Quiver

from assim import plotting

TIMES = np.datetime64("2020-01-01", "ns") + np.arange(5) * np.timedelta64(1, "h")
NUM = 7


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def paths():
    x = np.random.default_rng(0).normal(size=(3, 5, NUM)).cumsum(axis=1)
    cells = {n: (("time", "sample"), v, {"units": "km"}) for n, v in zip("uvw", x, strict=True)}
    return xr.Dataset(cells, {"time": TIMES})


def held(ax, kind):
    return [part for part in ax.collections if isinstance(part, kind)]


def test_paths_are_drawn_leg_by_leg_and_coloured_by_time(paths):
    seen = 1000 * paths.isel(time=[0, 2, 4])
    for name in "uvw":
        seen[name].attrs["units"] = "m"
    ax = plotting.plot_trajectories(paths, seen, "w", "u")
    lines, points = held(ax, LineCollection)[0], ax.collections[-1]
    segments = np.array(lines.get_segments())
    assert segments.shape == (NUM * 4, 2, 2)
    first = segments.reshape(NUM, 4, 2, 2)[:, 0, 0]
    known = np.stack([paths["w"][0], paths["u"][0]], axis=-1)
    np.testing.assert_allclose(np.sort(first, axis=0), np.sort(known, axis=0))
    np.testing.assert_allclose(lines.get_array()[:4], [0.5, 1.5, 2.5, 3.5])
    np.testing.assert_allclose(points.get_array(), np.repeat([0, 2, 4], NUM))
    np.testing.assert_allclose(points.get_offsets()[:NUM], known)
    assert points.get_clim() == lines.get_clim() == (0, 4)
    assert ax.get_xlabel() == "w (km)" and ax.get_ylabel() == "u (km)"
    assert "time since the first (h)" in [a.get_ylabel() for a in ax.figure.axes]


def test_what_weighs_less_is_fainter(paths):
    left = xr.DataArray([4.0, 4, 2, 1, 0], dims="time")
    ax = plotting.plot_trajectories(paths.assign(weight=left), paths.assign(weight=left))
    lines, points = held(ax, LineCollection)[0], ax.collections[-1]
    np.testing.assert_allclose(lines.get_alpha()[:4], 0.6 * np.array([1, 0.75, 0.375, 0.125]))
    np.testing.assert_allclose(points.get_alpha(), np.repeat(left / 4, NUM))


def test_some_of_many_paths_are_drawn(paths):
    ax = plotting.plot_trajectories(paths, most=2)
    assert len(held(ax, LineCollection)[0].get_segments()) == 2 * 4
    with pytest.raises(ValueError, match="no coordinate 'q'"):
        plotting.plot_trajectories(paths, x="q")
    with pytest.raises(ValueError, match="has two coordinates"):
        plotting.plot_trajectories(paths[["u"]])


def test_arrows_are_the_mean_and_colours_the_spread_of_the_speed(paths):
    """A drift that turns, whose strength is uncertain: speed = draw * radius."""
    u, v, draw = np.linspace(-1, 1, 3), np.linspace(-2, 2, 5), np.linspace(1, 3, 101)
    grid = np.stack(np.broadcast_arrays(-v[None, :], u[:, None], 0.0), axis=-1)
    cells = draw[:, None, None, None] * grid
    marks = {"u": u, "v": v, "coordinate": list("uvw")}
    drift = xr.DataArray(cells, marks, ("draw", "u", "v", "coordinate"), attrs={"units": "km h-1"})
    ax = plotting.plot_drift(drift, paths, level=0.9)
    arrows, area = held(ax, Quiver)[0], held(ax, QuadMesh)[0]
    right, up = np.meshgrid(u, v)
    np.testing.assert_allclose(arrows.U, -2 * up.ravel())
    np.testing.assert_allclose(arrows.V, 2 * right.ravel())
    np.testing.assert_allclose(arrows.XY, np.stack([right.ravel(), up.ravel()], axis=1))
    width = 1.8 * np.hypot(right, up)
    np.testing.assert_allclose(np.ravel(area.get_array()), width.ravel(), atol=1e-12)
    assert "width of the 90 % interval of the speed (km h-1)" in [
        a.get_ylabel() for a in ax.figure.axes
    ]
    alone = plotting.plot_drift(drift.isel(draw=0))
    np.testing.assert_allclose(
        np.ravel(held(alone, QuadMesh)[0].get_array()), np.hypot(right, up).ravel()
    )
    with pytest.raises(ValueError, match="two dimensions"):
        plotting.plot_drift(drift.isel(u=0))


def test_marginals_are_densities_at_each_time(paths):
    truth = paths.isel(time=[1, 3])
    still = paths * 0 + 0.25
    figure = plotting.plot_marginals(truth[["u", "v"]], {"model": paths, "still": still})
    assert len(figure.axes) == 2 * 2
    for ax, (hour, name) in zip(figure.axes, [(h, n) for h in (1, 3) for n in "uv"], strict=True):
        area = sum(bar.get_width() * bar.get_height() for bar in ax.patches)
        assert area == pytest.approx(1)
        ends = [bar.get_x() for bar in ax.patches]
        assert min(ends) == pytest.approx(float(paths[name][hour].min()))
        assert len(ax.lines) == 2 and (np.asarray(ax.lines[1].get_xdata()) == 0.25).all()
    assert (
        figure.axes[2].get_ylabel() == "2020-01-01 03:00"
        and figure.axes[3].get_xlabel() == "v (km)"
    )
    texts = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert texts == ["snapshot", "model", "still"]


def test_bands_hold_the_shares_that_they_name():
    one = xr.DataArray(np.arange(101.0), dims="sample") * xr.DataArray(np.ones(5), dims="time")
    many = xr.Dataset({"u": one.assign_attrs(units="km"), "v": -one}, {"time": TIMES})
    figure = plotting.plot_bands(many, many.isel(time=[0, 2]), levels=[0.5])
    upper, lower = figure.axes
    band = upper.collections[0].get_paths()[0].vertices[:, 1]
    assert {band.min(), band.max()} == {25.0, 75.0}
    np.testing.assert_array_equal(upper.lines[0].get_ydata(), 50.0)
    np.testing.assert_array_equal(lower.lines[0].get_ydata(), -50.0)
    assert upper.get_ylabel() == "u (km)" and len(upper.lines) == 1 + 2
    half = many.assign(weight=(one < 50).astype(float))
    figure = plotting.plot_bands(half)
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), 24.5, atol=0.6)
    with pytest.raises(ValueError, match=r"levels=\(1.5,\): give probabilities"):
        plotting.plot_bands(many, levels=(1.5,))
