"""Settings to JSON and back, and nothing else to life."""

import json

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.infer import autoguide

from assim import inference, models
from assim.registry import HOMES, made_from, settings_of

THINGS = [
    models.Autoregressive(),
    models.Autoregressive(3, (), controls=("a",), calendar=(), targets=("t",), prior_scale=0.5),
    models.Autoregressive(noise=models.StudentT(5.0), decoding=models.Direct(6)),
    models.Persistence(),
    models.Climatology(),
    models.SeasonalNaive(),
    inference.SVI(),
    inference.SVI(guide=autoguide.AutoLowRankMultivariateNormal),
    inference.NUTS(),
    inference.EnsembleMAP(),
    inference.EnsembleMAP(inference.Bootstrap()),
    inference.Laplace(inference.LastLayer()),
    inference.Stein(),
    inference.Prior(),
]


@pytest.mark.parametrize("thing", THINGS, ids=lambda t: type(t).__name__)
def test_there_and_back(thing):
    text = json.dumps(settings_of(thing))
    again = made_from(json.loads(text))
    assert type(again) is type(thing)
    assert json.dumps(settings_of(again)) == text
    assert again == thing


def test_every_name_in_the_table_is_there():
    for names in HOMES.values():
        for name in names:
            assert made_from({"class": name}).__name__ == name


@pytest.mark.parametrize(
    "name", ["os.system", "Popen", "", "Emission", "__import__", "import_module"]
)
@pytest.mark.parametrize("kind", ["type", "class"])
def test_other_names_are_refused(name, kind):
    with pytest.raises(ValueError, match="does not know"):
        made_from({kind: name})


@pytest.mark.parametrize("kind", ["type", "class"])
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

    for value in (jnp.zeros(3), np.zeros(3), print):
        with pytest.raises(TypeError, match="JSON cannot hold"):
            settings_of(Held(value))
