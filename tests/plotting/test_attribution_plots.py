"""The map holds what was attributed to each sensor and lag, and the bars what they come to."""

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

from assim import plotting
from assim.attributing_labels import shares

TIME = np.array(["2020-01-01T00", "2020-01-01T06"], "datetime64[ns]")


def group(values, dims, units):
    coords = {
        "init_time": TIME,
        "target": ["p1", "T"],
        "sensor": ["p1", "T", "fuel"],
        "offset": np.arange(-2, 2) * np.timedelta64(50, "ms"),
        "units": ("target", units),
    }
    values = np.where(np.arange(4) < 3, values, np.nan)
    values[..., 2, :] = np.where(np.arange(4) < 3, np.nan, 1.0 + values[..., 1, :1])
    numbers = {d: range(n) for d, n in zip(dims, values.shape, strict=True) if d not in coords}
    found = xr.DataArray(values, numbers | coords, dims)
    return xr.Dataset({"attribution": found})


@pytest.fixture(scope="module")
def tree() -> xr.DataTree:
    rng = np.random.default_rng(0)
    dims = ("init_time", "target", "sensor", "offset")
    return xr.DataTree.from_dict(
        {
            "mean": group(
                rng.normal(size=(1, 8, 2, 2, 3, 4)), ("chain", "draw", *dims), ["Pa", "K"]
            ),
            "epistemic_variance": group(rng.normal(size=(2, 2, 3, 4)), dims, ["Pa2", "K2"]),
        }
    )


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_of_all_origins_it_is_sizes_and_shares(tree):
    left, right, bar = plotting.plot_attribution(tree, "T").axes
    held = tree["mean"]["attribution"].sel(target="T")
    middle = held.mean(["chain", "draw"], skipna=False)
    drawn = left.images[0].get_array()
    np.testing.assert_allclose(drawn.filled(np.nan), abs(middle).mean("init_time"))
    widths = [patch.get_width() for patch in right.patches]
    np.testing.assert_allclose(widths, shares(middle))
    assert sum(widths) == pytest.approx(1.0)
    ends = np.array([s[:, 0] for s in right.collections[0].get_segments()])
    told = shares(held).quantile([0.05, 0.95], ["chain", "draw"]).transpose("sensor", ...)
    np.testing.assert_allclose(ends, told)
    assert [t.get_text() for t in left.get_yticklabels()] == ["p1", "T", "fuel"]
    assert left.get_xlabel() == "time since the origin (s)"
    assert bar.get_ylabel() == "mean absolute attribution (K)"
    assert right.get_legend().get_texts()[0].get_text() == "90 % interval over draws"


def test_of_one_origin_it_has_signs_and_sums(tree):
    figure = plotting.plot_attribution(tree, init_time="2020-01-01T05")
    left, right, _ = figure.axes
    one = tree["mean"]["attribution"].sel(target="p1", init_time=TIME[1]).mean(["chain", "draw"])
    image = left.images[0]
    np.testing.assert_allclose(image.get_array().filled(np.nan), one)
    low, high = image.get_clim()
    assert -low == high == pytest.approx(float(abs(one).max()))
    np.testing.assert_allclose([p.get_width() for p in right.patches], one.sum("offset"))
    assert right.get_xlabel() == "sum (Pa)"
    assert left.get_title() == "mean of p1, from 2020-01-01 06:00"
    left_end, right_end = image.get_extent()[:2]
    np.testing.assert_allclose([left_end, right_end], [-0.125, 0.075])


def test_what_has_no_draws_has_no_intervals(tree):
    left, right, _ = plotting.plot_attribution(tree, quantity="epistemic_variance").axes
    assert len(right.collections) == 0 and right.get_legend() is None


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"quantity": "median"}, "no quantity 'median'"), ({"target": "x"}, "no target 'x'")],
)
def test_what_is_not_there_is_refused(tree, settings, words):
    with pytest.raises(ValueError, match=words):
        plotting.plot_attribution(tree, **settings)
