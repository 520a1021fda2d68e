"""Frames: runs, columns, clock, errors and controls of a dataset, and the same again for a fitted model."""

import json

import numpy as np
import pytest
import xarray as xr

from assim.data.framing import Selection, describe_frame, frame_of
from assim.data.spreading import MOST_CHANNELS

START = np.datetime64("2020-01-01", "ns")
TEMPERATURE = {"units": "degree_Celsius", "standard_name": "air_temperature"}
WIND = {"units": "m s-1", "standard_name": "wind_speed"}


def clock(count, step=600):
    return START + np.arange(count) * np.timedelta64(step, "s")


def record(count=40, stations=None, seed=0, **more):
    """Temperature, wind and a heater, at stations where asked for."""
    rng = np.random.default_rng(seed)
    dims, shape = ("time",), (count,)
    coords = {"time": clock(count)}
    if stations:
        dims, shape = ("station", "time"), (len(stations), count)
        coords["station"] = list(stations)
    variables = {
        "temp": (dims, 10 + rng.normal(size=shape), TEMPERATURE),
        "wind": (dims, np.abs(rng.normal(size=shape)), WIND),
        "heater": (dims, rng.uniform(0, 5, shape), {"units": "kW"}),
    }
    return xr.Dataset(variables | more, coords)


PLAIN = Selection(controls=("heater",))


def stored(frame):
    """What a tree keeps of a frame."""
    return json.loads(json.dumps(describe_frame(frame)))


def test_a_single_record():
    ds = record()
    frame = frame_of(ds, PLAIN)
    assert frame.channels == ("temp", "wind")
    assert frame.is_target == (True, True)
    assert frame.inputs == ("heater",)
    assert frame.scaling.supports == ("real", "lower")
    assert frame.stations is None
    assert frame.step == 600
    np.testing.assert_array_equal(frame.y[0, :, 0], ds["temp"])
    np.testing.assert_allclose(frame.u[0, :, 0].mean(), 0, atol=1e-12)
    np.testing.assert_allclose(frame.u[0, :, 0].std(), 1)
    assert frame.attrs["wind"] == WIND | {"support": "lower"}
    assert (frame.sd == 0).all()


def test_holes_of_the_clock_are_missing_rows():
    ds = record().isel(time=np.r_[0:10, 15:40])
    frame = frame_of(ds, PLAIN)
    assert frame.y.shape == (1, 40, 2)
    assert np.isnan(frame.y[0, 10:15]).all()
    assert np.isnan(frame.u[0, 10:15]).all()
    assert np.isfinite(frame.y[0, 15:]).all()
    np.testing.assert_array_equal(frame.times, clock(40))


def test_calendar_features_have_no_holes():
    ds = record(200).isel(time=np.r_[0:50, 60:200])
    frame = frame_of(ds, Selection(("heater",), calendar=("day", "year")))
    assert frame.inputs == ("heater", "day.cos1", "day.sin1", "day.cos2", "day.sin2")
    assert frame.num_controls == 1
    assert np.isfinite(frame.u[..., 1:]).all()


@pytest.mark.parametrize("order", [("station", "time"), ("time", "station")])
def test_stations_are_runs_in_any_order_of_dimensions(order):
    ds = record(stations="ab").transpose(*order)
    frame = frame_of(ds, PLAIN)
    assert frame.stations == ("a", "b")
    np.testing.assert_array_equal(frame.y[1, :, 0], ds["temp"].sel(station="b"))
    np.testing.assert_allclose(frame.scaling.centre[:, 0], ds["temp"].mean("time"))


def test_stations_without_labels_are_numbered():
    assert frame_of(record(stations="ab").drop_vars("station"), PLAIN).stations == ("0", "1")


def test_a_variable_that_all_stations_share_is_given_to_each():
    ds = record(stations="ab")
    ds["shared"] = ("time", np.arange(40.0))
    frame = frame_of(ds, PLAIN)
    np.testing.assert_array_equal(frame.y[:, :, 2], [np.arange(40)] * 2)


def test_a_station_taken_out_of_several_is_a_single_record():
    frame = frame_of(record(stations="ab").isel(station=1), PLAIN)
    assert frame.stations is None
    assert frame.y.shape[0] == 1


@pytest.mark.parametrize("dim", ["depth", "level", "z"])
def test_another_dimension_becomes_columns(dim):
    y = np.random.default_rng(0).normal(size=(40, 3))
    ds = record(salt=(("time", dim), y), **{dim: (dim, [0.5, 10.0, 20.0])})
    frame = frame_of(ds, PLAIN)
    assert frame.channels[2:] == ("salt@0.5", "salt@10", "salt@20")
    np.testing.assert_array_equal(frame.y[0, :, 2:], y)


