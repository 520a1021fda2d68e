"""Recurrent networks through the verbs, and the linear regions that they are in."""

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import assim
from assim import filters, inference, models
from assim.tree import read_tree

KEY = jax.random.key(0)
ROWS, WINDOW = 60, 12


def record(rows=ROWS, first=0):
    """Two runs of two channels under a control, with a gap."""
    t, rng = np.arange(first, first + rows), np.random.default_rng(first)
    u = (t // 10 % 2).astype(float)
    wave = np.stack([np.sin(0.5 * t + phase) for phase in (0.0, 2.0)]) + 0.5 * u
    y = {"a": wave, "b": np.stack([np.cos(0.5 * t), np.sin(0.3 * t)])}
    times = np.datetime64("2024-01-01", "ns") + t * np.timedelta64(60, "s")
    ds = xr.Dataset(
        {k: (("run", "time"), v + 0.1 * rng.normal(size=v.shape)) for k, v in y.items()},
        coords={"time": times, "run": [0, 1]},
    )
    ds = ds.where(~ds["time"].isin(times[20:24]))
    return ds.assign(u=("time", u))


def fitted(model, ds, pointwise=0):
    method = inference.EnsembleMAP(3, 15, 1e-2, None, inference.AnchorsOnly())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return assim.infer(model, ds, method, key=KEY, pointwise=pointwise)


@pytest.fixture(scope="module")
def post():
    model = models.AlmostLinearRNN(
        5, 2, forcing=models.forcing.Sparse(4), window=WINDOW, controls=("u",)
    )
    return calmed(fitted(model, record()))


def calmed(post):
    """The same with networks that forget, so that a last digit does not grow to another pattern."""
    sites = post["posterior"].to_dataset()
    calm = {
        "network.weight": 0.3 * sites["network.weight"],
        "network.decay": sites["network.decay"] - 2,
    }
    return xr.DataTree.from_dict(post.to_dict() | {"/posterior": sites.assign(calm)})


@pytest.fixture(scope="module")
def shallow():
    forcing = models.forcing.Adaptive()
    model = models.ShallowPLRNN(1, 3, forcing=forcing, window=WINDOW, controls=("u",))
    return fitted(model, record(), pointwise=10)


@pytest.fixture(scope="module")
def told(post):
    return assim.regimes(post, record())


def test_regimes_are_the_sign_patterns_of_each_draw(post, told):
    fit = assim.restore(post)
    patterns = []
    y = np.stack([record()[n].values for n in "ab"], axis=-1)
    scaling = assim.data.scaling.Scaling.from_dict(fit.frame["scaling"])
    eta = (scaling.forward(y) - fit.constants["mean"]) / fit.constants["sd"]
    u = assim.data.framing.frame_of(record(), fit.model.needs().selection(()), like=fit.frame).u
    for draw in range(3):
        ssm = jax.tree.map(
            np.asarray, fit.state_space({k: v[0, draw] for k, v in fit.sites.items()})
        )
        net, z = ssm.network, None
        a = np.tanh(1.472 + 0.5 * net.decay)
        for t in range(ROWS):
            seen = np.nan_to_num(eta[1, t])
            if z is None:
                z = ssm.first @ seen
            else:
                bent = np.concatenate([z[:3], np.maximum(z[3:], 0.0)])
                z = a * z + net.weight @ bent + net.offset + net.drive @ u[1, t]
                if (ROWS - 1 - t) % 4 == 0:
                    z[:2] = np.where(np.isfinite(eta[1, t]), eta[1, t], z[:2])
            patterns.append("".join(str(int(s)) for s in z[3:] > 0))
    patterns = np.array(patterns).reshape(3, ROWS)
    share = np.stack([(patterns == p).mean(axis=0) for p in told["pattern"].values])
    np.testing.assert_allclose(told["probability"].isel(run=1), share)
    best = told["pattern"].values[told["regime"].isel(run=1)]
    assert ((patterns == best).sum(axis=0) == 3 * share.max(axis=0)).all()


def test_regimes_add_up_and_have_eigenvalues(post, told):
    assert told["probability"].dims == ("region", "run", "time") and told.attrs["draws"] == 3
    np.testing.assert_allclose(told["probability"].sum("region"), 1.0)
    np.testing.assert_allclose(told["share"].sum(), 1.0)
    assert (np.diff(told["share"]) <= 0).all() and 1 < told.attrs["regions"] <= 4
    fit = assim.restore(post)
    one = assim.regimes(post, record(), num_draws=1, most=1)
    ssm = fit.state_space({k: v[0] for k, v in {n: s[0] for n, s in fit.sites.items()}.items()})
    on = np.array([*(1,) * 3, *map(int, one["pattern"].item())])
    values = np.linalg.eigvals(np.diag(ssm.network.a) + np.asarray(ssm.network.weight) * on)
    order = np.argsort(-np.abs(values))
    np.testing.assert_allclose(one["modulus"][0], np.abs(values)[order], rtol=1e-4)
    assert one["regime"].min() >= -1 and one.sizes["region"] == 1


def test_what_has_no_regions_is_refused(post):
    with pytest.raises(ValueError, match="most=0"):
        assim.regimes(post, record(), most=0)
    ds = record().drop_vars("u")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other = assim.infer(models.Persistence(), ds, inference.Prior(2), key=KEY, pointwise=0)
    with pytest.raises(TypeError, match="Persistence has no linear regions"):
        assim.regimes(other, ds)


def test_the_likelihood_is_told_and_an_uneven_record_refused(post):
    assert post.attrs["likelihood"] == "marginal"
    assert {"noise", "start", "network.weight"} <= set(post["posterior"].data_vars)
    ds = record().isel(time=[0, 1, 2, 4, 7, 8, 11, *range(13, 60, 3)])
    late = ds["time"].values + (np.arange(len(ds["time"])) % 7) * np.timedelta64(13, "s")
    with pytest.raises(ValueError, match="align"):
        fitted(models.ShallowPLRNN(hidden=2, window=4), ds.assign_coords(time=late))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["post", "shallow"])
