"""`reconstruct`: the exact smoother with labels, stretches and stores, gaps of a fit, the sentences."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
import zarr

import assim
from assim import inference
from assim.filters import RTS, EnKS, EnRTS
from assim.models import Autoregressive, FixedNormal, Mechanistic
from assim.systems import OrnsteinUhlenbeck
from tests.test_forecasting import mast

KEY = jax.random.key(0)
SHORT = inference.Ascent(num_steps=200, polish=50)


def make_system():
    return OrnsteinUhlenbeck(
        *(jnp.asarray(v) for v in ([0.5, 1.0], [1.0, 2.0], [20.0, 60.0], [0.05, 0.1]))
    )


@pytest.fixture
def twin(x64):
    truth, observed = assim.twin_experiment(make_system(), (1.0, 90), key=KEY)
    observed["x0"][30:50] = np.nan
    return truth, observed


def test_all_readings_say_more_than_those_before(twin):
    """Exact mean and spread at the gap: both ends hold it; the last time is the last analysis."""
    truth, observed = twin
    found = assim.reconstruct(make_system(), observed, key=KEY)
    filtered = assim.assimilate(make_system(), observed, assim.filters.Kalman(), key=KEY)
    smooth, after = found["smoothed"].to_dataset(), filtered["analysis"].to_dataset()
    assert set(found.children) == {"smoothed", "observed_data"}
    assert (smooth["x0_sd"] <= after["x0_sd"] + 1e-9).all()
    np.testing.assert_allclose(smooth["x0_mean"][-1], after["x0_mean"][-1], rtol=1e-9)
    middle = smooth["x0_sd"].values[30:50]
    assert middle.argmax() in (9, 10) and middle.max() < 0.8 * after["x0_sd"].values[49]
    inside = abs(smooth["x0_mean"] - truth["x0"])[30:50] < 3 * smooth["x0_sd"][30:50]
    assert inside.all()
    np.testing.assert_allclose(
        smooth["x0"].std(("chain", "draw"))[40], smooth["x0_sd"][40], rtol=0.3
    )


@pytest.mark.parametrize(
    "chosen",
    [
        *(pytest.param(chosen, marks=pytest.mark.slow) for chosen in (RTS(), EnRTS(30))),
        EnKS(30, None),
        EnKS(30, 12),
    ],
    ids=["RTS", "EnRTS", "EnKS", "lag"],
)
def test_stretches_and_spills_are_the_whole(twin, chosen, monkeypatch, tmp_path):
    _, observed = twin
    whole = assim.reconstruct(make_system(), observed, chosen, key=KEY)
    monkeypatch.setattr("assim.reconstructing.CYCLES", 16)
    monkeypatch.setattr("assim.assimilation.spilling.MOST_BYTES", 0)
    opened, create = [], zarr.open_group
    monkeypatch.setattr(zarr, "open_group", lambda *a, **k: opened.append(a) or create(*a, **k))
    found = assim.reconstruct(make_system(), observed, chosen, key=KEY, to=tmp_path / "s.zarr")
    for name, held in whole["smoothed"].to_dataset().data_vars.items():
        np.testing.assert_allclose(
            found["smoothed"][name].values, held.values, rtol=1e-6, atol=1e-9
        )
    assert [p.name for p in tmp_path.iterdir()] == ["s.zarr"]
    spilled = [path for path, *_ in opened if ".smoothing-" in str(path)]
    assert bool(spilled) is (chosen.reach is None)


@pytest.mark.slow
def test_a_gap_of_a_fit_is_filled():
    record = mast()[["t"]]
    model = Autoregressive(lags=2, hidden=(), calendar=(), noise=FixedNormal())
    post = assim.infer(
        model, record.isel(time=slice(0, 400)), inference.EnsembleMAP(40, 300), key=KEY
    )
    ds = record.isel(time=slice(400, 460)).copy(deep=True)
    ds["t"][20:32] = np.nan
    found = assim.reconstruct(post, ds, EnRTS(60), key=KEY)["smoothed"].to_dataset()
    told = assim.assimilate(post, ds, assim.filters.ETKF(60), key=KEY)["analysis"].to_dataset()
    assert found["t_sd"].values[31] < 0.7 * told["t_sd"].values[31]
    assert found["t_sd"].values[25] > 5 * found["t_sd"].values[10]
    truth = record["t"].values[420:432]
    assert (abs(found["t_mean"].values[20:32] - truth) < 3 * found["t_sd"].values[20:32]).all()


@pytest.mark.slow
def test_each_draw_runs_a_smoother_of_its_own(twin):
    _, observed = twin
    model = Mechanistic(make_system(), {"tau": dist.LogNormal(3.0, 0.5)})
    method = inference.Laplace(inference.GaussNewton(), SHORT, num_draws=5)
    post = assim.infer(model, observed, method, key=KEY)
    found = assim.reconstruct(post, observed, RTS(), key=KEY)["smoothed"]
    assert found["x0_mean"].dims == ("chain", "draw", "time")
    assert np.ptp(found["x0_mean"].values[0, :, 40]) > 0


def test_numbers_that_are_none_are_told():
    ring = assim.systems.Lorenz96(size=8)
    _, observed = assim.twin_experiment(ring, (0.05, 30), key=KEY)
    wild = assim.systems.Lorenz96(size=8, forcing=1e6)
    with pytest.warns(UserWarning, match="values that are no numbers at 2000"):
        assim.reconstruct(wild, observed, EnKS(5, 3), key=KEY)


@pytest.mark.parametrize("lag", [pytest.param(5, marks=pytest.mark.slow), None])
def test_a_smoother_that_loses_the_state_is_told(lag, monkeypatch):
    monkeypatch.setattr("assim.reconstructing.CYCLES", 32)
    system = assim.systems.Lorenz63()
    truth, observed = assim.twin_experiment(system, (0.25, 120), key=KEY)
    with pytest.warns(UserWarning, match="EnKS lost the state by 2000"):
        found = assim.reconstruct(system, observed, EnKS(3, lag, 0.5), key=KEY)
    assert found["smoothed"]["lost"].mean() > 0.5
    judged = assim.verify_assimilation(found, truth)
    assert "The state was lost at" in judged.attrs["advice"].splitlines()[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = assim.reconstruct(system, observed, EnKS(12, lag, 1.1), key=KEY)
    assert not found["smoothed"]["lost"].any()


def test_mistakes_are_sentences(twin):
    with pytest.raises(TypeError, match="EnKF is a filter"):
        assim.reconstruct(make_system(), twin[1], assim.filters.EnKF(), key=KEY)
    with pytest.raises(TypeError, match="no smoother"):
        assim.reconstruct(make_system(), twin[1], "rts", key=KEY)
    with pytest.raises(TypeError, match="random key"):
        assim.reconstruct(make_system(), twin[1], key=0)
    with pytest.raises(TypeError, match="Kalman is exact"):
        assim.reconstruct(assim.systems.Lorenz63(), twin[1].rename(x0="x")[["x"]], RTS(), key=KEY)
    with pytest.raises(ValueError, match="the state is of 2001"):
        assim.reconstruct(make_system(), twin[1], key=KEY, since="2001-01-01")