def test_two_more_dimensions_become_columns_at_stations():
    rng = np.random.default_rng(0)
    y = rng.normal(size=(2, 3, 40, 2))
    ds = record(stations="ab", salt=(("station", "lat", "time", "lon"), y), lat=[1, 2, 3])
    frame = frame_of(ds, PLAIN)
    names = [f"salt@{a}@{b}" for a in (1, 2, 3) for b in (0, 1)]
    assert list(frame.channels[2:]) == names
    np.testing.assert_array_equal(frame.y[1, :, 2:], y[1].transpose(1, 0, 2).reshape(40, 6))


def test_places_that_print_alike_are_numbered():
    y = np.random.default_rng(0).normal(size=(40, 2))
    ds = record(salt=(("time", "depth"), y), depth=[1000.00011, 1000.00012])
    assert frame_of(ds, PLAIN).channels[2:] == ("salt@0", "salt@1")


def test_too_many_columns_are_refused():
    y = np.zeros((40, MOST_CHANNELS + 200))
    with pytest.raises(ValueError, match="at most 64"):
        frame_of(record(field=(("time", "x"), y)), PLAIN)


def test_errors_are_kept_beside_their_readings():
    sd = np.full(40, 0.3)
    sd[5] = np.nan
    frame = frame_of(record(temp_sd=("time", sd)), PLAIN)
    assert frame.channels == ("temp", "wind")
    np.testing.assert_array_equal(frame.sd[0, :, 0], np.nan_to_num(sd))
    assert (frame.sd[..., 1] == 0).all()


def test_errors_follow_their_readings_into_columns():
    rng = np.random.default_rng(0)
    y, sd = rng.normal(size=(40, 2)), rng.uniform(0.1, 0.2, (40, 2))
    more = {"salt": (("time", "depth"), y), "salt_sd": (("time", "depth"), sd), "depth": [1, 2]}
    frame = frame_of(record(**more), PLAIN)
    np.testing.assert_array_equal(frame.sd[0, :, 2:], sd)


@pytest.mark.parametrize("dims", [(), ("station",), ("time",), ("time", "station")])
def test_an_error_of_fewer_dimensions_holds_for_all(dims):
    ds = record(stations="ab")
    ds["temp_sd"] = xr.DataArray(np.full([ds.sizes[d] for d in dims], 0.2), dims=dims)
    assert (frame_of(ds, PLAIN).sd[..., 0] == 0.2).all()


@pytest.mark.parametrize("bad", [-0.1, np.inf])
def test_an_error_that_is_none_is_refused(bad):
    sd = np.full(40, 0.3)
    sd[7] = bad
    with pytest.raises(ValueError, match="'temp_sd' holds negative or infinite standard errors"):
        frame_of(record(temp_sd=("time", sd)), PLAIN)


def test_infinite_readings_are_missing():
    ds = record()
    ds["temp"][3], ds["temp"][4], ds["heater"][5] = np.inf, -np.inf, np.inf
    frame = frame_of(ds, PLAIN)
    assert np.isnan(frame.y[0, [3, 4], 0]).all()
    assert np.isnan(frame.u[0, 5, 0])
    assert np.isfinite(frame.scaling.centre).all()


def test_whole_numbers_are_readings_and_words_are_not():
    ds = record(
        count_=("time", np.arange(40)), flag=("time", ["ok"] * 40), on=("time", [True] * 40)
    )
    assert frame_of(ds, PLAIN).channels == ("temp", "wind", "count_")


def test_what_does_not_lie_along_time_is_left_out():
    assert frame_of(record(height=((), 2.0)), PLAIN).channels == ("temp", "wind")


def test_targets_and_covariates():
    ds = record(other=("time", np.arange(40.0)))
    frame = frame_of(ds, Selection(targets=("wind",), covariates=("temp",)))
    assert frame.channels == ("temp", "wind")
    assert frame.is_target == (False, True)
    rest = frame_of(ds, Selection(covariates=("temp",), controls=("heater",)))
    assert dict(zip(rest.channels, rest.is_target, strict=True)) == {
        "temp": False,
        "wind": True,
        "other": True,
    }


def test_a_covariate_of_several_levels_is_hidden_at_each():
    y = np.random.default_rng(0).normal(size=(40, 2))
    ds = record(salt=(("time", "depth"), y))
    assert frame_of(ds, Selection(("heater",), ("salt",))).is_target == (True, True, False, False)


