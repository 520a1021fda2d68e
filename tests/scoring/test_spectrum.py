"""Energy by wavenumber adds up to the mean square, and stands where the waves are."""

import numpy as np
import pytest
import xarray as xr

from assim import scoring

DEGREES = {"lat": "degrees_north", "lon": "degrees_east"}


def make(values, *, step=(0.5, 2.0), names=("lat", "lon"), units=None):
    dims = names[-values.ndim :] if values.ndim < 3 else ("time", *names)
    coords = {
        d: (d, s * np.arange(values.shape[i - len(names)]), {"units": (units or DEGREES)[d]})
        for i, (d, s) in enumerate(zip(names, step, strict=True))
        if d in dims
    }
    return xr.DataArray(values, coords, dims, "sst", {"units": "degC"})


def total(energy):
    k = energy["wavenumber"].values
    return (energy * (k[1] - k[0])).sum("wavenumber", skipna=False)


@pytest.mark.parametrize("size", [8, 9])
@pytest.mark.parametrize("dims", ["lat", "lon", ("lat", "lon"), ("lon", "lat")])
def test_the_energy_of_all_wavenumbers_is_the_mean_square(size, dims):
    field = make(np.random.default_rng(0).normal(1.0, 2.0, size=(3, size, 11)))
    energy = scoring.energy_spectrum(field, dims)
    over = [dims] if isinstance(dims, str) else list(dims)
    np.testing.assert_allclose(total(energy), (field**2).mean(over), rtol=1e-12)
    assert set(energy.dims) == {*field.dims, "wavenumber"} - set(over)


def test_a_wave_stands_at_its_angular_wavenumber():
    x = 2.0 * np.arange(12)
    wave = make(3.0 * np.cos(2 * np.pi * 2 * x / 24.0 + 0.4) + 5.0)
    energy = scoring.energy_spectrum(wave, "lon")
    k, width = energy["wavenumber"].values, 2 * np.pi / 24
    np.testing.assert_allclose(k, width * np.arange(7))
    np.testing.assert_allclose(energy * width, [25.0, 0, 4.5, 0, 0, 0, 0], atol=1e-12)
    assert energy["wavenumber"].attrs["nyquist"] == pytest.approx(np.pi / 2.0)
    assert energy["wavenumber"].attrs["units"] == "rad degree-1"
    assert energy.attrs["units"] == "degC2 degree rad-1"


def test_shells_of_two_axes_hold_waves_of_one_length():
    n, width = 16, 2 * np.pi / 16
    i, j = np.meshgrid(np.arange(n), np.arange(n), indexing="ij")
    waves = 2 * np.cos(width * 5 * i) + 2 * np.cos(width * (3 * i + 4 * j))  # both of length 5
    energy = scoring.energy_spectrum(make(waves, step=(1.0, 1.0)), ["lat", "lon"])
    wanted = np.zeros(energy.size)
    wanted[5] = 2.0 + 2.0
    np.testing.assert_allclose(energy * width, wanted, atol=1e-12)
    assert energy.size == round(8 * 2**0.5) + 1


def test_shells_are_as_wide_as_the_shorter_axis_asks():
    field = make(np.random.default_rng(0).normal(size=(8, 32)), step=(1.0, 1.0))
    energy = scoring.energy_spectrum(field, ["lat", "lon"])
    np.testing.assert_allclose(energy["wavenumber"][1], 2 * np.pi / 8)
    assert (energy > 0).all()  # no shell is empty


def test_coordinates_may_fall_and_missing_stays_missing():
    field = make(np.random.default_rng(0).normal(size=(4, 8, 11)))
    turned = field.isel(lat=slice(None, None, -1))
    np.testing.assert_allclose(
        scoring.energy_spectrum(turned, ["lat", "lon"]),
        scoring.energy_spectrum(field, ["lat", "lon"]),
    )
    field[1, 3, 4] = np.nan
    assert scoring.energy_spectrum(field, "lon").isnull().all("wavenumber").sum() == 1
    assert scoring.energy_spectrum(field, ["lat", "lon"]).isnull().all("wavenumber").sum() == 1


@pytest.mark.parametrize(
    ("field", "dims", "says"),
    [
        (lambda f: f, ["lat", "depth"], "name one or two different axes"),
        (lambda f: f, ["lon", "lon"], "name one or two different axes"),
        (lambda f: f.drop_vars("lon"), "lon", "no coordinate of two numbers or more along 'lon'"),
        (lambda f: f.isel(lon=[0, 1, 3, 4]), "lon", "do not stand at equal steps"),
        (
            lambda f: f.assign_coords(lat=f["lat"].assign_attrs(units="m")),
            ["lat", "lon"],
            "'lat' is in 'm' and 'lon' in 'degrees_east'",
        ),
    ],
)
def test_what_has_no_spectrum_is_said(field, dims, says):
    with pytest.raises(ValueError, match=says):
        scoring.energy_spectrum(field(make(np.ones((4, 8, 11)))), dims)
