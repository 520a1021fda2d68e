"""Plots of generated windows hold the points that they claim to, and say what is not installed."""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

from assim import plotting
from assim.plotting import generated
from assim.scoring.generated import jensen_shannon


@pytest.fixture(scope="module")
def windows():
    rng = np.random.default_rng(0)
    return rng.uniform(size=(2, 40, 5, 3)) * [1.0, 0.8, 0.6]


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def entries(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def spots(ax):
    return [np.asarray(held.get_offsets()) for held in ax.collections]


def test_components_are_those_of_the_real_windows(windows):
    ax = plotting.plot_generated_pca(*windows, name="model")
    means = windows.mean(axis=-1)
    drawn, size = spots(ax), np.linalg.eigvalsh(np.cov(means[0].T))[::-1]
    np.testing.assert_allclose(drawn[0].var(axis=0, ddof=1), size[:2])
    np.testing.assert_allclose(drawn[0].mean(axis=0), 0, atol=1e-12)
    apart = np.linalg.norm(means[1].mean(0) - means[0].mean(0))
    assert 0 < np.linalg.norm(drawn[1].mean(axis=0)) <= apart
    assert entries(ax) == ["real", "model"]
    assert f"{100 * size[0] / size.sum():.1f} %" in ax.get_xlabel()


def test_densities_are_those_of_the_means_over_channels(windows):
    real, fake = windows
    ax = plotting.plot_generated_density(real, fake)
    x, y = ax.lines[0].get_data()
    assert np.trapezoid(y, x) == pytest.approx(1, abs=0.05)
    distance = jensen_shannon(real.mean(axis=-1), fake.mean(axis=-1))
    assert f"{distance:.3f}" in ax.get_title()
    assert len(plotting.plot_generated_density(real, np.full_like(fake, 0.5)).lines) == 2


def test_units_are_scaled_by_the_real_extrema(windows):
    real, fake = windows
    unit = plotting.plot_generated_density(real / real.max((0, 1)), fake / real.max((0, 1)))
    own = plotting.plot_generated_density(20 * real - 3, 20 * fake - 3)
    np.testing.assert_allclose(unit.lines[1].get_xdata(), own.lines[1].get_xdata(), atol=0.02)


def test_what_is_not_installed_is_said(windows, monkeypatch):
    monkeypatch.setattr(generated, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r'pip install "assim\[tsne\]"'):
        plotting.plot_generated_tsne(*windows)
    ax = plotting.plot_generated_tsne(*windows, or_pca=True)
    assert ax.get_xlabel().startswith("first component")


def test_both_are_embedded_together(windows, monkeypatch):
    asked = {}

    class TSNE:
        def __init__(self, **settings):
            asked.update(settings)

        def fit_transform(self, points):
            return points[:, :2]

    package, manifold = ModuleType("sklearn"), ModuleType("sklearn.manifold")
    package.__spec__, manifold.TSNE = ModuleSpec("sklearn", None), TSNE
    monkeypatch.setitem(sys.modules, "sklearn", package)
    monkeypatch.setitem(sys.modules, "sklearn.manifold", manifold)
    drawn = spots(plotting.plot_generated_tsne(*windows, seed=4))
    assert asked == {"perplexity": 40.0, "max_iter": 300, "random_state": 4}
    assert [len(points) for points in drawn] == [40, 40]
    means = windows[0].mean(axis=-1)[:, :2]
    np.testing.assert_allclose(np.sort(drawn[0], axis=0), np.sort(means, axis=0))
    with pytest.raises(ValueError, match="needs more"):
        plotting.plot_generated_tsne(windows[0][:20], windows[1][:20])
