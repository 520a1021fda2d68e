"""Straight lines between snapshots: pairs of least cost, any sizes and weights, and what they do not tell."""

import json

import jax
import numpy as np
import pytest
import xarray as xr

import assim
from assim import filters
from assim.inference import Prior
from assim.models import DisplacementInterpolation
from assim.nn.exact_transport import midpoints

KEY = jax.random.key(0)
MODEL = DisplacementInterpolation()
CLOUDS = [
    np.array([3.0, 0.0, 1.0, 7.0]),
    np.array([5.0, 9.0, 4.0, 6.0]),
    np.array([0.0, -2.0, -5.0, -1.0]),
]
TIMES = [0.0, 1.0, 3.0]


def stacked(clouds: list, **beside: list) -> xr.Dataset:
    return assim.stack_snapshots(
        [np.reshape(c, (len(c), -1)) for c in clouds], TIMES, "x", **beside
    )


@pytest.fixture(scope="module")
def post() -> xr.DataTree:
    return assim.infer(MODEL, stacked(CLOUDS), key=KEY)


def through(post, given: xr.Dataset | None = None) -> np.ndarray:
    """Lines at the snapshots (rows 0, 2 and 4) and half way, shape (path, row)."""
    return assim.generate(post, 600, key=KEY, times=1, given=given)["generated"]["x"].values


def test_a_fit_is_one_draw_at_once(post):
    assert post["posterior"].sizes == {"chain": 1, "draw": 1} and post.attrs["advice"] == ""
    assert json.loads(post.attrs["method"]) == {"type": "Known"}
    with pytest.warns(
        UserWarning, match="Nothing is unknown in this DisplacementInterpolation: Pri"
    ):
        assim.infer(MODEL, stacked(CLOUDS), Prior(3), key=KEY)


def test_in_one_dimension_the_order_is_kept(post):
    x = through(post)
    ranks = [np.searchsorted(np.sort(c), x[:, 2 * k]) for k, c in enumerate(CLOUDS)]
    np.testing.assert_array_equal(ranks[1:], ranks[:1] * 2)
    for rank in range(4):
        assert abs((ranks[0] == rank).mean() - 0.25) < 4 * (0.1875 / 600) ** 0.5


def test_a_line_is_straight_and_as_far_along_as_the_time_is(post):
    start = np.datetime64("2000-01-01", "ns")
    asked = start + np.array([250, 1500], "timedelta64[ms]")
    made = assim.generate(post, 50, key=KEY, times=asked)["generated"]["x"]
    assert made.sizes == {"sample": 50, "time": 5}
    x = made.values
    np.testing.assert_allclose(x[:, 1], 0.75 * x[:, 0] + 0.25 * x[:, 2], atol=1e-6)
    np.testing.assert_allclose(x[:, 3], 0.75 * x[:, 2] + 0.25 * x[:, 4], atol=1e-6)


def test_sizes_may_differ_and_mass_is_split(post):
    clouds = [[0.0, 10.0], [0.0, 10.0, 20.0], [5.0, 1.0, 2.0, 3.0]]
    x = through(post, stacked(clouds))
    starts = x[:, 0] == 0.0
    assert set(x[starts, 2]) == {0.0, 10.0} and set(x[~starts, 2]) == {10.0, 20.0}
    # of the half that starts at 0 a third goes to 0, and so two of three paths
    for told, share in ((x[starts, 2] == 0.0, 2 / 3), (x[~starts, 2] == 20.0, 2 / 3)):
        assert abs(told.mean() - share) < 4 * (0.25 / told.size) ** 0.5
    for value in clouds[2]:
        assert abs((x[:, 4] == value).mean() - 0.25) < 4 * (0.1875 / 600) ** 0.5


