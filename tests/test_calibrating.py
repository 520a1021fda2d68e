"""Conformal intervals: coverage that is exact on exchangeable windows, whatever the forecaster is worth."""

import numpy as np
import pytest
import xarray as xr

import assim

STEP = np.timedelta64(1, "h").astype("timedelta64[ns]")
START = np.datetime64("2020-01-01", "ns")
ATTRS = {
    "t": {"units": "degC", "standard_name": "air_temperature", "support": "real"},
    "w": {"units": "m s-1", "standard_name": "wind_speed", "support": "lower"},
    "d": {"units": "degree", "standard_name": "wind_from_direction", "support": "circle"},
}
LAWS = {
    "t": lambda rng, s, shape: s * rng.normal(size=shape),
    "w": lambda rng, s, shape: np.abs(s * rng.normal(size=shape)),
    "d": lambda rng, s, shape: (10 * s * rng.normal(size=shape)) % 360,
}


def made(runs, scale=1.0, seed=0, channel="t", origins=1, every=2, leads=2, members=40):
    """Forecasts of a law by one of another scale, and what happened, in runs that are exchangeable."""
    rng = np.random.default_rng(seed)
    init = START + np.arange(origins) * every * STEP
    lead = np.arange(1, leads + 1) * STEP
    time = START + np.arange(origins * every + leads) * STEP
    names = [f"run{i}" for i in range(runs)]
    seen = LAWS[channel](rng, 1.0, (runs, time.size))
    truth = xr.Dataset(
        {channel: (("run", "time"), seen, ATTRS[channel])}, {"run": names, "time": time}
    )
    paths = LAWS[channel](rng, scale, (1, members, runs, init.size, leads))
    dims = ("chain", "draw", "run", "init_time", "lead_time")
    predictions = xr.Dataset(
        {channel: (dims, paths, ATTRS[channel])},
        {"run": names, "init_time": init, "lead_time": lead},
    )
    return tree(predictions), truth


def tree(predictions):
    return xr.DataTree.from_dict({"predictions": predictions})


def covered(bands, truth, channel="t"):
    """Whether each truth lies inside, (level, run, init_time, lead_time)."""
    seen = truth[channel].sel(time=bands["valid_time"]).drop_vars("time")
    low, high = (bands[channel].sel(bound=b) for b in ("lower", "upper"))
    within = (seen >= low) & (seen <= high)
    if channel == "d":
        within = xr.where(low > high, (seen >= low) | (seen <= high), within)
    return within.transpose("level", "run", "init_time", "lead_time")


def test_each_of_exchangeable_windows_held_out_is_covered_as_often_as_said():
    """The share is ceil((n + 1) level) / (n + 1), exactly, for a forecaster that is far too sure."""
    fc, truth = made(8, scale=0.2)
    predictions, levels = fc["predictions"].to_dataset(), (0.5, 0.7, 0.85)
    held = []
    for run in range(8):
        others = [i for i in range(8) if i != run]
        q = assim.conformal(tree(predictions.isel(run=others)), truth.isel(run=others), levels)
        bands = assim.intervals(tree(predictions.isel(run=[run])), levels, q)
        held.append(covered(bands, truth.isel(run=[run])))
    share = xr.concat(held, "run").mean(["run", "init_time"]).values
    np.testing.assert_allclose(share, np.array([[4, 6, 7]]).T / 8 * np.ones(2))
    assert int(q["t_n"].min()) == 7


@pytest.mark.parametrize("channel", ["t", "w", "d"])
@pytest.mark.parametrize("scale", [0.3, 3.0])
def test_too_sure_and_too_unsure_are_brought_to_their_level(channel, scale):
    fc, truth = made(300, scale, 1, channel)
    new, later = made(2000, scale, 2, channel)
    q = assim.conformal(fc, truth)
    bare, kept = (covered(assim.intervals(new, conformal=c), later, channel) for c in (None, q))
    level = q["level"].values
    rank = np.ceil(301 * level - 1e-9) / 301
    error = np.sqrt(rank * (1 - rank) * (1 / 300 + 1 / 2000))
    off = kept.mean(["run", "init_time"]).values - rank[:, None]
    assert (np.abs(off) < 4 * error[:, None]).all()
    wrong = bare.mean(["run", "init_time"]).values - level[:, None]
    if channel == "w":  # a wide half of a normal law misses what is near 0
        return
    assert (wrong < -0.15).all() if scale < 1 else (wrong[:3] > 0.04).all()
    assert (np.sign(q[channel].sel(level=[0.5, 0.8])) == np.sign(1 - scale)).all()


