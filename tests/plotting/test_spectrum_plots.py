"""Plots of spectra hold the numbers that they claim to, and say what is not verified."""

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_rgba
from matplotlib.patches import Circle, Ellipse

from assim import koopman, plotting
from tests.synthetic_modes import RATE, GivenModes, make_modes, make_record

DRAWS = 40


@pytest.fixture(scope="module")
def tree() -> xr.DataTree:
    rng = np.random.default_rng(3)
    spread = rng.normal(size=(DRAWS, 3)) + 1j * rng.normal(size=(DRAWS, 3)) * [0, 1, 1]
    return make_modes(DRAWS, RATE + [0, 0.03j, 0] - 0.004 + 1e-3 * spread)


@pytest.fixture(scope="module")
def spectrum(tree) -> xr.Dataset:
    return koopman.spectrum(tree, make_record(40, first=40), model=GivenModes())


@pytest.fixture(scope="module")
def bare(spectrum) -> xr.Dataset:
    """As of a spectrum without a record."""
    told = xr.zeros_like(spectrum["verified"])
    return spectrum.assign(verified=told, residual=np.nan * spectrum["residual"])


@pytest.fixture(scope="module")
def pseudo() -> xr.DataArray:
    side = np.linspace(-1.2, 1.2, 25)
    z = xr.DataArray(side, coords={"re": side}, dims="re") + 0.5
    tau = np.hypot(z, xr.DataArray(side, coords={"im": side}, dims="im"))
    return tau.rename("pseudospectrum")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def entries(ax) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def dots(ax) -> dict[str, object]:
    return {points.get_label(): points for points in ax.collections if len(points.get_offsets())}


def test_eigenvalues_are_both_members_of_each_pair_by_status(spectrum):
    ax = plotting.plot_eigenvalues(spectrum)
    assert spectrum["verified"].values.tolist() == [1, 1, 2]
    real, imag = spectrum["eigenvalue"].values.T
    held = dots(ax)
    assert list(held) == ["verified", "refuted"] == entries(ax)
    wanted = [(real[0], imag[0]), (real[1], imag[1]), (real[1], -imag[1])]
    np.testing.assert_allclose(held["verified"].get_offsets(), wanted)
    wanted = [(real[2], imag[2]), (real[2], -imag[2])]
    np.testing.assert_allclose(held["refuted"].get_offsets(), wanted)
    residual = spectrum["residual"].values
    np.testing.assert_allclose(held["verified"].get_array(), residual[[0, 1, 1]])
    circle = next(p for p in ax.patches if isinstance(p, Circle))
    assert circle.radius == 1.0 and ax.get_aspect() == 1


def test_the_bar_tells_of_residuals_and_marks_the_tolerance(spectrum):
    bar = plotting.plot_eigenvalues(spectrum).figure.axes[1]
    assert bar.get_ylabel() == "residual"
    assert 0.1 in [line.get_ydata()[0] for line in bar.lines]


def test_ellipses_hold_the_level_of_a_normal_distribution(spectrum):
    ax = plotting.plot_eigenvalues(spectrum)
    found = [p for p in ax.patches if isinstance(p, Ellipse) and not isinstance(p, Circle)]
    assert len(found) == 5
    draws = spectrum["eigenvalue_draws"].sel(mode=1).values
    upper = found[1]
    np.testing.assert_allclose(upper.center, draws.mean(axis=0))
    outline = upper.get_patch_transform().transform(upper.get_path().vertices[:-1:3])
    apart = outline - draws.mean(axis=0)
    distance = np.einsum("na,ab,nb->n", apart, np.linalg.inv(np.cov(draws.T)), apart)
    np.testing.assert_allclose(distance, -2 * np.log(0.1), rtol=1e-2)
    np.testing.assert_allclose(found[2].center, draws.mean(axis=0) * [1, -1])


def test_what_is_unverified_is_hollow_and_said_so(bare):
    ax = plotting.plot_eigenvalues(bare)
    held = dots(ax)
    assert list(held) == ["unverified"] == entries(ax)
    assert held["unverified"].get_facecolors().size == 0
    assert len(held["unverified"].get_offsets()) == 5 and len(ax.figure.axes) == 1


