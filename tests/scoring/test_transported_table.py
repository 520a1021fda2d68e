"""The table of models of snapshots: its floors, its doors, and what it refuses."""

import jax
import numpy as np
import pytest
import xarray as xr

from assim.scoring import transported as t

KEY = jax.random.key(5)
NUM, STEP = 24, np.array([3.0, 4.0])
TIMES = np.datetime64("2020-01-01", "ns") + np.arange(5) * np.timedelta64(1, "h")
QUICK = [t.Wasserstein(), t.SquaredMMD(), t.SlicedWasserstein(directions=5)]


def snapshots(x, rows=slice(None), units="km", **more):
    """A dataset of positions (time, sample, coordinate)."""
    cells = {n: (("time", "sample"), x[..., i], {"units": units}) for i, n in enumerate("uv")}
    return xr.Dataset(cells | more, {"time": TIMES}).isel(time=rows)


@pytest.fixture(scope="module")
def x():
    """One cloud that moves on by 5 km an hour, its points in another order each time."""
    rng = np.random.default_rng(0)
    cloud = rng.normal(size=(NUM, 2))
    return np.stack([rng.permutation(cloud) + hour * STEP for hour in range(5)])


@pytest.fixture(scope="module")
def record(x):
    return snapshots(x, [0, 3]), snapshots(x, [1, 4])


@pytest.fixture(scope="module")
def table(x, record):
    seen, truth = record
    made = {"far": snapshots(x + [30.0, 40.0]), "exact": snapshots(x)}
    return t.transported(truth, made, seen, key=KEY, scores=QUICK)


