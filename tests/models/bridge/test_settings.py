"""What a bridge is made of, to a file and back."""

import json

import equinox as eqx
import numpyro.distributions as dist
import pytest

from assim import systems
from assim.models.bridge import (
    Adjacent,
    SchrodingerBridge,
    errors,
    references,
    survival,
    volatilities,
)
from assim.registry import ROOMS, WITHIN, made_from, settings_of

WIDE = {"birth": dist.LogNormal(0.0, 2.0)}
PARTS = [
    *(references.Brownian(), references.Linear(), references.Repressilator()),
    references.RepressilatorProteins(),
    *(references.LotkaVolterra(), references.LotkaVolterra(WIDE), references.Vortex()),
    *(references.Potential([8, 4], 0.5), references.Neural((3,)), references.RandomFeatures(8, 4)),
    references.Sum(references.Vortex(), references.RandomFeatures(60, lengthscales=[1.0])),
    *(volatilities.Constant(), volatilities.Diagonal(), volatilities.Mixed()),
    *(volatilities.Multiplicative({"share": dist.HalfNormal(0.1)}), volatilities.Given((0.1, 2.0))),
    *(errors.Exact(), errors.Given(0.1), errors.Learned(0.2), errors.Mixed(0.2)),
    *(survival.NoHazard(), survival.ConstantHazard(), survival.LinearHazard()),
    survival.NetHazard(),
]


@pytest.mark.parametrize("part", PARTS, ids=lambda p: type(p).__name__)
def test_there_and_back(part):
    again = made_from(json.loads(json.dumps(settings_of(part))))
    assert type(again) is type(part)
    assert eqx.tree_equal(again, part)


def test_every_name_in_the_table_is_there_and_is_tried():
    for name, room in WITHIN.items():
        kind = made_from({"class": name})
        assert kind.__module__.startswith(room) and settings_of(kind) == {"class": name}
    own = {name for name, room in WITHIN.items() if room.startswith("assim.models.bridge.")}
    assert {type(p) for p in PARTS} == {made_from({"class": name}) for name in own}
    assert len(WITHIN) == sum(map(len, ROOMS.values()))


def test_a_reference_is_not_taken_for_the_system_of_its_name():
    assert settings_of(references.LotkaVolterra())["type"] == "references.LotkaVolterra"
    assert settings_of(systems.LotkaVolterra())["type"] == "LotkaVolterra"
    assert type(made_from({"type": "LotkaVolterra"})) is systems.LotkaVolterra


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"volatility": 0.0}, "volatility is 0.0: give one of its own, as volatilities.Constant()"),
        ({"matching": Adjacent}, r"matching is the class Adjacent: give .* FirstSnapshot\(\)"),
        ({"reference": "linear"}, "reference is 'linear'"),
        ({"unseen": "protein"}, "unseen is 'protein'"),
    ],
)
def test_what_is_no_part_is_refused(part, said):
    with pytest.raises(TypeError, match=said):
        SchrodingerBridge(**({"reference": references.Brownian()} | part))
