"""Settings to JSON and back, and nothing else to life."""

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from numpyro.infer import autoguide

from assim import filters, inference, models, systems
from assim.registry import DISTRIBUTIONS, HOMES, MOST_NUMBERS, made_from, settings_of

THINGS = [
    models.Autoregressive(),
    models.Autoregressive(3, (), controls=("a",), calendar=(), targets=("t",), prior_scale=0.5),
    models.Autoregressive(noise=models.StudentT(5.0), decoding=models.Direct(6)),
    models.Persistence(),
    models.Departures(24, (1, 2), 8, 0.3, 3.0, ("a",)),
    models.Climatology(),
    models.SeasonalNaive(),
    models.FieldPersistence(("sst",), 4, (False, True), 0.3),
    models.FieldClimatology(calendar="year"),
    models.DMD(5, 2, calendar=("day", "year")),
    models.FNO(modes=[3, 4], width=6),
    models.ShallowPLRNN(2, 30, forcing=models.forcing.Constant(0.2), stride=50),
    models.AlmostLinearRNN(12, 3, controls="a"),
    inference.SVI(),
    inference.SVI(guide=autoguide.AutoLowRankMultivariateNormal),
    inference.SVI(guide=autoguide.AutoDAIS),
    inference.NUTS(),
    inference.EnsembleMAP(),
    inference.EnsembleMAP(inference.Bootstrap()),
    inference.Laplace(inference.LastLayer()),
    inference.Stein(),
    inference.SGMCMC(kernel=inference.SGHMC(0.5)),
    inference.SGMCMC(kernel=inference.SGLD()),
    inference.Exact(30),
    inference.Prior(),
    models.Mechanistic(systems.Lorenz63(substeps=5), {"rho": dist.Normal(28.0, 5.0)}, seed=3),
    models.Mechanistic(
        systems.OrnsteinUhlenbeck(*jnp.array([[1.0, 0.1], [2.0, 3.0], [4.0, 5.0], [0.1, 1e-7]])),
        {"tau": dist.LogNormal(jnp.zeros(2), jnp.ones(2)).to_event(1)},
        filters.EnKF(20, filters.RTPS(0.3)),
    ),
    filters.ThreeDVar(jnp.tri(3)),
    filters.LETKF(distance=filters.Straight((40.0,))),
    filters.ExtendedKalman(1.1),
    systems.VanDerPol(gain=(1.0, 2.0)),
]
PRIORS = [
    *(kind(0.5, 2.0) for kind in (dist.Normal, dist.LogNormal, dist.Cauchy, dist.Laplace)),
    *(kind(0.5, 2.0) for kind in (dist.Logistic, dist.Gumbel, dist.SoftLaplace, dist.Uniform)),
    *(kind(1.5, 2.0) for kind in (dist.LogUniform, dist.Gamma, dist.InverseGamma, dist.Beta)),
    *(kind(1.5, 2.0) for kind in (dist.Kumaraswamy, dist.Weibull, dist.Pareto, dist.VonMises)),
    *(kind(1.5) for kind in (dist.HalfNormal, dist.HalfCauchy, dist.Exponential, dist.Chi2)),
    dist.StudentT(3.0, 0.5, 2.0),
    dist.Dirichlet(jnp.array([1.0, 2.0])),
    dist.MultivariateNormal(jnp.ones(2), covariance_matrix=jnp.array([[2.0, 0.3], [0.3, 1.0]])),
    dist.MultivariateStudentT(4.0, jnp.ones(2), jnp.eye(2)),
    dist.TruncatedNormal(0.5, 2.0, low=0.0),
    dist.TruncatedNormal(0.5, 2.0, high=1.0),
    dist.TruncatedNormal(0.5, 2.0, low=0.0, high=1.0),
    dist.Normal(0.0, 1.0).expand([3, 2]),
    dist.Normal(np.zeros(2), 1.0).to_event(1),
    dist.LogNormal(0.0, 1.0).expand([3]).to_event(1),
]


@pytest.mark.parametrize("thing", THINGS, ids=lambda t: type(t).__name__)
def test_there_and_back(thing):
    text = json.dumps(settings_of(thing))
    again = made_from(json.loads(text))
    assert type(again) is type(thing)
    assert json.dumps(settings_of(again)) == text
    assert eqx.tree_equal(again, thing)


