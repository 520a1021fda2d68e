"""What tells nothing is left out with a sentence, and nothing else is."""

import numpy as np
import pytest
import xarray as xr

from assim.cli.opening import names_in, without_useless


def test_constant_and_missing_columns_go_with_their_errors(mast_record):
    ds = mast_record.assign(battery_sd=mast_record["battery"] * 0 + 0.1)
    kept, said = without_useless(ds)
    assert list(kept.data_vars) == ["air_temperature", "wind_speed"]
    assert said == [
        "'battery' is constant and is left out.",
        "'dead' has no value and is left out.",
    ]


def test_what_the_user_named_stays(mast_record):
    kept, said = without_useless(mast_record, asked_for=("battery",))
    assert "battery" in kept and len(said) == 1


def test_a_record_of_which_nothing_is_left_names_its_channels(mast_record):
    ds = mast_record * 0
    says = "nothing to model, since 'air_temperature' is constant, 'wind_speed' is constant, 'batt.*: give one"
    with pytest.raises(ValueError, match=says):
        without_useless(ds)
    with pytest.raises(ValueError, match="nothing to model"):
        without_useless(ds.assign(valve=mast_record["wind_speed"]), inputs=("valve",))
    assert list(without_useless(ds, asked_for=("battery",))[0]) == ["battery"]


def test_levels_that_tell_nothing_go_and_the_others_keep_their_place():
    values = np.random.default_rng(0).normal(size=(50, 4))
    values[:, 1], values[:, 3] = 7.0, np.nan
    values[3:9, 0] = np.nan
    ds = xr.Dataset({"TEMP": (("time", "depth"), values)}, {"time": np.arange(50)})
    kept, said = without_useless(ds)
    assert list(kept["depth"].values) == [0, 2]
    np.testing.assert_array_equal(kept["TEMP"], values[:, [0, 2]])
    assert "2 of 4 values of 'depth'" in said[0]


def test_a_record_that_is_sound_is_left_alone(mast_record):
    sound = mast_record[["air_temperature", "wind_speed"]]
    kept, said = without_useless(sound)
    assert said == []
    xr.testing.assert_identical(kept, sound)


def test_names_are_separated_by_commas():
    assert names_in("a, b,,c ") == ("a", "b", "c")
    assert names_in(None) == ()
