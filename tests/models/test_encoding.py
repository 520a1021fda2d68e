"""Encoders of kinds of sensors with lags of their own, and what runs have of their own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import assim
from assim import inference
from assim.inference.density import prior_draw
from assim.models import Autoregressive, DenseEncoder, Direct, GatedEncoder, Normal
from assim.models.autoregressive.encoding import grouped
from assim.models.autoregressive.features import Group, Lags
from assim.registry import made_from, settings_of
from tests.references import make_problem, make_series

SUPPORTS = ("real", "circle", "real")
CONSTANTS = {"mean": jnp.zeros(3), "sd": jnp.ones(3), "step_sd": jnp.ones(3)}
CONSTANTS |= {"likeness": jnp.zeros((3, 3)), "memory": jnp.ones((7, 3))}


def test_a_group_has_the_features_of_its_channels_at_its_own_lags():
    rng = np.random.default_rng(0)
    values, u = jnp.asarray(rng.normal(size=(6, 3))), jnp.asarray([0.4])
    present = jnp.asarray(rng.random((6, 3)) < 0.8)
    lags = Lags((1, 2), SUPPORTS, 0, (Group((2, 1), (1, 4, 6)),))
    features, at = lags(values, present, u, CONSTANTS)
    assert lags.context == 6 and features.size == lags.size(1) == sum(lags.sizes()) + 1
    alone = Lags((1, 4, 6), ("real", "circle"))
    some = {k: CONSTANTS[k][jnp.array([2, 1])] for k in ("mean", "sd", "step_sd")}
    some |= {"likeness": jnp.zeros((2, 2)), "memory": jnp.ones((7, 2))}
    mine, mine_at = alone(values[:, [2, 1]], present[:, [2, 1]], jnp.zeros(0), some)
    first = lags.sizes()[0]
    slow = np.ones(first)
    slow[:3] = (lags.size(1) / alone.size(0)) ** 0.5  # levels are scaled by all features
    np.testing.assert_allclose(features[:first], mine * slow, rtol=1e-6)
    np.testing.assert_array_equal(at.level[np.array([2, 1])], mine_at.level)
    np.testing.assert_array_equal(at.age[np.array([2, 1])], mine_at.age)
    assert features[-1] == pytest.approx(0.4)


@pytest.mark.parametrize("decoding", [None, Direct(3)], ids=["iterated", "direct"])
def test_a_network_behind_encoders_is_fitted_and_forecasts(decoding, key):
    series = make_series(0, 80, 2, 0.2)
    names = ("a", "b")
    model = Autoregressive(
        3,
        (4,),
        calendar=(),
        encoders=(DenseEncoder(names[0], width=2), GatedEncoder(names[1], width=3, lags=5)),
        decoding=decoding,
    )
    problem = make_problem(model, series, key=key)
    sites = prior_draw(problem, key)
    assert sites["net.encoders.0.layer.weight"].shape[0] == 2
    assert sites["net.encoders.1.unit.state.weight"].shape == (9, 3)
    assert model.head() == ("net.head.weight", "net.head.bias") and set(model.head()) <= set(sites)
    example = jax.tree.map(lambda leaf: leaf[0], problem.examples)
    density = model.density(problem.bind(sites), example)
    assert jnp.isfinite(density.loc).all() and (density.scale > 0).all()
    assert made_from(settings_of(model)) == model


def test_encoders_ask_for_channels_that_are_there():
    both = ("wind@10", "wind@20", "air")
    assert grouped((DenseEncoder("wind"),), both, (1, 2)) == (Group((0, 1), (1, 2)),)
    assert grouped((DenseEncoder("wind@20", lags=2),), both, (1,)) == (Group((1,), (1, 2)),)
    with pytest.raises(ValueError, match="asks for 'fog', and the model looks at wind@10"):
        grouped((DenseEncoder("fog"),), both, (1,))
    with pytest.raises(ValueError, match="Two encoders ask for 'wind@10'"):
        grouped((DenseEncoder("wind"), GatedEncoder("wind@10")), both, (1,))
    with pytest.raises(ValueError, match="one channel or more"):
        DenseEncoder(())
    with pytest.raises(ValueError, match="leaves no code"):
        GatedEncoder("air", width=0)
    with pytest.raises(ValueError, match="counts nothing"):
        Autoregressive(run_offsets=-1)


def runs_of(number: int, spread: float = 3.0, length: int = 60) -> xr.Dataset:
    """Runs that hover, in steps of 1, about levels of their own."""
    rng = np.random.default_rng(4)
    levels = spread * rng.normal(size=(number, 1))
    y = levels + rng.normal(size=(number, length))
    times = np.datetime64("2020-01-01", "ns") + np.arange(length) * np.timedelta64(1, "s")
    return xr.Dataset({"y": (("run", "time"), y)}, {"time": times, "run": np.arange(number)})


def test_a_new_run_is_as_uncertain_as_runs_are_different(key):
    """Readings of one row tell the level of their run badly: what is left is the spread of levels."""
    model = Autoregressive(
        1, (), calendar=(), mask_rate=0.0, noise=Normal(varying=False), run_offsets=1
    )
    method = inference.Laplace(inference.GaussNewton(), num_draws=200)
    post = assim.infer(model, runs_of(12), method, key=key, pointwise=0)
    offsets = post["posterior"]["offsets"]
    assert offsets.shape[2:] == (12, 1)
    told = np.abs(np.corrcoef(offsets.mean(("chain", "draw"))[:, 0], runs_of(12)["y"].mean("time")))
    assert told[0, 1] > 0.95  # they are the levels, to a sign and a scale
    assert float(post["posterior"]["offset"].std()) == pytest.approx(1.0, abs=0.15)
    alike = assim.infer(
        Autoregressive(1, (), calendar=(), mask_rate=0.0, noise=Normal(varying=False)),
        *(runs_of(12), method),
        key=key,
        pointwise=0,
    )
    new = runs_of(13).isel(run=[12])
    spread = {}
    for name, tree in (("own", post), ("alike", alike)):
        parts = assim.forecast(tree, new, 1, key=key, origins="last")["uncertainty"]
        spread[name] = float(parts["y"].sel(component="epistemic").mean())
    assert spread["own"] > 10 * spread["alike"]
    last = assim.infer(model, runs_of(12), inference.Laplace(num_draws=200), key=key, pointwise=0)
    assert float(last["posterior"]["offset"].std()) == pytest.approx(1.0, abs=0.15)
    with pytest.raises(ValueError, match="numbers of the runs that it was fitted to"):
        assim.infer(model, runs_of(13).isel(run=slice(1, None)), method, key=key, init=post)


def test_encoders_of_all_channels_leave_the_window_as_long_as_it_is(key):
    """The lags of the model count where no channel is left to them, in a fit as in a forecast."""
    encoder = DenseEncoder(("a", "b"), width=2, lags=3)
    model = Autoregressive(12, (4,), calendar=(), mask_rate=0.0, encoders=encoder)
    problem = make_problem(model, make_series(0, 60, 2, 0.3), key=key)
    assert problem.bind(prior_draw(problem, key)).window.rows == model.needs().context == 12


def test_outages_may_last_the_whole_window(key):
    model = Autoregressive(4, (), calendar=(), mask_rate=0.5, mask_whole=1.0)
    problem = make_problem(model, make_series(3, 400, 2, 0.0), key=key)
    flags = np.asarray(problem.examples.features)[:, 8:16].reshape(-1, 4, 2)
    assert (flags.min(axis=1) == flags.max(axis=1)).all() and 0.4 < flags.mean() < 0.6
    with pytest.raises(ValueError, match="mask_whole=2 is not a share"):
        Autoregressive(mask_whole=2)