@pytest.mark.parametrize(
    ("change", "selection", "sentence"),
    [
        (lambda d: d.rename(time="t"), PLAIN, "no 'time' dimension"),
        (lambda d: d.expand_dims(["station", "run"]), PLAIN, "two instance dimensions"),
        (lambda d: d, Selection(("heat",)), r"no variable 'heat'; it has heater, temp, wind"),
        (lambda d: d, Selection(targets=("t",)), "no variable 't'"),
        (lambda d: d.assign(a=1.0), Selection(targets=("temp", "a")), "'a' cannot be modelled"),
        (lambda d: d.assign(temp=d.temp * 0 + 4), PLAIN, r"'temp' is constant \(4 throughout\)"),
        (lambda d: d.assign(temp=d.temp * np.nan), PLAIN, "'temp' has no usable value"),
        (lambda d: d.assign(heater=d.heater * np.nan), PLAIN, "control 'heater' has no value"),
        (lambda d: d[["heater"]], PLAIN, "no numeric variable along 'time'"),
        (lambda d: d.isel(time=slice(2)), PLAIN, r"has 2 time\(s\)"),
        (lambda d: d.isel(time=slice(0)), PLAIN, r"has 0 time\(s\)"),
        (lambda d: d.isel(time=slice(None, None, -1)), PLAIN, "do not increase"),
        (
            lambda d: d.assign(heater=d.heater.expand_dims(x=2)),
            PLAIN,
            "control is one number at a time",
        ),
        (lambda d: d.assign(temp=d.temp.assign_attrs(support="odd")), PLAIN, "has support='odd'"),
    ],
)
def test_what_cannot_be_framed_is_refused_in_a_sentence(change, selection, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        frame_of(change(record()), selection)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("named", "sentence"),
    [
        (
            {"controls": ("a", "u"), "covariates": ("u",)},
            "'u' .* a control and as a covariate: leave",
        ),
        ({"controls": ("u",), "targets": ("t", "u")}, "'u' .* a control and as a target: leave"),
        ({"covariates": ("u",), "targets": ("u",)}, "'u' .* a covariate and as a target: leave"),
        ({"calendar": ("day", "moon")}, r"calendar=\['moon'\] is unknown; choose from"),
    ],
)
def test_a_variable_has_one_role_and_cycles_are_known(named, sentence):
    with pytest.raises(ValueError, match=sentence):
        Selection(**named)


def test_readings_beyond_a_bound_are_told():
    ds = record()
    ds["wind"][:3] = -1.0
    with pytest.warns(UserWarning, match=r"beyond their physical bound.*wind \(3\)"):
        frame_of(ds, PLAIN)


def test_a_frame_of_a_fit_gives_itself_again():
    ds = record(300, stations="ab")
    selection = Selection(("heater",), ("wind",), ("day",))
    frame = frame_of(ds, selection)
    again = frame_of(ds, selection, like=stored(frame))
    np.testing.assert_array_equal(frame.u, again.u)
    assert frame.scaling.to_dict() == again.scaling.to_dict()
    assert (frame.channels, frame.inputs, frame.is_target, frame.stations) == (
        again.channels,
        again.inputs,
        again.is_target,
        again.stations,
    )
    assert stored(again) == stored(frame)


def test_new_data_take_the_scaling_and_calendar_of_the_fit():
    like = stored(frame_of(record(300), Selection(("heater",), calendar=("day",))))
    new = record(5, seed=1)
    new["temp"] = new["temp"] * np.nan
    frame = frame_of(new[["wind", "heater", "temp"]], Selection(("heater",)), like=like)
    assert frame.channels == ("temp", "wind")
    assert frame.inputs == ("heater", "day.cos1", "day.sin1", "day.cos2", "day.sin2")
    assert frame.scaling.to_dict() == like["scaling"]
    mean, sd = np.array(like["control_scaling"])[:, 0]
    np.testing.assert_allclose(frame.u[0, :, 0], (new["heater"] - mean) / sd)


def test_new_data_in_other_units_are_converted_to_those_of_the_fit():
    like = stored(frame_of(record(), PLAIN))
    ds = record(temp_sd=("time", np.full(40, 0.3)), wind_sd=("time", np.full(40, 0.4)))
    other = ds.assign(
        temp=(ds["temp"] + 273.15).assign_attrs(units="K"),
        wind=(ds["wind"] * 3.6).assign_attrs(units="km h-1"),
        wind_sd=ds["wind_sd"] * 3.6,
        heater=(ds["heater"] * 1000).assign_attrs(units="W"),
    )
    frame = frame_of(other, PLAIN, like=like)
    np.testing.assert_allclose(frame.y[0, :, 0], ds["temp"])
    np.testing.assert_allclose(frame.y[0, :, 1], ds["wind"])
    np.testing.assert_allclose(frame.sd[0, 0], [0.3, 0.4])
    np.testing.assert_allclose(frame.u, frame_of(ds, PLAIN, like=like).u, atol=1e-12)
    assert frame.attrs["temp"]["units"] == "degree_Celsius"


