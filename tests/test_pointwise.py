"""One step ahead, cell by cell, in file units: against the densities written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from scipy import stats

from assim.data.framing import Selection, frame_of
from assim.models import Autoregressive, FixedNormal
from assim.pointwise import judge, newest_cells, on_cells, to_file_units
from assim.problem import pose
from assim.series import Layout, Series, cut, origins_with_truth

MODEL = Autoregressive(2, (), noise=FixedNormal(0.7), calendar=(), mask_rate=0.4)
COUNT = 120


@pytest.fixture(scope="module")
def frame():
    """Two masts: temperature, wind with calms, direction; with gaps."""
    rng = np.random.default_rng(0)
    shape, dims = (2, COUNT), ("station", "time")
    speed = {"standard_name": "wind_speed", "units": "m s-1"}
    turn = {"standard_name": "wind_from_direction", "units": "degree"}
    values = {
        "t": (dims, 10 + np.cumsum(rng.normal(size=shape), 1)),
        "v": (dims, np.maximum(rng.normal(1, 1, shape), 0), speed),
        "d": (dims, np.mod(np.cumsum(rng.normal(0, 20, shape), 1), 360), turn),
    }
    time = np.datetime64("2020-01-01", "ns") + np.arange(COUNT) * np.timedelta64(600, "s")
    ds = xr.Dataset(values, {"time": time, "station": ["a", "b"]})
    ds = ds.where(xr.DataArray(rng.random((2, COUNT)) < 0.85, dims=dims))
    return frame_of(ds, Selection())


@pytest.fixture(scope="module")
def judged(frame):
    layout, series = Layout.of(frame), Series.of(frame)
    pairs = jnp.asarray(origins_with_truth(series, 2, 1))
    problem = pose(MODEL, series, pairs, layout, key=jax.random.key(0))
    features = problem.examples.features.shape[1]
    rng = np.random.default_rng(1)
    sites = {
        "net.skip.weight": 0.2 * rng.normal(size=(2, 150, 3, features)).astype(np.float32),
        "net.skip.bias": 0.2 * rng.normal(size=(2, 150, 3)).astype(np.float32),
    }
    cells = newest_cells(series, layout, 30)
    told = judge(MODEL, problem, series, frame, cells, sites, None, key=jax.random.key(2))
    return told, cells, problem, sites


def test_the_cells_are_the_readings_of_the_newest_times(frame, judged):
    _, cells, _, _ = judged
    pairs = set(zip(cells.run, cells.row, cells.channel, strict=True))
    newest = range(COUNT - 30, COUNT)
    seen = np.argwhere(np.isfinite(frame.y[:, newest]))
    assert pairs == {(r, t + COUNT - 30, c) for r, t, c in seen}
    assert len(pairs) == len(cells.channel)


def test_covariates_are_not_judged(frame):
    layout = Layout(("t", "v", "d"), ("real",) * 3, (False, True, True), (), 0, 600.0)
    assert set(newest_cells(Series.of(frame), layout, 10).channel) == {1, 2}


def density(frame, judged, cell, chain=1, draw=7):
    """Location and scale of a cell in internal units, from its own undisturbed window."""
    _, cells, problem, sites = judged
    run, row, c = cells.run[cell], cells.row[cell], cells.channel[cell]
    window = cut(Series.of(frame), run, row - 1, context=2, horizon=1, step=600.0)
    plain = MODEL.undisturbed()
    example = plain.prepare(window, problem.layout, problem.constants, key=jax.random.key(9))
    ssm = problem.bind({k: jnp.asarray(v[chain, draw]) for k, v in sites.items()})
    told = plain.density(ssm, example)
    return float(told.loc[0, c]), float(told.scale[0, c])


def test_a_reading_is_scored_in_file_units_by_what_came_before(frame, judged):
    told, cells, _, _ = judged
    y = frame.y[cells.run, cells.row, cells.channel]
    kinds = [(0, y < np.inf), (1, y == 0), (1, y > 0), (2, y < np.inf)]
    for c, kind in kinds:
        for cell in np.flatnonzero((cells.channel == c) & kind)[:2]:
            run = cells.run[cell]
            loc, s = density(frame, judged, cell)
            ratio = y[cell] / frame.scaling.scale[run, c]
            if c == 0:
                mean = frame.scaling.inverse(np.float64(loc), run, 0)
                score = stats.norm(mean, s * frame.scaling.scale[run, 0]).logpdf(y[cell])
            elif c == 2:
                turns = ratio - loc + 2 * np.pi * np.arange(-3, 4)
                score = np.log(stats.norm.pdf(turns, scale=s).sum() / frame.scaling.scale[run, 2])
            elif y[cell] == 0:
                score = stats.norm.logcdf(-loc / s)
            else:  # z = sqrt(y / scale)
                slope = 0.5 / np.sqrt(ratio) / frame.scaling.scale[run, 1]
                score = stats.norm(loc, s).logpdf(np.sqrt(ratio)) + np.log(slope)
            assert float(told.log_likelihood[1, 7, cell]) == pytest.approx(
                score, rel=2e-3, abs=2e-3
            )
            where = frame.scaling.inverse(np.float64(loc), run, c)
            assert float(told.location[1, 7, cell]) == pytest.approx(float(where), rel=1e-3)


def test_draws_are_of_the_same_density(frame, judged):
    told, cells, _, _ = judged
    levels = []
    for cell in np.flatnonzero(cells.channel == 0)[:3]:
        run, c = cells.run[cell], cells.channel[cell]
        laws = [density(frame, judged, cell, k, i) for k in (0, 1) for i in range(0, 150, 15)]
        drawn = told.predictive[:, ::15, cell].ravel()
        z = (drawn - frame.scaling.centre[run, c]) / frame.scaling.scale[run, c]
        levels += [stats.norm.cdf(z[i], loc, s) for i, (loc, s) in enumerate(laws)]
    assert stats.kstest(levels, "uniform").pvalue > 1e-3
    assert (told.predictive[..., cells.channel == 1] >= 0).all()
    inside = told.predictive[..., cells.channel == 2]
    assert ((inside >= 0) & (inside < 360)).all()
    assert told.predictive.shape == told.log_likelihood.shape == (2, 150, len(cells.channel))


def test_file_units_are_those_of_each_run_and_channel(frame, judged):
    _, cells, _, _ = judged
    z = frame.scaling.forward(frame.y)[cells.run, cells.row, cells.channel]
    y = frame.y[cells.run, cells.row, cells.channel]
    np.testing.assert_allclose(to_file_units(np.stack([z, z]), frame, cells), [y, y])


def test_cells_keep_their_labels(frame, judged):
    told, cells, _, _ = judged
    da = on_cells(told.location, frame, cells, ("chain", "draw"))
    assert da.dims == ("chain", "draw", "obs_id")
    np.testing.assert_array_equal(da["time"], frame.times[cells.row])
    np.testing.assert_array_equal(da["station"], np.array(["a", "b"])[cells.run])
    np.testing.assert_array_equal(da["variable"], np.array(["t", "v", "d"])[cells.channel])
