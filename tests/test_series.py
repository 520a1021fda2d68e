"""Windows cut from a record, at its edges too, and the origins that can be scored."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from assim.data.framing import Selection, frame_of
from assim.series import Layout, Series, Stream, cut, origins_with_truth, windows
from assim.snapshots import Snapshots

LENGTH = 12


def make(mask=None, known=None, runs=2):
    """Readings that say where they stand: 100 run + row, channels alike."""
    rows = 100.0 * jnp.arange(runs)[:, None] + jnp.arange(LENGTH)
    y = jnp.stack([rows, rows + 0.5], -1)
    mask = jnp.ones(y.shape, bool) if mask is None else jnp.asarray(mask)
    stream = Stream(
        jnp.broadcast_to(jnp.arange(LENGTH), (runs, LENGTH)),
        jnp.zeros((runs, LENGTH)),
        jnp.where(mask, y, 0.0),
        mask,
        jnp.where(mask, 0.1 * y, 0.0),
    )
    known = jnp.ones((runs, LENGTH), bool) if known is None else jnp.asarray(known)
    return Series({"main": stream}, -rows[..., None], known)


def test_a_window_is_the_rows_around_its_origin():
    w = cut(make(), 1, 6, context=3, horizon=2, step=600.0)
    np.testing.assert_array_equal(w.context.y[:, 0], [104, 105, 106])
    np.testing.assert_array_equal(w.y[:, 1], [107.5, 108.5])
    np.testing.assert_array_equal(w.u[:, 0], [-107, -108])
    np.testing.assert_allclose(w.sd[:, 0], [10.7, 10.8])
    np.testing.assert_array_equal(w.context.u[:, 0], [-104, -105, -106])
    assert w.mask.all()
    assert w.context.mask.all()
    np.testing.assert_array_equal(w.spans.dt, [600, 600])


def test_before_the_start_is_missing():
    w = cut(make(), 1, 1, context=4, horizon=1, step=1.0)
    np.testing.assert_array_equal(w.context.mask[:, 0], [False, False, True, True])
    np.testing.assert_array_equal(w.context.y[:, 0], [0, 0, 100, 101])
    np.testing.assert_allclose(w.context.sd[:, 0], [0, 0, 10, 10.1])


def test_past_the_end_is_missing_and_inputs_are_held():
    w = cut(make(), 0, LENGTH - 2, context=1, horizon=3, step=1.0)
    np.testing.assert_array_equal(w.mask[:, 0], [True, False, False])
    np.testing.assert_array_equal(w.y[:, 0], [11, 0, 0])
    np.testing.assert_array_equal(w.u[:, 0], [-11, -11, -11])


@pytest.mark.parametrize("horizon", [1, 5])
def test_a_window_at_the_very_end_has_nothing_ahead(horizon):
    w = cut(make(), 0, LENGTH - 1, context=2, horizon=horizon, step=1.0)
    assert not w.mask.any()
    assert w.context.mask.all()


def test_missing_readings_are_zero_whatever_the_array_holds():
    series = make(np.arange(2 * LENGTH * 2).reshape(2, LENGTH, 2) % 3 > 0)
    w = cut(series, 0, 6, context=7, horizon=5, step=1.0)
    assert (w.y[~w.mask] == 0).all()
    assert (w.context.y[~w.context.mask] == 0).all()


def test_many_windows_are_each_its_own():
    series = make()
    pairs = jnp.array([[0, 3], [1, 5], [1, 0]])
    many = windows(series, pairs, context=2, horizon=2, step=1.0)
    for i, (run, row) in enumerate(pairs):
        one = cut(series, run, row, context=2, horizon=2, step=1.0)
        np.testing.assert_array_equal(many.y[i], one.y)
        np.testing.assert_array_equal(many.context.mask[i], one.context.mask)


def brute(series, context, horizon, overhang=False):
    """Every origin by its definition."""
    mask, known = np.asarray(series.main.mask), np.asarray(series.inputs_known)
    return sorted(
        (row, run)
        for run in range(mask.shape[0])
        for row in (range(LENGTH - 1) if overhang else range(context - 1, LENGTH - horizon))
        if mask[run, row + 1 : row + horizon + 1].any()
        and known[run, row + 1 : row + horizon + 1].all()
    )


@pytest.mark.parametrize(
    ("context", "horizon"), [(1, 1), (3, 1), (2, 4), (11, 1), (12, 1), (1, 12), (1, 11), (20, 3)]
)
@pytest.mark.parametrize("overhang", [False, True])
def test_origins_are_those_with_context_truth_and_inputs(context, horizon, overhang):
    rng = np.random.default_rng(0)
    mask = rng.random((2, LENGTH, 2)) < 0.4
    known = rng.random((2, LENGTH)) < 0.9
    series = make(mask, known)
    pairs = origins_with_truth(series, context, horizon, overhang=overhang)
    assert pairs.dtype == np.int32
    assert pairs.shape[1] == 2
    assert [(row, run) for run, row in pairs] == brute(series, context, horizon, overhang)
    assert (np.diff(pairs[:, 1]) >= 0).all()


def record():
    rng = np.random.default_rng(0)
    time = np.datetime64("2020-01-01", "ns") + np.arange(30) * np.timedelta64(60, "s")
    speed = {"standard_name": "wind_speed", "units": "m s-1"}
    ds = xr.Dataset(
        {
            "t": ("time", 1e5 + rng.normal(size=30)),
            "v": ("time", np.abs(rng.normal(size=30)), speed),
            "v_sd": ("time", np.full(30, 0.2)),
            "c": ("time", rng.normal(size=30)),
        },
        {"time": time},
    )
    ds["t"][4] = ds["c"][7] = np.nan
    return ds.isel(time=np.r_[0:10, 12:30])


def test_a_series_is_the_frame_scaled_and_masked():
    frame = frame_of(record(), Selection(controls=("c",)))
    series = Series.of(frame)
    main = series.main
    np.testing.assert_array_equal(main.mask, np.isfinite(frame.y))
    assert not main.mask[0, 10:12].any()
    assert (main.y[~main.mask] == 0).all()
    z = frame.scaling.forward(frame.y)
    np.testing.assert_allclose(main.y[main.mask], z[np.isfinite(z)], rtol=1e-6)
    assert main.y.dtype == main.sd.dtype == jnp.float32
    seen = np.asarray(main.mask[0, :, 1])
    np.testing.assert_allclose(main.sd[0, seen, 1], 0.2 / frame.scaling.scale[0, 1], rtol=1e-6)
    assert (main.sd[0, ~seen, 1] == 0).all()
    assert np.isfinite(series.inputs).all()
    np.testing.assert_array_equal(np.flatnonzero(~series.inputs_known[0]), [7, 10, 11])


def test_float64_is_kept_where_it_is_asked_for(x64):
    assert Series.of(frame_of(record(), Selection())).main.y.dtype == jnp.float64


def test_a_layout_tells_the_columns_and_survives_json():
    frame = frame_of(record(), Selection(controls=("c",), covariates=("t",)))
    layout = Layout.of(frame)
    assert layout == Layout(("t", "v"), ("real", "lower"), (False, True), ("c",), 1, 60.0)
    assert hash(layout) == hash(Layout.from_dict(json.loads(json.dumps(layout.to_dict()))))
    assert layout == Layout.from_dict(json.loads(json.dumps(layout.to_dict())))
    np.testing.assert_array_equal(layout.bounds, [[-np.inf, 0], [np.inf, np.inf]])


class TestStreamsAtTheirOwnRates:
    ORIGIN = np.datetime64("1999-12-31T23:00", "ns")

    def test_no_stamp_is_moved_over_years(self):
        late = np.datetime64("2024-03-01T00:00:00.000", "ns")
        times = late + np.array([0, 7, 1500, 86_400_000]) * np.timedelta64(1, "ms")
        stream = Stream.of(times, np.zeros((1, 4, 1)), origin=self.ORIGIN, step=10.0)
        expected = np.array([0.007, 1.493, 86_398.5])
        np.testing.assert_allclose(stream.spans(10.0)[0], expected, rtol=1e-3)
        back = (np.asarray(stream.tick, np.int64) + np.asarray(stream.frac, float)) * 10.0
        since = (times - self.ORIGIN) / np.timedelta64(1, "s")
        np.testing.assert_allclose(back[0] - since, 0, atol=1e-5)

    def test_two_rates_share_an_origin(self):
        fast = self.ORIGIN + np.arange(60) * np.timedelta64(1, "s")
        slow = self.ORIGIN + np.arange(3) * np.timedelta64(25, "s")
        y = np.arange(3.0)[None, :, None]
        streams = {
            "fast": Stream.of(fast, np.ones((1, 60, 2)), origin=self.ORIGIN, step=10.0),
            "slow": Stream.of(slow, y, origin=self.ORIGIN, step=10.0, where=y),
        }
        assert streams["fast"].tick[0, -1] == 5
        np.testing.assert_allclose(streams["slow"].frac[0], [0.0, 0.5, 0.0])
        np.testing.assert_allclose(streams["slow"].where, y)

    def test_missing_readings_and_their_errors_are_zero(self):
        y = np.array([[[1.0], [np.nan]]])
        stream = Stream.of(
            self.ORIGIN + np.arange(2) * np.timedelta64(1, "s"),
            y,
            origin=self.ORIGIN,
            step=1.0,
            sd=np.array([[[np.nan], [0.5]]]),
        )
        assert stream.mask.tolist() == [[[True], [False]]]
        assert not stream.sd.any() and stream.y[0, 1, 0] == 0

    def test_stamps_before_the_origin_are_refused(self):
        with pytest.raises(ValueError, match="take the first stamp as origin"):
            Stream.of(
                np.array([self.ORIGIN - np.timedelta64(1, "s")]),
                np.zeros((1, 1, 1)),
                origin=self.ORIGIN,
                step=1.0,
            )

    def test_sensors_that_move_carry_where_they_were(self):
        times = self.ORIGIN + np.arange(4) * np.timedelta64(1, "s")
        y, where = np.zeros((2, 4, 1)), np.arange(24.0).reshape(2, 4, 3)
        stream = Stream.of(times, y, origin=self.ORIGIN, step=1.0, where=where)
        assert stream.where.dtype == stream.y.dtype
        np.testing.assert_array_equal(stream.where, where)
        assert Stream.of(times, y, origin=self.ORIGIN, step=1.0).where is None
        with pytest.raises(
            ValueError, match=r"where has shape \(4, 3\).*\(run, time, coordinate\)"
        ):
            Stream.of(times, y, origin=self.ORIGIN, step=1.0, where=where[0])


class TestSnapshots:
    ORIGIN = np.datetime64("1999-12-31T23:00", "ns")
    TIMES = ORIGIN + np.array([0, 25, 36_000]) * np.timedelta64(1, "s")

    def of(self, times=TIMES, x=None, origin=ORIGIN, step=10.0, **given):
        x = np.arange(24.0).reshape(3, 4, 2) if x is None else x
        return Snapshots.of(times, x, origin=origin, step=step, **given)

    def test_no_stamp_is_moved(self):
        snapshots = self.of()
        np.testing.assert_array_equal(snapshots.tick, [0, 2, 3600])
        np.testing.assert_allclose(snapshots.frac, [0, 0.5, 0])
        np.testing.assert_array_equal(snapshots.x, np.arange(24.0).reshape(3, 4, 2))
        assert snapshots.mask.all() and (snapshots.weight == 1).all() and snapshots.id is None
        assert snapshots.x.dtype == snapshots.weight.dtype == snapshots.frac.dtype == jnp.float32

    def test_padding_weighs_nothing_and_half_a_sample_counts(self):
        x = np.ones((3, 4, 2))
        x[0, 3] = x[1, 2, 0] = np.nan
        snapshots = self.of(x=x, weight=np.full((3, 4), 0.5), id=np.arange(12).reshape(3, 4))
        assert np.isfinite(snapshots.x).all()
        np.testing.assert_array_equal(snapshots.mask, np.isfinite(x))
        assert (snapshots.x[~snapshots.mask] == 0).all()
        assert snapshots.weight[0].tolist() == [0.5, 0.5, 0.5, 0] and snapshots.weight[1, 2] == 0.5
        assert snapshots.id.dtype == jnp.int32 and snapshots.id[2, 3] == 11

    @pytest.mark.parametrize(
        ("given", "says"),
        [
            ({"x": np.ones((3, 4))}, r"x \(3, 4\).*expected .*x \(snapshot, sample, coordinate\)"),
            ({"times": TIMES[:2]}, r"times \(2,\), x \(3, 4, 2\)"),
            ({"weight": np.ones(4)}, r"weight \(4,\)"),
            ({"id": np.ones((4, 3), int)}, r"id \(4, 3\)"),
            ({"weight": np.full((3, 4), -1.0)}, "weights run from -1.0 to -1.0.*0 or more"),
            ({"weight": np.full((3, 4), np.nan)}, "finite"),
            ({"id": np.full((3, 4), "a")}, "identities are of type <U1.*np.unique"),
            ({"origin": TIMES[1]}, "take the first stamp as origin"),
            ({"step": 1e-9}, "or a longer step"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, given, says):
        with pytest.raises(ValueError, match=says):
            self.of(**given)