def test_a_pseudospectrum_has_its_contours_where_it_is(pseudo, spectrum):
    ax = plotting.plot_pseudospectrum(pseudo, spectrum)
    filled = ax.collections[0]
    line = filled.get_paths()[1 + list(filled.levels).index(-0.5)].vertices  # below all is one
    radius = np.hypot(line[:, 0] + 0.5, line[:, 1])
    on = np.isclose(radius, 10**-0.5, atol=0.02) | np.isclose(radius, 10**-0.25, atol=0.02)
    assert on.all()
    assert ax.get_xlabel() == "real part"
    assert ax.figure.axes[1].get_ylabel() == "log10 of the least residual"
    white = dots(ax)["verified"].get_facecolors()
    np.testing.assert_allclose(white, [to_rgba("white")])


def test_a_pseudospectrum_stands_by_itself_and_may_be_zero(pseudo):
    axes = plt.subplots()[1]
    assert plotting.plot_pseudospectrum(pseudo.where(pseudo > 0.1, 0.0), ax=axes) is axes
    assert axes.get_legend() is None


def test_modes_are_amplitudes_with_intervals_and_phases(spectrum):
    figure = plotting.plot_modes(spectrum, [2, 1])
    left, right = figure.axes
    middle = left.containers[0].lines[0].get_xdata()
    np.testing.assert_allclose(middle, spectrum["amplitude"].sel(mode=2))
    (bars,) = left.containers[0].lines[2]
    ends = np.array([segment[:, 0] for segment in bars.get_segments()])
    np.testing.assert_allclose(ends, spectrum["amplitude_interval"].sel(mode=2))
    phase = right.lines[0].get_xdata()
    np.testing.assert_allclose(phase[1:3], np.degrees(spectrum["phase"].sel(mode=2)[1:3]))
    assert np.isnan(phase[[0, 3, 4]]).all()
    assert left.get_xlabel() == "amplitude (m)" and right.get_xlabel() == "phase (°)"
    assert [t.get_text() for t in left.get_yticklabels()] == spectrum["variable"].values.tolist()
    first, second = entries(right)
    assert first.startswith("mode 2: period ") and first.endswith("s, refuted")
    assert second.endswith(", verified")


def test_units_that_differ_stand_with_their_variables(spectrum):
    units = ("variable", ["m", "m s-1", "m s-1", "1", "K"])
    left, right = plotting.plot_modes(spectrum.assign_coords(units=units)).axes
    assert left.get_xlabel() == "amplitude (units of each variable)"
    shown = [t.get_text() for t in left.get_yticklabels()]
    assert shown == ["level (m)", "east (m s-1)", "north (m s-1)", "up", "down (K)"]
    energy = spectrum["energy"].values
    order = [int(words.split(":")[0][-1]) for words in entries(right)]
    assert order == np.argsort(-energy).tolist()


def test_a_station_is_chosen_by_its_label(spectrum):
    scale = xr.DataArray([1.0, 3.0], coords={"station": ["a", "b"]}, dims="station")
    names = ("amplitude", "amplitude_interval")
    wide = spectrum.assign({name: scale * spectrum[name] for name in names})
    left = plotting.plot_modes(wide, [0], place="b").axes[0]
    np.testing.assert_allclose(
        left.containers[0].lines[0].get_xdata(), 3 * spectrum["amplitude"].sel(mode=0)
    )
    assert left.get_title() == "station b"


def test_a_mode_that_is_not_there_is_refused(spectrum):
    with pytest.raises(ValueError, match=r"no mode 7 to plot, only \[0, 1, 2\]"):
        plotting.plot_modes(spectrum, [7])


def test_a_steady_mode_has_neither_period_nor_half_life(spectrum):
    steady = spectrum.copy(deep=True)
    steady["half_life"][0] = np.inf
    right = plotting.plot_modes(steady, [0]).axes[1]
    assert entries(right) == ["mode 0: steady, verified"]
