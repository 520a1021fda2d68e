"""Where a variable can lie, told from its attributes."""

import numpy as np
import pytest
import xarray as xr

from assim.data.support import SUPPORTS, bounds_of, support_of


def variable(standard_name=None, units="", name="v", **attrs):
    named = {} if standard_name is None else {"standard_name": standard_name}
    return xr.DataArray([0.0], dims="time", name=name, attrs=named | {"units": units} | attrs)


@pytest.mark.parametrize(
    ("standard_name", "units", "support"),
    [
        ("air_temperature", "degC", "real"),
        ("air_pressure", "hPa", "real"),
        ("eastward_wind", "m s-1", "real"),
        ("wind_speed", "m s-1", "lower"),
        ("wind_speed_of_gust", "m s-1", "lower"),
        ("precipitation_amount", "kg m-2", "lower"),
        ("surface_downwelling_shortwave_flux_in_air", "W m-2", "lower"),
        ("net_downward_shortwave_flux_in_air", "W m-2", "real"),
        ("surface_temperature_anomaly", "K", "real"),
        ("mole_fraction_of_carbon_dioxide_in_air", "1e-6", "lower"),
        ("sea_surface_wave_significant_height", "m", "lower"),
        ("wind_from_direction", "degree", "circle"),
        ("sea_surface_wave_from_direction", "Degrees_True", "circle"),
        ("platform_azimuth_angle", "radian", "circle"),
        ("wind_from_direction", "m", "real"),
        ("relative_humidity", "%", "both"),
        ("relative_humidity", "1", "both"),
        ("cloud_area_fraction", "1", "both"),
        ("volume_fraction_of_water_in_soil", "m3 m-3", "real"),
        ("tendency_of_mass_concentration_of_ozone", "kg m-3 s-1", "real"),
    ],
)
def test_the_standard_name_and_units_tell(standard_name, units, support):
    assert support_of(variable(standard_name, units)) == support


def test_the_long_name_and_then_the_name_stand_in():
    assert support_of(variable(long_name="Wind Speed")) == "lower"
    assert support_of(variable(name="wind_speed")) == "lower"
    assert support_of(variable(name="wind_speed", long_name="Battery")) == "real"
    assert support_of(xr.DataArray([0.0])) == "real"


def test_readings_and_valid_ranges_overrule_a_name():
    flux = {"standard_name": "surface_downwelling_shortwave_flux_in_air", "units": "W m-2"}
    offset = xr.DataArray([-2.0, 0.0, 800.0], dims="time", attrs=flux)
    assert support_of(offset) == "lower"
    assert support_of(offset.copy(data=[-60.0, 0.0, 800.0])) == "real"
    assert support_of(offset.assign_attrs(valid_min=-500.0)) == "real"
    assert support_of(offset.assign_attrs(valid_range=[-500.0, 1500.0])) == "real"
    assert support_of(offset.copy(data=[np.nan] * 3)) == "lower"
    wind = offset.assign_attrs(standard_name="wind_speed", units="m s-1")
    assert (
        support_of(wind.copy(data=[-60.0, 0.0, 8.0])) == "lower"
    )  # a wrong reading, and no other law


@pytest.mark.parametrize(
    ("long_name", "units"),
    [
        ("Wind direction vector mean standard deviation", "degree"),
        ("Change in energy storage", "W m-2"),
        ("Surface energy balance", "W m-2"),
    ],
)
def test_a_spread_or_a_change_has_no_bound(long_name, units):
    assert support_of(variable(long_name=long_name, units=units)) == "real"


@pytest.mark.parametrize("support", SUPPORTS)
def test_what_is_given_decides(support):
    assert support_of(variable("wind_speed", support=support)) == support


def test_a_support_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match=r"'v' has support='positive'; it must be one of real"):
        support_of(variable(support="positive"))


@pytest.mark.parametrize(
    ("da", "bounds"),
    [
        (variable("air_temperature", "K"), (-np.inf, np.inf)),
        (variable("wind_speed", "m s-1", valid_max=60.0), (0, np.inf)),
        (variable("depth", "m", support="upper"), (-np.inf, 0)),
        (variable("relative_humidity", "%"), (0, 100)),
        (variable("relative_humidity", "%", valid_min=5, valid_max=95), (0, 100)),
        (variable("relative_humidity", "1"), (0, 1)),
        (variable("tilt", "V", support="both", valid_min=-5, valid_max=5), (-5, 5)),
        (variable("wind_from_direction", "degree"), (0, 360)),
        (variable("wind_from_direction", "rad"), (0, 2 * np.pi)),
        (variable("hour", "h", support="circle", period=24), (0, 24)),
    ],
)
def test_bounds(da, bounds):
    assert bounds_of(da) == bounds