def test_intervals_have_the_units_and_stay_within_bounds():
    fc, truth = made(60, 0.5, 3, "w")
    bands = assim.intervals(fc, conformal=assim.conformal(fc, truth))
    assert bands["w"].dims == ("bound", "level", "run", "init_time", "lead_time")
    assert bands["w"].attrs["units"] == "m s-1"
    assert bands["w"].attrs["standard_name"] == "wind_speed"
    assert float(bands["w"].min()) == 0.0
    plain = assim.intervals(fc, (0.8,))["w"].sel(level=0.8)
    paths = fc["predictions"]["w"]
    expected = [np.quantile(paths, p, axis=(0, 1)) for p in (0.1, 0.9)]
    np.testing.assert_allclose(plain.transpose("bound", ...).values, expected)


def test_a_direction_goes_through_north():
    fc, _ = made(5, 1.0, 4, "d")
    bands = assim.intervals(fc, (0.9,))["d"].sel(level=0.9, drop=True)
    low, high = bands.sel(bound="lower"), bands.sel(bound="upper")
    assert (low > 300).all() and (high < 60).all()


def test_a_direction_is_measured_the_shorter_way_from_the_middle_of_its_interval():
    """Of paths about 47 degrees the interval is 10 to 110: 232 lies 122 beyond 110, and 138 before 10."""
    fc, truth = made(1, channel="d", leads=1, members=10)
    paths = fc["predictions"]["d"]
    paths[:] = np.array([10.0] * 6 + [110.0] * 4).reshape(1, 10, 1, 1, 1)
    fc, truth["d"][:] = tree(paths.to_dataset()), 232.0
    bands = assim.intervals(fc, (0.4,))["d"].squeeze()
    np.testing.assert_allclose(bands, [10.0, 110.0])
    assert float(assim.conformal(fc, truth, (0.4,))["d"].item()) == pytest.approx(122.0)


def test_too_few_windows_are_said_to_give_an_infinite_interval():
    fc, truth = made(8)
    with pytest.warns(UserWarning, match="The level 0.95 needs 19 windows, and 't' has 8"):
        q = assim.conformal(fc, truth)
    assert np.isfinite(q["t"].sel(level=[0.5, 0.8])).all()
    assert np.isinf(q["t"].sel(level=[0.9, 0.95])).all()
    bands = assim.intervals(fc, (0.9,), q)["t"].sel(level=0.9)
    assert (bands.sel(bound="lower") == -np.inf).all() and (
        bands.sel(bound="upper") == np.inf
    ).all()
    fc, truth = made(2, channel="d")
    with pytest.warns(UserWarning, match="infinite"):
        bands = assim.intervals(fc, (0.9,), assim.conformal(fc, truth, (0.9,)))["d"]
    assert (bands.sel(bound="lower") == 0).all() and (bands.sel(bound="upper") == 360).all()


def test_windows_that_overlap_are_thinned_run_by_run():
    fc, truth = made(30, origins=5, every=1)
    truth["t"][0, 1] = np.nan
    truth["t"][0, 2] = np.nan  # the first window of the first run is without truth
    with pytest.warns(UserWarning, match="60 windows .* overlap are not exchangeable"):
        q = assim.conformal(fc, truth, (0.5,))
    assert q["t_n"].values.tolist() == [88, 89]
    apart, truth = made(30, origins=3, every=2)
    assert assim.conformal(apart, truth, (0.5,)).attrs["thinned"] == 0


def test_what_does_not_fit_is_refused():
    fc, truth = made(20)
    q = assim.conformal(fc, truth, (0.5,))
    with pytest.raises(ValueError, match="between 0 and 1"):
        assim.intervals(fc, (50, 90))
    with pytest.raises(ValueError, match="no level 0.9 of 't'"):
        assim.intervals(fc, (0.9,), q)
    with pytest.raises(ValueError, match="nothing of 'w', only of .'t'."):
        assim.intervals(made(3, channel="w")[0], (0.5,), q)
