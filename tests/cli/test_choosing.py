"""Settings from the command line: to the model or the method, by name, of the right kind."""

import pytest
from numpyro.infer.autoguide import AutoMultivariateNormal

from assim import filters, inference, models, systems
from assim.cli.choosing import (
    FILTERS,
    METHODS,
    MODELS,
    SYSTEMS,
    chosen,
    chosen_filter,
    chosen_system,
)


def test_settings_find_the_model_or_the_method():
    settings = ["lags=48", "hidden=32,16", "num_steps=2000", "calendar=", "ascent.num_steps=100"]
    model, method = chosen("autoregressive", "svi", settings, ("valve",))
    assert model == models.Autoregressive(48, (32, 16), calendar=(), controls=("valve",))
    assert method == inference.SVI(num_steps=2000, ascent=inference.Ascent(num_steps=100))


@pytest.mark.parametrize(
    "setting, field, value",
    [
        ("noise=student-t", "noise", models.StudentT()),
        ("noise=StudentT(df=5, varying=false)", "noise", models.StudentT(5.0, False)),
        ("decoding=Direct(12)", "decoding", models.Direct(12)),
        ("targets=a, b", "targets", ("a", "b")),
        ("targets=none", "targets", None),
        ("lags=1,2,6", "lags", (1, 2, 6)),
        ("mask_rate=0", "mask_rate", 0.0),
    ],
)
def test_a_value_is_read_as_what_the_model_takes(setting, field, value):
    assert getattr(chosen("autoregressive", None, [setting])[0], field) == value


@pytest.mark.parametrize(
    "setting, field, value",
    [
        ("guide=AutoMultivariateNormal", "guide", AutoMultivariateNormal),
        ("batch_size=none", "batch_size", None),
        ("ascent=none", "ascent", None),
        ("patience=0", "patience", 0),
    ],
)
def test_a_value_is_read_as_what_the_method_takes(setting, field, value):
    assert getattr(chosen("var", "svi", [setting])[1], field) == value


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("method", METHODS)
def test_every_model_and_method_has_a_name(model, method):
    bridges = ("schrodinger-bridge", "published-sbirr")
    needed = ["reference=Brownian"] if model in bridges else []
    made = chosen(model, method, needed)
    assert isinstance(
        made[0], models.__dict__[MODELS[model]] if model != "var" else models.Autoregressive
    )
    assert isinstance(made[1], getattr(inference, METHODS[method]))


def test_no_method_leaves_the_choice_to_infer():
    assert chosen("persistence", None, ["horizon=72"]) == (models.Persistence(horizon=72), None)


@pytest.mark.parametrize(
    "model, method, settings, sentence",
    [
        (
            "autoregresive",
            None,
            [],
            "There is no model 'autoregresive': choose from autoregressive, ",
        ),
        ("var", "mcmc", [], "There is no method 'mcmc': choose from svi, nuts"),
        ("var", "svi", ["num_stepz=1"], "did you mean num_steps"),
        ("var", "svi", ["hidden=3"], "no such setting"),
        (
            "var",
            None,
            ["num_warmup=1"],
            "a setting of the methods nuts; say which, as --method nuts",
        ),
        ("var", "svi", ["lags"], "has no value"),
        ("var", "svi", ["lags=few"], "expected a whole number or numbers with commas"),
        ("var", "svi", ["lags=0"], "expected 1 or more"),
        ("var", "svi", ["mask_rate=much"], "expected a number"),
        ("var", "svi", ["mask_rate=2"], "is not a share"),
        ("var", "svi", ["noise=Gauss"], "expected one of FixedNormal, Normal, StudentT or none"),
        ("var", "svi", ["noise=StudentT(nu=3)"], "has no setting 'nu'; it has df, varying"),
        ("var", "svi", ["noise=StudentT(df=1)"], "no finite variance"),
        ("var", "svi", ["noise=StudentT(3,true,1)"], "and no more"),
        ("var", "svi", ["decoding=Direct"], "needs horizon"),
        ("var", "svi", ["ascent.steps=3"], "'ascent' has the settings num_steps"),
        ("var", "svi", ["lags.x=3"], "'lags' has no settings of its own"),
    ],
)
def test_a_wrong_name_or_value_is_one_sentence(model, method, settings, sentence):
    with pytest.raises(ValueError) as caught:
        chosen(model, method, settings)
    assert sentence in str(caught.value)


def test_a_model_without_controls_says_so():
    with pytest.raises(ValueError, match="persistence takes none"):
        chosen("persistence", None, [], ("valve",))


