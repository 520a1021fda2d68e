"""What two runs differ in is told by the settings that differ, never by cut JSON."""

import json

import pytest

from assim.assimilation.differing import differing
from assim.filters import ETKF, RTPS, EnKF, Gated
from assim.registry import settings_of
from assim.systems import Lorenz96

MANY = list(range(1000))


@pytest.mark.parametrize(
    ("held", "given", "said"),
    [
        (ETKF(10), ETKF(12), "ETKF with size=10 in place of size=12"),
        (ETKF(10), EnKF(10), "ETKF in place of EnKF"),
        (Gated(ETKF(10)), ETKF(10), "Gated in place of ETKF"),
        (
            ETKF(10, 1.05),
            ETKF(10, RTPS(0.5)),
            "ETKF with inflation=Multiplicative(factor=1.05) in place of inflation=RTPS(alpha=0.5)",
        ),
        (Lorenz96(8), Lorenz96(8, 9.0), "Lorenz96 with forcing=8.0 in place of forcing=9.0"),
    ],
)
def test_settings_that_differ_are_named(held, given, said):
    assert differing(*(json.dumps(settings_of(part)) for part in (held, given))) == said


def test_what_is_no_settings_is_told_in_short():
    assert differing("[0, 0]", "[0, 1]") == "[0, 0] in place of [0, 1]"
    assert differing(json.dumps("state"), json.dumps(["a"])) == "'state' in place of ['a']"
    assert differing(None, json.dumps(settings_of(ETKF(4)))).startswith(
        "it does not tell, and here"
    )
    told = [json.dumps({"type": "Own", "at": MANY[:n]}) for n in (1000, 999)]
    assert len(differing(*told)) < 100
