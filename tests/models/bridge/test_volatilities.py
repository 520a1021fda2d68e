"""Volatilities, errors and losses: their sites and numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from numpyro import handlers

from assim.models.bridge import errors, survival, volatilities
from assim.models.bridge.region import Region

SPREAD = jnp.array([2.0, 0.5])
REGION = Region(
    *(jnp.array([3.0, -2.0]), SPREAD, jnp.zeros(2), jnp.ones(2)),
    *(jnp.asarray(10.0), jnp.asarray(4.0), jnp.ones(2)),
)
X = jnp.array([5.0, -3.0])
TWO = dist.LogNormal(jnp.zeros(2), 1.0)


def drawn(settings, region=REGION):
    with handlers.trace() as sites, handlers.seed(rng_seed=0):
        return settings.prior(region), {k: v["value"] for k, v in sites.items()}, sites


ROOTS = [
    (volatilities.Constant(), lambda s: [s["volatility.sd"]] * 2, {"sd": ()}),
    (volatilities.Diagonal(), lambda s: s["volatility.sd"], {"sd": (2,)}),
    (volatilities.Multiplicative(), lambda s: s["volatility.share"] * X, {"share": ()}),
    (
        volatilities.Multiplicative({"share": TWO}),
        lambda s: s["volatility.share"] * X,
        {"share": (2,)},
    ),
    (
        volatilities.Mixed(),
        lambda s: jnp.sqrt(s["volatility.sd"] ** 2 + (s["volatility.share"] * X) ** 2),
        {"sd": (2,), "share": ()},
    ),
    (volatilities.Given(0.3), lambda s: [0.3, 0.3], {}),
    (volatilities.Given((0.3, 0.1)), lambda s: [0.3, 0.1], {}),
]


@pytest.mark.parametrize(("settings", "wanted", "shapes"), ROOTS)
def test_the_root_is_that_of_its_sites(settings, wanted, shapes):
    root, values, _ = drawn(settings)
    assert {k: v.shape for k, v in values.items()} == {
        f"volatility.{k}": shape for k, shape in shapes.items()
    }
    np.testing.assert_allclose(root(X), jnp.diag(jnp.asarray(wanted(values))), rtol=1e-6)
    slope = jax.jacfwd(root)(jnp.zeros(2))
    assert jnp.isfinite(slope).all() and root(X).dtype == X.dtype


def test_chance_is_believed_to_move_a_tenth_of_the_spread_in_a_step():
    def median(settings, name):
        base = drawn(settings)[2][f"volatility.{name}"]["fn"].base_dist
        assert (base.scale == 1.5).all()
        return jnp.exp(base.loc)

    np.testing.assert_allclose(median(volatilities.Diagonal(), "sd"), [0.1, 0.025], rtol=1e-6)
    np.testing.assert_allclose(median(volatilities.Constant(), "sd"), 0.05, rtol=1e-6)
    np.testing.assert_allclose(median(volatilities.Multiplicative(), "share"), 0.05, rtol=1e-6)
    np.testing.assert_allclose(median(volatilities.Mixed(), "sd"), [0.1, 0.025], rtol=1e-6)
    np.testing.assert_allclose(median(volatilities.Mixed(), "share"), 0.05, rtol=1e-6)


def test_errors_are_variances_with_a_millionth_of_the_spread_squared():
    least = 1e-6 * SPREAD**2
    np.testing.assert_allclose(drawn(errors.Exact())[0], least, rtol=1e-6)
    np.testing.assert_allclose(drawn(errors.Given(0.1))[0], 0.01 + least, rtol=1e-6)
    each = drawn(errors.Given((0.1, 0.0)))[0]
    np.testing.assert_allclose(each, jnp.array([0.01, 0.0]) + least, rtol=1e-6)
    variance, values, sites = drawn(errors.Learned(0.2))
    assert list(values) == ["error.sd"] and values["error.sd"].shape == (2,)
    np.testing.assert_allclose(variance, values["error.sd"] ** 2 + least, rtol=1e-6)
    base = sites["error.sd"]["fn"].base_dist
    np.testing.assert_allclose(base.scale, 0.2 * SPREAD, rtol=1e-6)
    variance, values, sites = drawn(errors.Mixed(0.2))
    np.testing.assert_allclose(variance, values["error.sd"] ** 2 + least, rtol=1e-6)
    assert errors.Learned().share() is None and "error.share" not in sites
    with handlers.seed(rng_seed=0), handlers.trace() as part:
        share = errors.Mixed(0.2).share()
    assert list(part) == ["error.share"] and float(
        part["error.share"]["fn"].scale
    ) == pytest.approx(0.2)
    assert share.shape == () and float(share) > 0


def test_losses_are_at_the_rate_of_their_sites():
    assert drawn(survival.NoHazard())[:2] == (None, {})
    rate, values, sites = drawn(survival.ConstantHazard())
    assert {k: v.shape for k, v in values.items()} == {"hazard.rate": ()}
    np.testing.assert_allclose(rate(X), values["hazard.rate"])
    assert float(jnp.exp(sites["hazard.rate"]["fn"].base_dist.loc)) == pytest.approx(0.1)
    rate, values, _ = drawn(survival.LinearHazard())
    assert {k: v.shape for k, v in values.items()} == {"hazard.rate": (), "hazard.slope": (2,)}
    z = (X - REGION.centre) / SPREAD
    wanted = jnp.log(values["hazard.rate"]) + values["hazard.slope"] @ z
    np.testing.assert_allclose(jnp.log(rate(X)), wanted, rtol=1e-5)
    np.testing.assert_allclose(rate(REGION.centre), values["hazard.rate"], rtol=1e-6)


def test_a_net_rate_has_either_sign():
    rate, values, sites = drawn(survival.NetHazard())
    assert {k: v.shape for k, v in values.items()} == {"hazard.rate": (), "hazard.slope": (2,)}
    wanted = values["hazard.rate"] + values["hazard.slope"] @ ((X - REGION.centre) / SPREAD)
    np.testing.assert_allclose(rate(X), wanted, rtol=1e-5)
    assert sites["hazard.rate"]["fn"].scale == pytest.approx(0.3)  # of three in a span of ten
    np.testing.assert_allclose(sites["hazard.slope"]["fn"].base_dist.scale, 0.1, rtol=1e-6)
    assert (
        float(rate(X + 100 * values["hazard.slope"]))
        > 0
        > float(rate(X - 100 * values["hazard.slope"]))
    )


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *((volatilities.Constant, "sd"), (volatilities.Diagonal, "sd"), (errors.Learned, "sd")),
        (errors.Mixed, "sd"),
        *((volatilities.Multiplicative, "share"), (volatilities.Mixed, "share")),
        *((survival.ConstantHazard, "rate"), (survival.LinearHazard, "slope")),
        (survival.NetHazard, "rate"),
    ],
)
def test_priors_by_name(kind, name):
    prefix = {volatilities: "volatility", errors: "error", survival: "hazard"}
    module = next(m for m in prefix if m.__name__ == kind.__module__)
    given = kind(priors={name: dist.Normal(4.0, 1e-6)})
    values = drawn(given)[1]
    np.testing.assert_allclose(values[f"{prefix[module]}.{name}"], 4.0, atol=1e-4)
    with pytest.raises(ValueError, match=f"'x', which {kind.__name__} does not have.*{name}"):
        kind(priors={"x": TWO})


def test_priors_and_known_values_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"'sd' has the shape \(2,\)"):
        drawn(volatilities.Constant({"sd": TWO}))
    for module in (volatilities, errors):
        with pytest.raises(ValueError, match="Given has 3 standard deviations .* 2 coordinates"):
            drawn(module.Given((1.0, 1.0, 1.0)))
        for sd in (-1.0, (), float("nan"), (0.1, -0.1)):
            with pytest.raises(ValueError, match="give a standard deviation of 0 or more"):
                module.Given(sd)
    with pytest.raises(ValueError, match=r"scale=0.0 has to be positive"):
        errors.Learned(0.0)


def test_chance_has_to_move_every_coordinate_somewhere():
    x = jnp.stack([jnp.zeros(2), jnp.array([0.0, 1.0])])
    root = volatilities.ProportionalRoot(jnp.asarray(0.1))
    volatilities.require_chance(root, x[:, ::-1] + x, ("a", "b"))
    with pytest.raises(ValueError, match="The volatility of a is 0 at every sample"):
        volatilities.require_chance(root, x, ("a", "b"))


def test_a_population_without_chance_is_refused():
    for sd in (0.0, (0.3, 0.0)):
        with pytest.raises(ValueError, match="without chance follow one path each"):
            volatilities.Given(sd)