def test_it_goes_through_the_verbs(name, request, tmp_path):
    tree = request.getfixturevalue(name)
    tree.to_netcdf(tmp_path / "fit.nc", engine="h5netcdf")
    back = read_tree(tmp_path / "fit.nc")
    later = record(30, ROWS)
    ahead = assim.forecast(back, later, 3, key=KEY, origins=[later["time"].values[9]])
    path = ahead["predictions"]["a"]
    assert path.dims == ("chain", "draw", "run", "init_time", "lead_time")
    assert np.isfinite(path).all() and path.std("draw").min() > 0
    plan = later[["u"]].isel(time=slice(0, 20))
    made = assim.generate(back, 4, key=KEY, plan=plan)["generated"]
    assert made["b"].dims == ("sample", "step") and np.isfinite(made["b"]).all()
    assert made.sizes["step"] == 20
    for chosen in (filters.ETKF(8), filters.Observer()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run = assim.assimilate(back, later, chosen, key=KEY)
        assert np.isfinite(run["analysis"]["a_mean"]).all()
    assert run["innovation"]["normalised"].mean() < 20
    assert assim.regimes(back, later).sizes["region"] >= 1


@pytest.mark.slow
def test_the_adaptive_gain_lets_go_as_the_network_learns():
    """A noisy oscillation: the gain falls from 1, and one draw runs free at the right frequency."""
    t = np.arange(2000)
    y = np.stack([np.sin(0.2 * t), np.cos(0.2 * t)], 1) + 0.05 * np.random.default_rng(0).normal(
        size=(2000, 2)
    )
    times = np.datetime64("2024-01-01", "ns") + t * np.timedelta64(60, "s")
    ds = xr.Dataset({n: ("time", y[:, c]) for c, n in enumerate("ab")}, coords={"time": times})
    model = models.ShallowPLRNN(hidden=10, window=50, stride=10)
    method = inference.EnsembleMAP(1, 600, 1e-2, 16, inference.AnchorsOnly())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = assim.infer(model, ds, method, key=KEY, pointwise=0)
    fit = assim.restore(tree)
    ssm = fit.state_space({k: v[0, 0] for k, v in fit.sites.items()})
    assert 0.03 < ssm.gain.alpha < 0.3 and (np.asarray(ssm.noise) < 0.3).all()
    run = eqx.filter_jit(lambda ssm: ssm.orbit(jnp.asarray([0.0, 1.0]), jnp.zeros((2000, 0)))[1])
    path = run(ssm)
    power = np.abs(np.fft.rfft(np.asarray(path)[:, 0] - path[:, 0].mean())) ** 2
    np.testing.assert_allclose(2 * np.pi * power.argmax() / 2000, 0.2, rtol=0.05)