@pytest.mark.parametrize("prior", PRIORS, ids=lambda p: type(p).__name__)
def test_a_prior_there_and_back_is_the_same_distribution(prior, key):
    again = made_from(json.loads(json.dumps(settings_of(prior))))
    assert type(again) is type(prior)
    assert again.shape() == prior.shape()
    x = prior.sample(key, (5,))
    np.testing.assert_array_equal(again.sample(key, (5,)), x)
    np.testing.assert_allclose(again.log_prob(x), prior.log_prob(x), rtol=1e-6)


def test_every_distribution_in_the_table_is_tried():
    assert {type(p).__name__ for p in PRIORS} == set(DISTRIBUTIONS)


def test_every_name_in_the_table_is_there():
    for names in HOMES.values():
        for name in names:
            assert made_from({"class": name}).__name__ == name


def test_every_guide_that_is_made_from_a_model_alone_is_in_the_table():
    def takes(kind):
        try:
            return bool(inference.SVI(guide=kind))
        except TypeError:
            return False

    alone = {name for name in autoguide.__all__ if takes(getattr(autoguide, name))}
    assert alone == set(HOMES["numpyro.infer.autoguide"])


@pytest.mark.parametrize(
    "name", ["os.system", "Popen", "", "Emission", "__import__", "import_module"]
)
@pytest.mark.parametrize("kind", ["type", "class", "distribution"])
def test_other_names_are_refused(name, kind):
    with pytest.raises(ValueError, match="does not know"):
        made_from({kind: name})


@pytest.mark.parametrize("kind", ["type", "class", "distribution"])
@pytest.mark.parametrize("name", [None, 3, ["SVI"], {"type": "SVI"}])
def test_what_is_no_name_is_refused(name, kind):
    with pytest.raises(ValueError, match="does not know"):
        made_from({kind: name})


@pytest.mark.parametrize(
    "settings",
    [
        {"type": "Autoregressive", "depth": 3},
        {"type": "Direct"},
        {"type": "Autoregressive", "noise": {"type": "FixedNormal", "width": 1}},
        {"distribution": "Normal", "mean": 0.0},
        {"type": "Lorenz63", "tau": 1.0},
    ],
)
def test_other_settings_are_refused(settings):
    with pytest.raises(ValueError, match="other settings of .* than this version"):
        made_from(settings)


def test_plain_values_and_tables_pass():
    held = {"a": [1, 2.5, None, True, "x"], "b": {"c": np.float64(2), "d": np.int64(3)}}
    assert made_from(json.loads(json.dumps(settings_of(held)))) == {
        "a": (1, 2.5, None, True, "x"),
        "b": {"c": 2.0, "d": 3},
    }


def test_a_setting_that_json_cannot_hold_is_refused():
    class Held(eqx.Module):
        weights: object

    many = np.zeros(MOST_NUMBERS + 1)
    cauchy = dist.MixtureGeneral(dist.Categorical(jnp.ones(1)), [dist.Cauchy(0.0, 1.0)])
    for value in (many, jnp.zeros(2, complex), jax.random.key(0), np.array(["a"]), print, cauchy):
        with pytest.raises(TypeError, match="JSON cannot hold"):
            settings_of(Held(value))
        told = settings_of(Held(value), own=True)
        assert told == {"type": "Held", "weights": {"type": type(value).__name__}}
        with pytest.raises(ValueError, match="'Held'.*pass it in"):
            made_from(told)


@pytest.mark.parametrize(
    "value", [jnp.arange(6.0).reshape(2, 3), np.array([0.1, np.inf], np.float32), 3.5]
)
def test_small_arrays_pass_as_lists(value):
    again = made_from(json.loads(json.dumps(settings_of({"weights": value}))))["weights"]
    np.testing.assert_array_equal(again, value)
    assert jnp.asarray(value).dtype == jnp.asarray(again).dtype


def test_a_distribution_of_another_package_is_not_taken_for_the_one_of_its_name():
    class Normal(dist.Normal):
        pass

    with pytest.raises(TypeError, match="JSON cannot hold"):
        settings_of(Normal(0.0, 1.0))
