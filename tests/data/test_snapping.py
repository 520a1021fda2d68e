"""Snapshots out of records: whatever the layout of the file, the same particles at the same times."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import assim

DAY = np.datetime64("2020-03-01", "ns")
HOUR = np.timedelta64(3_600_000_000_000, "ns")
NAMES = ["a", "b", "c"]
HOURS = [[1.0, 7.0, 13.0, 30.0], [2.0, 11.0, 26.0, 47.0], [5.0, 28.0]]
"""When each of three drifters was seen, hours of the first day on."""


def rows():
    """A row for each sighting, drifter by drifter: who, when, x and y."""
    who = np.repeat([0, 1, 2], [len(h) for h in HOURS])
    hours = np.concatenate(HOURS)
    return who, hours, 10.0 * who + hours, -hours


def attributed(ds):
    ds["x"].attrs = {"standard_name": "projection_x_coordinate", "units": "km"}
    ds["y"].attrs = {"standard_name": "projection_y_coordinate", "units": "km"}
    return ds


def flat(dim="obs"):
    who, hours, x, y = rows()
    times = DAY + (hours * HOUR.astype(float)).astype("timedelta64[ns]")
    return attributed(xr.Dataset({"x": (dim, x), "y": (dim, y), "time": (dim, times)})), who


def contiguous():
    ds, _ = flat()
    ds["count"] = ("traj", [4, 4, 2], {"sample_dimension": "obs"})
    ds["name"] = ("traj", NAMES, {"cf_role": "trajectory_id"})
    return ds.assign_attrs(featureType="trajectory")


def indexed():
    ds, who = flat()
    order = np.argsort(ds["time"].values, kind="stable")
    ds = ds.isel(obs=order)
    ds["which"] = ("obs", who[order], {"instance_dimension": "traj"})
    ds["name"] = ("traj", NAMES, {"cf_role": "trajectory_id"})
    return ds.assign_attrs(featureType="trajectory")


def padded():
    ds, who = flat()
    out = xr.Dataset({"name": ("traj", NAMES, {"cf_role": "trajectory_id"})})
    for name in ("x", "y", "time"):
        kind = "datetime64[ns]" if name == "time" else float
        table = np.full((3, 4), np.array("NaT" if name == "time" else np.nan, kind))
        for w in range(3):
            table[w, : len(HOURS[w])] = ds[name].values[who == w]
        out[name] = (("traj", "obs"), table)
    return attributed(out).assign_attrs(featureType="trajectory")


def labelled():
    ds, who = flat("row")
    return ds.assign(drifter=("row", np.array(NAMES)[who]))


LAYOUTS = {f.__name__: f for f in (contiguous, indexed, padded, labelled)}
EXPECTED = {"a": (13.0, 30.0), "b": (11.0, 47.0), "c": (5.0, 28.0)}
"""The sighting of each drifter that is nearest to noon of either day."""


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_gives_the_sighting_nearest_to_the_centre(layout, tmp_path):
    LAYOUTS[layout]().to_netcdf(tmp_path / "in.nc", engine="netcdf4")
    ds = assim.take_snapshots(tmp_path / "in.nc", every="1D")
    assert dict(ds.sizes) == {"time": 2, "sample": 3} and list(ds.data_vars) == ["x", "y"]
    np.testing.assert_array_equal(ds["time"], DAY + np.array([12, 36]) * HOUR)
    assert ds["id"].values.tolist() == [NAMES, NAMES]
    wanted = np.array([*EXPECTED.values()]).T
    wanted = np.where(wanted == 47.0, 26.0, wanted)  # 26:00 is 10 h off noon, 47:00 is 11 h
    np.testing.assert_allclose(ds["x"], wanted + [0.0, 10.0, 20.0])
    np.testing.assert_allclose(ds["y"], -wanted)
    assert ds["x"].attrs["units"] == "km" and "centre of a window of 1D" in ds["time"].comment
    assert "3 particles the sighting nearest to the stamp was taken, paired" in ds.attrs["repairs"]


def test_what_open_dataset_gives_is_taken_too(tmp_path):
    contiguous().to_netcdf(tmp_path / "in.nc", engine="netcdf4")
    opened = assim.open_dataset(tmp_path / "in.nc", ["x", "y"])
    assert opened["x"].dims == ("trajectory", "time")
    same = assim.take_snapshots(tmp_path / "in.nc", every="1D", variables=["x", "y"])
    xr.testing.assert_equal(assim.take_snapshots(opened, every="1D", variables=["x", "y"]), same)


def test_between_two_sightings_lies_the_line():
    """x = x0 (1 - w) + x1 w; all drifters move by one an hour, so the line is the truth."""
    stamps = DAY + np.array([3, 12, 29]) * HOUR
    ds = labelled().assign(x_sd=("row", np.full(10, 2.0)))
    seen = assim.take_snapshots(ds, at=stamps, within="18h", how="linear")
    assert [[*row] for row in seen["id"].values] == [["a", "b", ""], NAMES, ["a", "b", ""]]
    np.testing.assert_allclose(seen["y"][1], [-12.0] * 3)
    np.testing.assert_allclose(seen["x"][0, :2], [3.0, 13.0])
    w = (12.0 - 11.0) / 15.0
    np.testing.assert_allclose(seen["x_sd"][1, 1], 2.0 * np.hypot(1 - w, w))
    assert seen["x_sd"].attrs["standard_name"] == "projection_x_coordinate standard_error"
    near = assim.take_snapshots(ds, at=stamps[[0, 2]], within="5h", how="linear")
    assert near["id"].values.tolist() == [["a"], [""]]  # b is 8 h and 18 h from its next sighting
    with pytest.raises(ValueError, match="nothing tells whose each is: name it with id="):
        assim.take_snapshots(flat()[0], every="1D", how="linear")


def test_a_sighting_counts_for_the_nearest_stamp_alone():
    stamps = DAY + np.array([1, 7, 14]) * HOUR
    ds = assim.take_snapshots(flat()[0], at=stamps, within="30D")
    assert "id" not in ds.coords and "each is a sample" in ds.attrs["repairs"]
    counted = np.isfinite(ds["x"]).sum("sample").values
    assert counted.tolist() == [
        2,
        2,
        6,
    ]  # 1, 2 | 5, 7 | 11, nearer to 14 than to 7, and all after it
    half = assim.take_snapshots(flat()[0], at=stamps)
    assert half.attrs["repairs"].split("; ")[1].startswith("a stamp is given, for sightings within")


def test_identities_are_dropped_or_named_at_will():
    assert "id" not in assim.take_snapshots(labelled(), every="1D", paired=False).coords
    odd = labelled().rename(drifter="colour")
    assert "id" not in assim.take_snapshots(odd, every="1D").coords
    assert "id" in assim.take_snapshots(odd, every="1D", id="colour").coords
    members = xr.Dataset(
        {"z": (("time", "member"), np.arange(6.0).reshape(2, 3))},
        {"time": DAY + np.arange(2) * 24 * HOUR},
    )
    ds = assim.take_snapshots(members, id="member")
    assert ds["id"].values.tolist() == [["0", "1", "2"]] * 2
    np.testing.assert_array_equal(ds["z"], members["z"])


def test_who_has_no_name_is_a_sample_of_its_own():
    ds = labelled()
    ds["drifter"] = ds["drifter"].where(ds["drifter"] != "b", "")
    seen = assim.take_snapshots(ds, every="1D")
    assert seen["id"].values.tolist() == [["a", "c", "", ""], ["a", "c", "", ""]]
    np.testing.assert_array_equal(np.sort(seen["x"][0, 2:]), [12.0, 21.0])
    lines = assim.take_snapshots(ds, every="1D", how="linear", within="2D")
    assert set(lines["id"].values.ravel()) <= {"a", "c", ""} and lines["id"][0, 0] == "a"


def test_snapshots_are_taken_as_they_are(tmp_path):
    ds = assim.take_snapshots(labelled(), every="1D")
    ds.to_netcdf(tmp_path / "s.nc", engine="netcdf4")
    back = assim.take_snapshots(tmp_path / "s.nc")
    xr.testing.assert_equal(back, ds)
    assert back["x"].attrs == ds["x"].attrs
    prey = assim.load_dataset("lotka_volterra").assign_attrs(featureType="timeSeries")
    prey = assim.take_snapshots(prey)
    assert dict(prey.sizes) == {"time": 11, "sample": 200} and "id" not in prey.coords


def test_points_of_one_stamp_are_the_particles_of_a_snapshot(tmp_path):
    times = np.repeat(DAY + np.arange(3) * 24 * HOUR, [3, 1, 2])
    table = pd.DataFrame({"time": times, "u": np.arange(6.0), "v": 1.0})
    ds = assim.take_snapshots(table.iloc[[3, 0, 5, 1, 2, 4]], variables=["u", "v"])
    assert dict(ds.sizes) == {"time": 3, "sample": 3}
    assert sorted(ds["u"][0].values) == [0, 1, 2] and ds["u"][1].notnull().sum() == 1
    point = xr.Dataset.from_dataframe(table.rename_axis("obs")).assign_attrs(featureType="point")
    point.to_netcdf(tmp_path / "point.nc", engine="netcdf4")
    np.testing.assert_array_equal(
        assim.take_snapshots(tmp_path / "point.nc", variables="u")["u"][0], [0, 1, 2]
    )


def test_files_of_one_float_each_are_one_population(tmp_path):
    for name, shift, units in (("f1", 0.0, "km"), ("f2", 5.0, "m")):
        scale = 1.0 if units == "km" else 1e3
        x = (np.arange(4.0) + shift) * scale
        ds = xr.Dataset(
            {"x": ("time", x, {"units": units}), "y": ("time", x, {"units": units})},
            {"time": DAY + np.arange(4) * 24 * HOUR, "platform": ((), name)},
            {"featureType": "trajectory"},
        )
        ds["platform"].attrs["cf_role"] = "trajectory_id"
        ds.to_netcdf(tmp_path / f"{name}.nc", engine="netcdf4")
    ds = assim.take_snapshots(str(tmp_path / "f*.nc"), every="1D")
    assert ds["id"].values.tolist() == [["f1", "f2"]] * 4
    np.testing.assert_allclose(ds["x"], np.arange(4.0)[:, None] + [0.0, 5.0])


def test_flags_and_weights_are_heard():
    ds = labelled().assign(w=("row", np.arange(10.0)))
    ds["x_qc"] = ("row", np.where(np.arange(10) == 2, 4, 1).astype("i1"))
    ds["x_qc"].attrs = {"flag_values": np.array([1, 4], "i1"), "flag_meanings": "good bad"}
    ds["y_qc"] = ds["x_qc"]
    screened = assim.take_snapshots(ds, every="1D", weight="w")
    assert screened["x"][0, 0] == 7.0 and screened["weight"].values[0].tolist() == [1.0, 5.0, 8.0]
    assert assim.take_snapshots(ds, every="1D", qc="none")["x"][0, 0] == 13.0
    with pytest.raises(ValueError, match="9 weights of the dataset are negative or missing"):
        assim.take_snapshots(ds.assign(w=-1 - ds["w"]), every="1D", weight="w")


def test_degrees_become_kilometres_and_the_same_ones_for_two_records():
    who, hours, _, _ = rows()
    ds = labelled().drop_vars(["x", "y"])
    ds["lat"] = ("row", 54.0 + 0.01 * who, {"units": "degrees_north"})
    ds["lon"] = ("row", np.mod(179.9 + hours / 100.0 + 180, 360) - 180, {"units": "degrees_east"})
    ds["lon_sd"] = ("row", np.full(10, 0.01))
    near = assim.take_snapshots(ds, every="1D", projection="local")
    assert list(near.data_vars)[:2] == ["x", "y"] and near["x"].attrs["units"] == "km"
    per_degree = np.radians(6371.0088) * np.cos(np.radians(54.0))
    np.testing.assert_allclose(near["x"].max() - near["x"].min(), 0.25 * per_degree, rtol=1e-2)
    np.testing.assert_allclose(near["x_sd"][0, 0], 0.01 * per_degree, rtol=1e-6)
    about = tuple(near["x"].attrs[f"{a}_of_projection_origin"] for a in ("longitude", "latitude"))
    xr.testing.assert_identical(
        assim.take_snapshots(ds, every="1D", projection=about).drop_attrs(), near.drop_attrs()
    )
    back = assim.data.to_lonlat(near)
    kept = assim.take_snapshots(ds, every="1D")
    assert "across the date line" in kept.attrs["repairs"]
    assert float(kept["lon"].max() - kept["lon"].min()) < 1.0
    np.testing.assert_allclose(np.mod(back["lon"] - kept["lon"] + 180, 360), 180, atol=1e-9)
    np.testing.assert_allclose(back["lat"], kept["lat"], atol=1e-9)
    for given, says in ((3, "is no projection"), ((54, 200), "is no place: longitude comes first")):
        with pytest.raises(ValueError, match=says):
            assim.take_snapshots(ds, every="1D", projection=given)
    with pytest.raises(ValueError, match="needs a longitude and a latitude in degrees.*'x' in km"):
        assim.take_snapshots(labelled(), every="1D", projection="local")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"every": "30D"}, "every='30D' is too long for the record.*2020-03-01T01.*shorter one"),
        ({"every": "1us"}, "would make .* windows for 10 sightings"),
        ({"every": "lots"}, "every='lots' is not a duration"),
        ({"every": "1D", "at": [DAY]}, "every= or at=, and not both"),
        ({"at": [DAY + HOUR, DAY]}, "do not increase .*2020-03-01T00:00:00 follows 2020-03-01T01"),
        ({"at": [DAY, DAY]}, "do not increase"),
        ({"at": ["noon", "night"]}, "holds no dates: give some, as 2020-01-31"),
        ({"at": []}, "holds no stamp"),
        ({"at": [DAY]}, "tells no window: say how far it reaches with within="),
        ({"at": [DAY - 90 * HOUR], "within": "1h"}, "No particle was seen.*run from 2020-03-01T01"),
        ({}, "10 sightings have 10 stamps of their own.*every='1D'"),
        ({"every": "1D", "how": "cubic"}, "how='cubic' is none of nearest, linear"),
        ({"every": "1D", "variables": ["speed"]}, "no variable 'speed'"),
        ({"every": "1D", "id": "colour"}, "no variable 'colour'"),
        ({"every": "1D", "time": "x"}, "time='x' is no clock along the coordinates"),
        ({"every": "1D", "variables": ["drifter"]}, "'drifter' holds no numbers"),
    ],
)
def test_what_cannot_be_is_one_sentence(given, says):
    with pytest.raises(ValueError, match=says) as refusal:
        assim.take_snapshots(labelled(), **given)
    assert "\n" not in str(refusal.value) and str(refusal.value).endswith((".", "?"))


def test_files_without_what_is_needed_are_one_sentence(tmp_path):
    ds = labelled()
    bare = ds[["time", "drifter"]]
    with pytest.raises(ValueError, match="no coordinate along the clock 'time'.*variables="):
        assim.take_snapshots(bare, every="1D")
    with pytest.raises(ValueError, match="has both a time and a value of x, y"):
        assim.take_snapshots(ds.assign(x=ds["x"] * np.nan, y=ds["y"] * np.nan), every="1D")
    with pytest.raises(ValueError, match="no time coordinate"):
        assim.take_snapshots(ds.drop_vars("time"), every="1D")
    mixed = ds.assign(y=ds["y"].assign_attrs(units="m"))
    with pytest.raises(ValueError, match="'x' in km and 'y' in m: convert one"):
        assim.take_snapshots(mixed, every="1D")
    levels = ds.assign(z=(("row", "depth"), np.ones((10, 4))))
    with pytest.raises(ValueError, match="'z' lies along row, depth.*select one place.*id="):
        assim.take_snapshots(levels, every="1D", variables=["z"])
    with pytest.raises(FileNotFoundError, match="There is no file"):
        assim.take_snapshots(tmp_path / "none.nc", every="1D")
    with pytest.raises(FileNotFoundError, match="No file matches"):
        assim.take_snapshots(str(tmp_path / "*.nc"), every="1D")
    with pytest.raises(ValueError, match="not dict"):
        assim.take_snapshots({"a": ds}, every="1D")