def test_the_floors_are_in_every_table(table):
    names = ["split_half", "persistence", "midpoint", "far", "exact"]
    assert table["generator"].values.tolist() == names
    assert (table["time"].values == TIMES[[1, 4]]).all()
    w2 = table["w2"]
    # One hour after the first snapshot; and one after the third, with nothing later that is known.
    np.testing.assert_allclose(w2.sel(generator="persistence"), [5, 5])
    np.testing.assert_allclose(w2.sel(generator="midpoint"), [0, np.nan], atol=1e-12)
    np.testing.assert_allclose(w2.sel(generator="far"), [50, 50])
    np.testing.assert_allclose(w2.sel(generator="exact"), 0, atol=1e-12)
    half = w2.sel(generator="split_half")
    assert (0.2 < half).all() and (half < 2).all()
    assert table["points"].values[:, 0].tolist() == [NUM // 2, NUM, NUM, NUM, NUM]
    assert table["points"].sel(generator="midpoint").values.tolist() == [NUM, 0]


def test_scores_say_what_they_are(table):
    assert table["w2"].attrs["units"] == "km" and table["mmd2"].attrs["units"] == "1"
    assert table["w2"].attrs["long_name"].startswith("W2: root of the mean squared distance")
    assert table.attrs["coordinates"] == ["u", "v"] and table.attrs["truth_points"] == [NUM, NUM]


def test_halves_do_not_share_points_and_are_averaged(x):
    cloud = t.Cloud.of(x[0])
    told = t.split_half(QUICK[0], cloud, 40, key=KEY)
    # Halves of 12 are further apart than the whole from a cloud of its kind, and no point is in both.
    other = t.Cloud.of(np.random.default_rng(9).normal(size=(NUM, 2)))
    assert told > QUICK[0](cloud, other, key=KEY) * 0.8
    pair = t.Cloud.of(np.array([[0.0, 0.0], [3.0, 4.0], [3.0, 4.0]]), np.array([1.0, 1.0, 0.0]))
    assert t.split_half(QUICK[0], t.Cloud.of(pair.x[:2]), 3, key=KEY) == pytest.approx(5)


def test_the_same_key_gives_the_same_table_and_scores_do_not_disturb_each_other(table, x, record):
    seen, truth = record
    again = t.transported(truth, {"exact": snapshots(x)}, seen, key=KEY, scores=QUICK[::-1])
    kept = table.sel(generator=again["generator"])
    for score in QUICK:
        np.testing.assert_array_equal(again[score.name], kept[score.name])
    other = t.transported(truth, {}, seen, key=jax.random.key(6), scores=QUICK)
    assert (other["w2"][0] != table["w2"][0]).all()


def test_the_way_is_cut_at_the_time_that_it_is(x):
    """Snapshots at 0 h and 4 h, and the true one at 1 h: a quarter of the way."""
    seen = t.as_clouds(snapshots(x, [0, 4]))
    quarter = t.midpoint(seen, TIMES[1])
    assert t.wasserstein(quarter.x, x[1]) == pytest.approx(0, abs=1e-12)
    assert t.persistence(seen, TIMES[4]).x.tolist() == seen.each[0].x.tolist()
    elsewhere = np.where(np.arange(5)[:, None, None] > 0, x, 100.0)
    among = t.as_clouds(snapshots(elsewhere, [4, 2, 0]))
    assert t.wasserstein(t.midpoint(among, TIMES[3]).x, x[3]) == pytest.approx(0, abs=1e-12)
    assert t.persistence(among, TIMES[3]).x.tolist() == x[2].tolist()
    assert t.persistence(seen, TIMES[0]) is None and t.midpoint(seen, TIMES[4]) is None


def test_paths_come_in_any_order_of_dimensions(x, record):
    seen, truth = record
    told = x.reshape(5, NUM // 4, 4, 2).transpose(2, 0, 3, 1)[:, ::-1, ::-1]
    dims = ("draw", "time", "coordinate", "sample")
    marks = {"time": TIMES[::-1], "coordinate": ["v", "u"]}
    paths = xr.DataArray(told, marks, dims)
    tree = xr.DataTree.from_dict({"generated": paths.to_dataset("coordinate")})
    table = t.transported(truth, {"a": paths, "b": tree}, seen, key=KEY, scores=QUICK[:1])
    np.testing.assert_allclose(table["w2"].sel(generator=["a", "b"]), 0, atol=1e-12)


def test_padding_weights_and_units_are_heeded(x, record):
    seen, truth = record
    padded = np.concatenate([x, np.full((5, 3, 2), np.nan)], axis=1)
    doubled = np.concatenate([padded, x[:, :4]], axis=1)
    weight = np.concatenate([np.r_[np.full(4, 0.5), np.ones(NUM - 4)], np.ones(3), np.full(4, 0.5)])
    held = snapshots(1000 * doubled, units="m", weight=("sample", weight))
    held["id"], held["u_sd"] = held["u"] * 0, held["u"] * 0
    more = held.assign(depth=held["u"])  # a coordinate that was not seen in truth
    table = t.transported(truth, {"a": more}, seen, key=KEY, scores=QUICK[:1])
    np.testing.assert_allclose(table["w2"].sel(generator="a"), 0, atol=1e-9)
    assert table["points"].sel(generator="a").values.tolist() == [NUM + 4] * 2
    assert t.as_clouds(held).coordinates == ("u", "v")


def test_models_with_many_points_are_thinned(x, record):
    seen, truth = record
    many = {"many": snapshots(np.tile(x, (1, 5, 1)))}
    table = t.transported(truth, many, seen, key=KEY, scores=QUICK[:1], most=NUM)
    assert table["points"].sel(generator="many").values.tolist() == [NUM, NUM]
    assert (table["w2"].sel(generator="many") > 0).all()


def test_the_share_that_is_explained(x):
    held = snapshots(x)
    whole = t.mmd_r2(held, held)
    assert whole["r2"] == pytest.approx(1) and (whole["r2_by_time"] == 1).all()
    mixed = snapshots(np.broadcast_to(x.reshape(-1, 2), (5, 5 * NUM, 2)))
    none = t.mmd_r2(held, mixed)
    np.testing.assert_allclose(none["r2_by_time"], 0, atol=1e-9)
    assert none["r2"] == pytest.approx(0, abs=1e-9)
    # By hand, with numbers of points that differ: 2 at the last time.
    few = x.copy()
    few[4, 2:] = np.nan
    count, h = np.array([NUM] * 4 + [2]), 30.0
    parts = [row[:n] for row, n in zip(x, count, strict=True)]
    pool = np.concatenate(parts)
    left = [t.squared_mmd(p + 1, p, bandwidth=h) for p in parts]
    most = [t.squared_mmd(pool, p, bandwidth=h) for p in parts]
    known = 1 - (count**2 @ left) / (count**2 @ most)
    told = t.mmd_r2(snapshots(few), snapshots(few + 1), bandwidth=h)
    assert told["r2"] == pytest.approx(known)
    np.testing.assert_allclose(told["r2_by_time"], 1 - np.divide(left, most))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"made": {"midpoint": None}}, "other names than"),
        ({"halves": 0}, "halves=0"),
        ({"scores": [t.Wasserstein(), t.Wasserstein()]}, "each once"),
        ({"made": {"a": slice(0, 2)}}, r"'a' has no cloud at 2020-01-01T04.*1 of 2 times"),
        ({"made": {"a": "w"}}, r"'a' has \['u'\]"),
        ({"made": {"a": "s"}}, "'a' is in 's' and the snapshots are in 'km'"),
        ({"made": {"a": "weights"}}, "weights from -1.0"),
        ({"made": {"a": "array"}}, "'a' lies on"),
        ({"truth": "one"}, "each needs two or more"),
        ({"truth": "empty"}, "'truth' has 0 points at"),
    ],
)
def test_what_cannot_be_scored_is_refused(x, record, change, says):
    seen, truth = record
    held = snapshots(x)
    shapes = {
        "w": held.drop_vars("v"),
        "s": snapshots(x, units="s"),
        "weights": held.assign(weight=("sample", np.full(NUM, -1.0))),
        "array": held["u"],
        "one": truth.isel(sample=[0]),
        "empty": truth * np.nan,
    }
    ask = {"truth": truth, "made": {}, "seen": seen, "key": KEY, "scores": QUICK[:1]} | change
    if isinstance(ask["truth"], str):
        ask["truth"] = shapes[ask["truth"]]
    for name, given in ask["made"].items():
        cut = held.isel(time=given) if isinstance(given, slice) else shapes.get(given)
        ask["made"] = {name: cut}
    with pytest.raises(ValueError, match=says):
        t.transported(**ask)


def test_points_that_lack_a_coordinate_are_left_out_and_counted(x):
    holed = x.copy()
    holed[1, :3, 0] = np.nan
    with pytest.warns(UserWarning, match="'truth' has 3 points at"):
        held = t.as_clouds(snapshots(holed))
    assert [len(cloud) for cloud in held.each] == [NUM, NUM - 3, NUM, NUM, NUM]
