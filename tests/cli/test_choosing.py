"""Settings from the command line: to the model or the method, by name, of the right kind."""

import pytest
from numpyro.infer.autoguide import AutoMultivariateNormal

from assim import inference, models
from assim.cli.choosing import METHODS, MODELS, chosen


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
    made = chosen(model, method, [])
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