@pytest.mark.parametrize(
    "name, setting, made",
    [
        ("etkf", "size=100", filters.ETKF(100)),
        ("ETKF", "inflation=1.02", filters.ETKF(inflation=1.02)),
        ("enkf", "inflation=RTPS(0.3)", filters.EnKF(inflation=filters.RTPS(0.3))),
        ("enkf", "inflation=rtps", filters.EnKF(inflation=filters.RTPS())),
        ("denkf", "inflation=Additive(sd=0.2)", filters.DEnKF(inflation=filters.Additive(0.2))),
        ("letkf", "radius=3", filters.LETKF(radius=3.0)),
        ("letkf", "distance=great-circle", filters.LETKF(distance=filters.GreatCircle())),
        ("letkf", "distance=Straight(8, 9)", filters.LETKF(distance=filters.Straight((8.0, 9.0)))),
        ("letkf", "distance=Straight((8.0,))", filters.LETKF(distance=filters.Straight((8.0,)))),
        ("letkf", "distance=Straight(periods=8)", filters.LETKF(distance=filters.Straight((8.0,)))),
        ("letkf", "most=none", filters.LETKF()),
        ("enkf-n", "rotate=true", filters.EnKFN(rotate=True)),
        ("extended-kalman", "inflation=2", filters.ExtendedKalman(2.0)),
        (
            "gated",
            "filter=LETKF(5, distance=Straight((8, 8)), inflation=RTPS(0.3))",
            filters.Gated(
                filters.LETKF(5, distance=filters.Straight((8.0, 8.0)), inflation=filters.RTPS(0.3))
            ),
        ),
    ],
)
def test_a_filter_is_made_as_typed(name, setting, made):
    assert chosen_filter(name, [setting])[0] == made


@pytest.mark.parametrize("name", FILTERS)
def test_every_filter_has_a_name(name):
    settings = ["filter=EnKF"] if name in ("gated", "tolerant") else []
    assert isinstance(chosen_filter(name, settings)[0], getattr(filters, FILTERS[name]))


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_has_a_name(name):
    numbers = ["mean=0,0", "sd=1,1", "tau=1,2", "error=1,1"]
    made = chosen_system(name, numbers if name == "ornstein-uhlenbeck" else [])
    assert isinstance(made, getattr(systems, SYSTEMS[name]))


def test_a_name_that_both_have_is_the_filters_unless_it_is_said():
    settings = ["size=20", "forcing=10", "system.size=12", "filter.rotate=true"]
    chosen_ones = chosen_filter("etkf", settings, system="lorenz96")
    assert chosen_ones == (filters.ETKF(20, rotate=True), systems.Lorenz96(size=12, forcing=10.0))


@pytest.mark.parametrize(
    "name, settings, draws, size",
    [
        ("etkf", [], 20, 20),
        ("etkf", [], 500, 100),
        ("etkf", ["size=7"], 500, 7),
        ("etkf", [], 0, 40),
        ("particle", [], 20, 1000),
    ],
)
def test_draws_become_members(name, settings, draws, size):
    assert chosen_filter(name, settings, draws=draws)[0].size == size


@pytest.mark.parametrize(
    "name, settings, system, sentence",
    [
        ("etfk", [], None, "There is no filter 'etfk': choose from etkf, enkf, "),
        ("etfk", [], None, "; did you mean etkf or letkf?"),
        ("etkf", [], "lorenz", "; did you mean lorenz-96 or lorenz-63?"),
        ("etkf", ["infaltion=2"], None, "etkf has no such setting; did you mean inflation?"),
        ("etkf", ["forcin=2"], "lorenz-96", "etkf and lorenz-96 have no such setting; did you"),
        (None, ["inflation=2"], None, "a setting of the filters etkf, enkf, denkf, letkf, ienks"),
        ("etkf", ["size=1"], None, "expected 2 or more"),
        ("etkf", ["inflation=much"], None, "one of Multiplicative, RTPS, Additive or a number."),
        ("letkf", ["radius=wide"], None, "--set radius=wide: expected a number."),
        ("letkf", ["distance=Straight(wide)"], None, "expected numbers with commas"),
        ("kalman", ["mean=0"], "ornstein-uhlenbeck", "needs sd, tau, error: give --set sd=VALUE"),
        ("gated", [], None, "gated needs filter"),
    ],
)
def test_a_wrong_filter_or_system_is_one_sentence(name, settings, system, sentence):
    with pytest.raises(ValueError) as caught:
        chosen_filter(name, settings, system=system)
    assert sentence in str(caught.value)
