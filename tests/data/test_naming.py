"""Standard names that are none, or of another unit, are not written."""

import pytest

from assim.data.naming import canonical_unit, standard_name


@pytest.mark.parametrize(
    ("given", "units", "expected"),
    [
        ("air_temperature", "degC", "air_temperature"),
        ("air_temperature standard_error", "K", "air_temperature standard_error"),
        ("air_temperature", "m s-1", None),
        ("air_temperature", None, None),
        ("temperature_of_the_air", "K", None),
        ("air_temperature guess", "K", None),
        ("relative_humidity", "%", "relative_humidity"),
        ("relative_humidity", None, "relative_humidity"),
        ("surface_carbon_dioxide_mole_flux", "mol m-2 s-1", None),
        ("", "K", None),
    ],
)
def test_standard_names_are_checked(given, units, expected):
    assert standard_name(given, units) == expected


def test_an_alias_becomes_the_name_that_it_stands_for():
    assert canonical_unit("chlorophyll_concentration_in_sea_water") == "kg m-3"
    named = standard_name("chlorophyll_concentration_in_sea_water", "mg m-3")
    assert named == "mass_concentration_of_chlorophyll_in_sea_water"
