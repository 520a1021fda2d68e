"""Units: the table comes before udunits, conversions are linear, disagreement is one sentence."""

import numpy as np
import pytest

from assim.data.units import agree, canonical, convert, convert_difference


@pytest.mark.parametrize(
    ("source", "target", "value", "expected"),
    [
        ("C", "K", 0.0, 273.15),
        ("ºC", "K", 20.0, 293.15),
        ("degF", "degC", 212.0, 100.0),
        ("hPa", "Pa", 1013.25, 101325.0),
        ("m/s", "knot", 1.0, 1.9438444924),
        ("mm/hr", "m s-1", 3.6, 1e-6),
        ("percent", "unitless", 50.0, 0.5),
        ("w/m^2", "kW m-2", 1500.0, 1.5),
        ("decibar", "Pa", 1.0, 1e4),
    ],
)
def test_readings_are_converted(source, target, value, expected):
    assert convert(value, source, target) == pytest.approx(expected, rel=1e-9)


def test_an_error_has_no_offset():
    np.testing.assert_allclose(
        convert_difference(np.array([0.5, 1.8]), "degF", "degC"), [0.27777778, 1.0]
    )
    assert convert_difference(0.2, "degC", "K") == pytest.approx(0.2)


def test_nothing_is_done_where_units_agree():
    values = np.arange(3.0)
    assert convert(values, "degrees_Celsius", "degC") is values
    assert agree("psu", "1")
    assert agree("furlongs per fortnight?", "furlongs per fortnight?")
    assert not agree("m", "s")


@pytest.mark.parametrize(
    ("source", "target", "says"),
    [
        ("m", "s", "measure different things"),
        ("Celsius parsecs!", "K", "does not know"),
        ("1", "dBZ", ""),
    ],
)
def test_what_cannot_be_converted_is_refused(source, target, says):
    with pytest.raises(ValueError, match=f"cannot be converted.*{says}"):
        convert(1.0, source, target)


def test_an_unknown_unit_is_kept_with_a_warning():
    with pytest.warns(UserWarning, match="not known to udunits"):
        assert canonical("counts per blip") == "counts per blip"
    assert canonical("C") == "degC"
