"""`attribute`: the closed form of linear models, completeness, gaps, baselines, and what it refuses."""

import json

import jax
import numpy as np
import pytest
import xarray as xr

import assim
from assim import attributing, inference
from assim.data.scaling import Scaling
from assim.integrated_gradients import integrated_gradients
from assim.models import Autoregressive, Direct, FixedNormal
from assim.registry import settings_of
from assim.tree import restore
from tests.synthetic_modes import RATE, GivenModes, make_modes, make_record

KEY = jax.random.key(0)
STEP = np.timedelta64(50, "ms")
TIME = np.datetime64("2020-01-01", "ns") + np.arange(160) * STEP
UNITS = {"a": "Pa", "b": "K", "c": "m"}
ORIGINS = list(TIME[[100, 110, 120, 130]])


def record(seed=0, turning=False):
    """Three sensors pushed by a control; or with a direction among them, and gaps."""
    rng = np.random.default_rng(seed)
    u = np.repeat(rng.uniform(-1, 1, TIME.size // 10), 10)
    y = np.zeros((3, TIME.size))
    for t in range(1, TIME.size):
        y[:, t] = 0.8 * y[:, t - 1] + u[t] + rng.normal(size=3)
    y = y * np.array([[30.0], [2.0], [1.0]]) + 100.0
    if turning:
        y[:, 100] = np.nan
        y[1, 99:105] = np.nan
        y[2] = np.mod(300 + 40 * (y[2] - 100), 360)
    ds = xr.Dataset({n: ("time", v, {"units": UNITS[n]}) for n, v in zip(UNITS, y, strict=True)})
    if turning:
        ds["c"].attrs = {"units": "degree", "standard_name": "wind_from_direction"}
    return ds.assign(u=("time", u, {"units": "kg/s"})).assign_coords(time=TIME)


PHI = np.array([[0.7, 0.2, 0.0], [-0.1, 0.9, 0.0], [0.3, 0.1, 0.5]])
GAIN = np.array([0.6, -0.4, 0.0])
DRAWS = 5


def weights():
    """Matrices and gains of each draw; the sensor c moves no other."""
    rng = np.random.default_rng(1)
    phi = PHI + 0.05 * rng.normal(size=(DRAWS, 3, 3)) * (PHI != 0)
    return phi, GAIN + 0.05 * rng.normal(size=(DRAWS, 3))


@pytest.fixture(scope="module")
def stepped() -> xr.DataTree:
    """A posterior of a linear model of order one with those weights."""
    model = Autoregressive(1, (), noise=FixedNormal(), controls="u", calendar=(), mask_rate=0)
    tree = assim.infer(model, record(), inference.Prior(DRAWS), key=KEY, pointwise=0)
    c = {k: np.asarray(v, float) for k, v in restore(tree).constants.items()}
    phi, gain = weights()
    slow = c["step_sd"] / c["sd"] * 10**0.5
    lead_sd = c["lead_sd"].T
    weight = np.zeros((1, DRAWS, 3, 10))
    weight[..., :3] = (phi - np.eye(3)) * c["sd"] / slow / lead_sd
    weight[..., -1] = gain / lead_sd[:, 0]
    posterior = tree["posterior"].to_dataset().copy(deep=True)
    posterior["net.skip.weight"][:] = weight
    posterior["net.skip.bias"][:] = 0.0
    tree["posterior"] = posterior
    return tree


@pytest.fixture(scope="module")
def one_step(stepped) -> xr.DataTree:
    return assim.attribute(stepped, record(), key=KEY, origins=ORIGINS)


@pytest.fixture(scope="module")
def ends(stepped) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Readings less their mean (origin, sensor) and controls (origin, lead), internal; scale of each sensor."""
    fitted, ds, at = restore(stepped), record(), np.searchsorted(TIME, ORIGINS)
    scaling = Scaling.from_dict(fitted.frame["scaling"])
    y = np.stack([ds[n].values[at] for n in UNITS], axis=-1)
    z = (y - scaling.centre) / scaling.scale - np.asarray(fitted.constants["mean"])
    centre, scale = np.asarray(fitted.frame["control_scaling"]).reshape(2, 1)
    u = (ds["u"].values[at[:, None] + np.arange(1, 4)] - centre) / scale
    return z, u, scaling.scale[0]


def of(tree, quantity="mean", variable="attribution"):
    return tree[quantity][variable]


class TestLinear:
    def test_a_mean_is_its_weights_times_the_difference_in_file_units(self, one_step, ends):
        z, u, scale = ends
        phi, gain = weights()
        found = of(one_step).isel(chain=0)
        assert found.dims == ("draw", "init_time", "target", "sensor", "offset")
        told = phi[:, None] * z[:, None] * scale[:, None]
        read = found.sel(sensor=list(UNITS)).isel(offset=0)
        np.testing.assert_allclose(read, told, rtol=2e-3, atol=2e-3)
        told = gain[:, None] * u[:, :1] * scale
        np.testing.assert_allclose(found.sel(sensor="u").isel(offset=1), told, rtol=2e-3, atol=2e-3)
        assert found["units"].values.tolist() == list(UNITS.values())
        np.testing.assert_array_equal(found["offset"], np.array([0, 1]) * STEP)

    def test_a_rolled_lead_is_the_power_of_the_matrix(self, stepped, ends):
        z, u, scale = ends
        phi, gain = weights()
        tree = assim.attribute(stepped, record(), "150ms", key=KEY, origins=ORIGINS)
        found = of(tree).isel(chain=0)
        power = [np.stack([np.linalg.matrix_power(p, n) for p in phi]) for n in range(4)]
        told = power[3][:, None] * z[:, None] * scale[:, None]
        read = found.sel(sensor=list(UNITS)).isel(offset=0)
        np.testing.assert_allclose(read, told, rtol=2e-3, atol=2e-3)
        pushed = np.stack([np.einsum("kij,kj->ki", power[3 - h], gain) for h in (1, 2, 3)], -1)
        told = pushed[:, None] * u[:, None] * scale[:, None]
        known = found.sel(sensor="u").isel(offset=[1, 2, 3])
        np.testing.assert_allclose(known, told, rtol=2e-3, atol=2e-3)
        assert tree.attrs["path"] == "mean roll-out" and tree.attrs["lead"] == "0.15 s"

    def test_an_epistemic_variance_is_that_of_a_quadratic_form(self, one_step, ends):
        z, u, scale = ends
        phi, gain = weights()
        w = np.concatenate([phi, gain[..., None]], axis=-1)
        d = np.concatenate([z, u[:, :1]], axis=-1)
        found = of(one_step, "epistemic_variance")
        for i, target in enumerate(UNITS):
            told = d * (d @ np.cov(w[:, i].T)) * scale[i] ** 2
            one = found.sel(target=target).sum("offset")
            np.testing.assert_allclose(one, told, rtol=5e-3, atol=2e-3 * np.abs(told).max())
        assert found["units"].values.tolist() == [f"({u})2" for u in UNITS.values()]

    def test_a_constant_scale_owes_nothing_to_anyone(self, one_step):
        found = one_step["log_variance"].to_dataset()
        assert float(abs(found["attribution"]).max()) == 0.0
        assert found["share"].isnull().all() and found["completeness_error"].isnull().all()

    def test_shares_add_up_and_an_irrelevant_sensor_has_none(self, one_step):
        for quantity in ("mean", "epistemic_variance"):
            share = of(one_step, quantity, "share")
            np.testing.assert_allclose(share.sum("sensor"), 1.0, rtol=1e-5)
            assert (share.sel(target=["a", "b"], sensor="c") < 1e-6).all()
            assert (share.sel(target="a", sensor=["a", "u"]) > 0.05).all()
        each = of(one_step, "mean", "share_draws")
        assert each.dims == ("chain", "draw", "target", "sensor")
        size = abs(of(one_step)).sum(["init_time", "offset"])
        np.testing.assert_allclose(each, size / size.sum("sensor"), rtol=1e-5)

    def test_a_control_pushes_the_way_of_its_gain(self, stepped, one_step):
        more = record()
        more["u"] += 0.5
        higher = of(assim.attribute(stepped, more, key=KEY, origins=ORIGINS))
        change = (higher - of(one_step)).sel(sensor="u").isel(offset=1)
        assert (change.sel(target="a") > 0).all() and (change.sel(target="b") < 0).all()

    def test_direct_and_iterated_agree_at_the_first_lead(self, stepped, one_step):
        direct = stepped.copy()
        told = json.loads(direct.attrs["model"]) | {"decoding": settings_of(Direct(1))}
        direct.attrs = direct.attrs | {"model": json.dumps(told)}
        tree = assim.attribute(direct, record(), key=KEY, origins=ORIGINS)
        for quantity in ("mean", "epistemic_variance"):
            np.testing.assert_allclose(
                of(tree, quantity), of(one_step, quantity), rtol=1e-4, atol=1e-4
            )
        assert tree.attrs["path"] == "all leads at once"


@pytest.fixture(scope="module")
def curved() -> xr.DataTree:
    """Draws of the prior of a network, of a direction and two sensors with gaps, three leads at once."""
    model = Autoregressive(
        3, (4,), controls="u", covariates="b", calendar=(), decoding=Direct(3), mask_rate=0
    )
    ds = record(turning=True)
    return assim.infer(model, ds, inference.Prior(4), key=KEY, pointwise=0)


def explain(tree, ds=None, lead=3, **settings):
    ds = record(turning=True) if ds is None else ds
    return assim.attribute(tree, ds, lead, key=KEY, **({"origins": ORIGINS} | settings))


@pytest.fixture(scope="module")
def explained(curved) -> xr.DataTree:
    return explain(curved)


class TestCurved:
    @pytest.mark.parametrize("quantity", ["mean", "log_variance", "epistemic_variance"])
    def test_attributions_add_up(self, explained, quantity):
        found = explained[quantity].to_dataset()
        total = found["attribution"].sum(["sensor", "offset"])
        largest = abs(found["change"]).max([d for d in found["change"].dims if d != "target"])
        error = abs(total - found["change"]) / largest
        assert (largest > 0).all() and (error <= 1e-3).all()
        drawn = [d for d in ("chain", "draw") if d in error.dims]
        np.testing.assert_allclose(found["completeness_error"], error.max(drawn), atol=1e-6)
        assert found["target"].values.tolist() == ["a", "c"]

    def test_what_is_missing_has_no_attribution_and_what_is_not_there_is_nan(self, explained):
        found = of(explained)
        seen = record(turning=True).to_array("sensor").sel(sensor=["a", "b", "c"]).notnull()
        offset = found["offset"].values
        for origin in ORIGINS[:2]:
            one = found.sel(init_time=origin, sensor=["a", "b", "c"])
            past = one.isel(offset=offset <= np.timedelta64(0, "ns"))
            there = seen.sel(time=origin + past["offset"].values).values
            nothing = (past == 0).transpose("sensor", "offset", ...).values
            assert (nothing[~there]).all() and not nothing[there].all(axis=1).any()
            assert one.isel(offset=offset > np.timedelta64(0, "ns")).isnull().all()
        known = found.sel(sensor="u").transpose("offset", ...)
        assert known[:3].isnull().all() and known[3:].notnull().all()

    def test_against_itself_nothing_is_to_be_explained(self, curved):
        tree = explain(curved, baseline=ORIGINS[1])
        for name in tree.children:
            found = tree[name].to_dataset()
            same, other = (found.sel(init_time=ORIGINS[i]) for i in (1, 2))
            assert float(abs(same["attribution"]).max()) == float(abs(same["change"]).max()) == 0
            assert (abs(other["change"]) > 0).all()
        assert tree.attrs["baseline"] == "2020-01-01T00:00:05.500"

    def test_windows_of_a_record_are_averaged(self, curved):
        ds, at = record(turning=True), [30, 31]
        parts = [of(explain(curved, baseline=TIME[row])) for row in at]
        few = ds.isel(time=slice(28, 35))  # two windows of three rows, and three leads
        both = explain(curved, baseline=few)
        np.testing.assert_allclose(of(both), sum(parts) / 2, rtol=1e-3, atol=1e-3)
        assert both.attrs["baseline"] == "2 windows of a record"
        drawn = explain(curved, baseline=ds, num_baselines=2)
        assert drawn.attrs["baseline"] == "2 windows of a record"
        assert not np.allclose(of(drawn), of(both), equal_nan=True)

    def test_equal_calls_trace_nothing(self, curved, explained):
        before = integrated_gradients._cached._cache_size()
        other = explain(curved, record(3, turning=True), origins=[t + STEP for t in ORIGINS[:3]])
        assert integrated_gradients._cached._cache_size() == before
        assert other["mean"].sizes["init_time"] == 3

    def test_what_does_not_add_up_is_said(self, curved, monkeypatch):
        monkeypatch.setattr(attributing, "INCOMPLETE", 1e-9)
        with pytest.warns(UserWarning, match="of the mean, .* miss what they .* than 32"):
            explain(curved)


class TestRefused:
    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            ({"lead": 4}, "fitted for 3 leads and lead 4 is asked for"),
            ({"variable": "b"}, "no target 'b': choose of a, c"),
            ({"points": 0}, "give 1 or more"),
            ({"origins": [TIME[-1]]}, "needs the controls u from"),
            ({"origins": [TIME[1] + STEP // 2]}, "not on the clock"),
            ({"baseline": TIME[1] + STEP // 2}, "The baseline 2020.* is not on the clock"),
            ({"baseline": "then"}, "baseline='then' is no time"),
            ({"baseline": TIME[-1]}, "needs the controls u"),
            (
                {"baseline": record(turning=True).isel(time=slice(5))},
                "no window .5 times; 3 of them",
            ),
        ],
        ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
    )
    def test_in_a_sentence(self, curved, settings, words):
        with pytest.raises(ValueError, match=words):
            explain(curved, **settings)

    @pytest.mark.parametrize(("lead", "cure"), [(1, ""), (2, ", or ask for a shorter horizon")])
    def test_a_plan_that_ends(self, stepped, lead, cure):
        with pytest.raises(ValueError, match=rf"add their plan{cure}\.$"):
            assim.attribute(stepped, record(), lead, key=KEY, origins=[TIME[-1]])

    def test_a_model_without_a_lag_window(self):
        tree = make_modes(2, RATE)
        with pytest.raises(TypeError, match="GivenModes does not forecast from a lag window"):
            assim.attribute(tree, make_record(40), key=KEY, model=GivenModes())

    def test_a_seed(self, curved):
        with pytest.raises(TypeError, match="is not a random key"):
            assim.attribute(curved, record(turning=True), key=0)