def test_new_data_in_units_of_something_else_are_refused():
    like = stored(frame_of(record(), PLAIN))
    ds = record()
    ds["temp"].attrs["units"] = "m"
    with pytest.raises(ValueError, match="measure different things"):
        frame_of(ds, PLAIN, like=like)


def test_new_data_without_attributes_are_taken_as_those_of_the_fit():
    like = stored(frame_of(record(), PLAIN))
    bare = record().map(lambda da: da.drop_attrs())
    frame = frame_of(bare, PLAIN, like=like)
    assert frame.attrs["wind"] == WIND | {"support": "lower"}
    assert frame.scaling.supports == ("real", "lower")


def test_fitted_stations_are_known_by_their_label():
    both = frame_of(record(stations="ab"), PLAIN)
    like = stored(both)
    turned = frame_of(record(stations="ba"), PLAIN, like=like)
    np.testing.assert_array_equal(turned.scaling.centre, both.scaling.centre[::-1])
    one = frame_of(record(stations="ab").sel(station="b"), PLAIN, like=like)
    assert one.stations == ("b",)
    np.testing.assert_array_equal(one.scaling.centre, both.scaling.centre[1:])


@pytest.mark.parametrize(
    ("fitted", "asked", "strange"),
    [("ab", "ac", "c"), ("ab", None, "the single record"), (None, "a", "a")],
)
def test_strange_stations_are_refused(fitted, asked, strange):
    like = stored(frame_of(record(stations=fitted), PLAIN))
    with pytest.raises(ValueError, match=f"knows nothing of {strange}"):
        frame_of(record(stations=asked), PLAIN, like=like)


def test_new_runs_of_an_experiment_share_the_scaling_of_the_fit():
    runs = record(stations="ab").rename(station="run")
    frame = frame_of(runs, PLAIN)
    assert (frame.scaling.centre[0] == frame.scaling.centre[1]).all()
    new = record(stations="xyz", seed=3).rename(station="run")
    again = frame_of(new, PLAIN, like=stored(frame))
    np.testing.assert_array_equal(again.scaling.scale, frame.scaling.scale[[0, 0, 0]])


def test_another_step_than_that_of_the_fit_is_refused():
    like = stored(frame_of(record(), PLAIN))
    with pytest.raises(ValueError, match=r"step of 20min, and 10min is needed.*assim.align"):
        frame_of(record().isel(time=slice(None, None, 2)), PLAIN, like=like)


def test_one_row_is_enough_for_a_model_that_is_fitted():
    like = stored(frame_of(record(), PLAIN))
    assert frame_of(record().isel(time=[7]), PLAIN, like=like).y.shape == (1, 1, 2)


def test_a_control_without_a_time_lasts():
    times = np.datetime64("2024-01-01", "ns") + np.arange(6) * np.timedelta64(1, "h")
    ds = xr.Dataset(
        {
            "a": (("run", "time"), np.arange(12.0).reshape(2, 6)),
            "depth": ("run", [10.0, 30.0], {"units": "m"}),
        },
        coords={"time": times, "run": [0, 1]},
    )
    frame = frame_of(ds, Selection(controls=("depth",)))
    assert frame.lasting == ("depth",)
    np.testing.assert_allclose(frame.extended(2).u[..., 0], [[-1.0] * 8, [1.0] * 8])


def test_rows_may_stand_at_their_own_times():
    times = np.datetime64("2024-01-01", "ns") + np.array([0, 60, 100, 190, 260]) * np.timedelta64(
        1, "s"
    )
    ds = xr.Dataset({"a": ("time", np.arange(5.0))}, coords={"time": times})
    frame = frame_of(ds, Selection(own_times=True))
    np.testing.assert_array_equal(frame.times, times)
    assert frame.step == 65.0
    with pytest.raises(ValueError, match="not regular"):
        frame_of(ds, Selection())
    even = ds.assign_coords(time=times[0] + np.array([0, 1, 2, 4, 5]) * np.timedelta64(60, "s"))
    assert len(frame_of(even, Selection(own_times=True)).times) == 6  # a hole keeps its place