def test_weights_count(post):
    clouds = [[0.0, 10.0], [1.0, 9.0, 11.0, 12.0], [0.0, 1.0]]
    weight = [np.array([1.0, 3.0]), np.ones(4), np.array([0.0, 2.0])]
    x = through(post, stacked(clouds, weight=weight))
    first = x[:, 0] == 0.0
    assert abs(first.mean() - 0.25) < 4 * (0.1875 / 600) ** 0.5
    assert set(x[first, 2]) == {1.0} and set(x[~first, 2]) == {9.0, 11.0, 12.0}
    assert set(x[:, 4]) == {1.0}  # what weighs nothing is met by nobody


def test_a_cloud_on_the_way_is_that_of_optimal_transport(post):
    rng = np.random.default_rng(0)
    clouds = [rng.normal(size=n) for n in (4, 3, 4)]
    x = through(post, stacked(clouds))
    between, _ = midpoints(clouds[0][:, None], clouds[1][:, None], 0.5)
    far = np.abs(x[:, 1, None] - between[:, 0])
    assert far.min(axis=1).max() < 1e-6 and np.unique(far.argmin(axis=1)).size == len(between)


def test_particles_that_are_known_go_with_themselves(post):
    id = [np.array([0, 1, 2, 3]), np.array([0, 3, 7, 8]), np.array([4, 5, 6, 9])]
    x = through(post, stacked(CLOUDS, id=id))
    for one, other in ((3.0, 5.0), (7.0, 9.0), (0.0, 4.0), (1.0, 6.0)):
        assert set(x[x[:, 0] == one, 2]) == {other}
    swapped = [CLOUDS[0], CLOUDS[1][[1, 0, 2, 3]], CLOUDS[2]]
    x = through(post, stacked(swapped, id=id))
    assert set(x[x[:, 0] == 3.0, 2]) == {9.0} and set(x[x[:, 0] == 7.0, 2]) == {5.0}


def test_a_saved_tree_makes_the_same_lines(post, tmp_path):
    post.to_netcdf(tmp_path / "post.nc", engine="h5netcdf")
    np.testing.assert_array_equal(through(tmp_path / "post.nc"), through(post))
    assert assim.restore(tmp_path / "post.nc").model == MODEL


def test_a_fit_goes_on_with_other_snapshots(post):
    others = stacked([c + 1.0 for c in CLOUDS])
    later = assim.infer(MODEL, others, key=KEY, init=post)
    np.testing.assert_allclose(through(later), through(post) + 1.0, atol=1e-6)


def test_a_sample_that_was_read_in_part_takes_no_part():
    clouds = [np.array([[0.0, 0.0], [1.0, 5.0]]), np.array([[0.0, 0.0], [1.0, np.nan], [2.0, 2.0]])]
    ds = assim.stack_snapshots(clouds, TIMES[:2], ("x", "y"))
    made = assim.generate(assim.infer(MODEL, ds, key=KEY), 60, key=KEY, times=0)["generated"]
    assert set(made["x"].values[:, 1]) == {0.0, 2.0} and set(made["y"].values[:, 1]) == {0.0, 2.0}
    with pytest.raises(ValueError, match="Snapshot 1, counted from 0, holds no sample of which"):
        assim.infer(MODEL, ds.assign(y=ds["y"].where(ds["time"] == ds["time"][0])), key=KEY)


def test_what_cannot_be_is_refused_in_a_sentence(post):
    with pytest.raises(TypeError) as refused:
        assim.forecast(post, None, "2s", key=KEY)
    record = xr.Dataset({"x": ("time", [0.0])}, {"time": [np.datetime64("2000-01-01", "ns")]})
    with pytest.raises(TypeError) as unmoved:
        assim.assimilate(post, record, filters.ETKF(4), key=KEY)
    for said in (str(refused.value), str(unmoved.value)):
        assert said.startswith("A DisplacementInterpolation says nothing of what comes after")
        assert "\n" not in said
    with pytest.raises(ValueError, match="unit"):
        assim.infer(DisplacementInterpolation(unit="soon"), stacked(CLOUDS), key=KEY)
    in_part = stacked([*CLOUDS[:2], [np.nan] * 4])
    with pytest.warns(UserWarning, match="none"):  # a snapshot of nobody is passed through
        assert np.isfinite(through(post, in_part)).all()
