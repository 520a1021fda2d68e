"""Populations: stacked into a dataset, and as arrays with their labels."""

import json

import numpy as np
import pytest
import xarray as xr

import assim
from assim.data.populating import NOBODY, describe_population, population_of

HOUR = np.timedelta64(1, "h")
KM = {"x": {"units": "km"}, "y": {"units": "km"}}


def cloud(counts=(4, 2, 3)):
    rng = np.random.default_rng(7)
    return [rng.normal(size=(n, 2)) for n in counts]


def stack(populations=None, times=(0, 1.5, 4), names=("x", "y"), **given):
    populations = cloud() if populations is None else populations
    return assim.stack_snapshots(populations, times, names, **{"unit": "1D", "attrs": KM} | given)


def test_unequal_populations_are_padded():
    clouds = cloud()
    ds = stack(
        clouds, sd=[np.full_like(c, 0.1) for c in clouds], weight=[[1, 2, 3, 4], [1, 1], [0.5] * 3]
    )
    assert dict(ds.sizes) == {"time": 3, "sample": 4}
    assert list(ds.data_vars) == ["x", "y", "x_sd", "y_sd", "weight"]
    np.testing.assert_array_equal(
        ds["time"], np.datetime64("2000-01-01", "ns") + np.array([0, 36, 96]) * HOUR
    )
    for k, one in enumerate(clouds):
        np.testing.assert_array_equal(ds["y"][k, : len(one)], one[:, 1])
        assert ds["y"][k, len(one) :].isnull().all() and (ds["weight"][k, len(one) :] == 0).all()
    assert ds["x_sd"].attrs == {"long_name": "standard error of x", "units": "km"}
    dated = stack(clouds, ds["time"].values)
    np.testing.assert_array_equal(dated["x"], ds["x"])
    assert "weight" not in dated


def test_a_population_counts_its_unit_from_the_first_snapshot():
    population = population_of(stack(), "12h")
    np.testing.assert_allclose(population.t, [0, 3, 8])
    assert population.names == ("x", "y") and population.step == 43_200 and population.unit == "12h"
    assert population.counts.tolist() == [4, 2, 3] and population.id is None
    assert population.x.shape == population.sd.shape == (3, 4, 2) and not population.sd.any()
    np.testing.assert_array_equal(population.weight, np.isfinite(population.x[..., 0]))
    assert population.columns.labelled(population.x, ("time", "sample"))["x"][2]["units"] == "km"


def test_errors_and_weights_are_known_where_they_are_told():
    clouds = cloud()
    errors = [np.full_like(c, 0.1) for c in clouds]
    errors[0][2] = np.nan
    clouds[1][0, 1] = np.nan
    population = population_of(stack(clouds, sd=errors, weight=[[1, 0, 3, 4], [1, 1], [2] * 3]))
    assert population.sd[0, 2].tolist() == [0, 0] and population.sd[0, 1, 0] == 0.1
    assert population.weight.tolist() == [[1, 0, 3, 4], [1, 1, 0, 0], [2, 2, 2, 0]]
    assert np.isnan(population.x[1, 0, 1]) and population.counts[1] == 2
    alike = stack().assign(weight=("time", [2.0, 2.0, 2.0]))
    assert population_of(alike).weight[1].tolist() == [2, 2, 0, 0]


def test_identities_are_numbered_where_a_particle_is_seen_twice():
    ds = stack(id=[["d", "a", "c", "b"], ["c", "e"], ["b", "c", ""]])
    population = population_of(ds)
    assert population.labels == ("a", "b", "c", "d", "e")
    assert population.id.tolist() == [[3, 0, 2, 1], [2, 4, NOBODY, NOBODY], [1, 2, NOBODY, NOBODY]]
    assert population_of(stack(id=[[1, 2, 3, 4], [5, 6], [7, 8, 9]])).id is None
    numbered = ds.assign_coords(
        id=(("time", "sample"), np.array([[3, 0, 2, 1], [2, 4, -1, -1], [1, 2, -1, -1]]))
    )
    np.testing.assert_array_equal(population_of(numbered).id, population.id)
    with pytest.raises(ValueError, match="identity 'b' stands twice in the snapshot of 2000-01-05"):
        population_of(stack(id=[["a", "b", "c", "d"], ["a", "b"], ["b", "c", "b"]]))
    with pytest.raises(
        ValueError, match="'id' lies along sample: give each sample of each snapshot"
    ):
        population_of(stack().assign_coords(id=("sample", list("abcd"))))


def test_a_later_population_is_in_the_units_and_from_the_origin_of_the_fit():
    ds = stack(sd=[np.full((n, 2), 0.1) for n in (4, 2, 3)])
    like = json.loads(json.dumps(describe_population(population_of(ds, "1D"))))
    later = ds.isel(time=[2]) * 1e3
    later = later.assign({n: v.assign_attrs(units="m") for n, v in later.data_vars.items()})
    population = population_of(later[["y", "x", "x_sd"]], like=like)
    assert (
        population.names == ("x", "y") and population.t.tolist() == [4] and population.unit == "1D"
    )
    np.testing.assert_allclose(population.x[0], np.stack([ds["x"][2], ds["y"][2]], axis=-1))
    np.testing.assert_allclose(population.sd[0, :, 0], [0.1, 0.1, 0.1, 0])
    with pytest.raises(ValueError, match="fitted on x, y, and the snapshots have no y"):
        population_of(later.drop_vars("y"), like=like)
    about = {"longitude_of_projection_origin": 10.0, "latitude_of_projection_origin": 54.0}
    there = {n: a | about for n, a in like["attrs"].items()}
    moved = ds.assign(
        {n: ds[n].assign_attrs(about | {"latitude_of_projection_origin": 9.0}) for n in "xy"}
    )
    with pytest.raises(ValueError, match=r"another origin than that of the fit.*\(10.0, 54.0\)"):
        population_of(moved, like=like | {"attrs": there})


def test_snapshots_of_few_are_kept_and_told():
    ds = stack([np.zeros((0, 2)), np.ones((1, 2)), cloud()[0]])
    with pytest.warns(
        UserWarning, match=r"2 of 3 snapshots hold one particle or none \(2000-01-01T"
    ):
        population = population_of(ds)
    assert population.counts.tolist() == [0, 1, 4]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda ds: ds.isel(time=[0]), "There is one snapshot.*take more"),
        (lambda ds: ds.isel(time=[1, 0, 2]), "times of the snapshots do not increase.*sortby"),
        (lambda ds: ds.isel(time=[0, 1, 1]), "do not increase .*follows 2000-01-02T12"),
        (lambda ds: ds.rename(sample="member"), "no snapshots .*assim.take_snapshots"),
        (lambda ds: ds.assign_coords(time=[0, 1, 2]), "are no dates .int64.*stack_snapshots"),
        (
            lambda ds: ds.drop_vars("y").rename(x="weight"),
            "no coordinate of any name.*as nothing here",
        ),
        (lambda ds: ds.assign(x=ds["x"] * np.nan), "'x' has no value in any snapshot"),
        (lambda ds: ds.assign(x=ds["x"] * 0 + 2), "'x' is constant .2 throughout"),
        (lambda ds: ds.assign(y=ds["y"].assign_attrs(units="m")), "'x' in km and 'y' in m"),
        (lambda ds: ds.assign(weight=-ds["x"] * ds["x"]), "'weight' is negative or missing for 9"),
        (lambda ds: ds.assign(x_sd=-ds["x"] * ds["x"]), "'x_sd' holds negative or infinite"),
    ],
)
def test_snapshots_that_cannot_be_are_one_sentence(change, says):
    with pytest.raises(ValueError, match=says) as refusal:
        population_of(change(stack()))
    assert "\n" not in str(refusal.value) and str(refusal.value).endswith(".")
    with pytest.raises(ValueError, match="no coordinate 'speed' in the.*as x, y does"):
        population_of(stack(), variables=["speed"])


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"times": (0, 1)}, r"3 populations of shapes \(4, 2\), .*do not fit 2 times"),
        ({"names": ("x",)}, r"the names x: give one array \(sample, 1\) for each time"),
        ({"populations": [np.ones(3)] * 3}, "do not fit"),
        ({"populations": [], "times": []}, "0 populations of shapes none"),
        ({"times": (0, 2, 1)}, "times of the snapshots do not increase"),
        ({"times": (0, 1, 1)}, "do not increase"),
        ({"times": (0, 1, np.nan)}, "not all finite"),
        ({"times": ("a", "b", "c")}, "The times are no dates"),
        ({"populations": [np.full((n, 2), np.nan) for n in (4, 2, 3)]}, "hold no value of x, y"),
        ({"attrs": KM | {"y": {"units": "m"}}}, "'x' in km and 'y' in m"),
        ({"weight": [[1] * 4, [1] * 3, [1] * 3]}, r"weight has arrays of shapes \(4,\), \(3,\)"),
        ({"sd": [[1] * 4, [1] * 2, [1] * 3]}, "sd has arrays of shapes"),
        ({"id": [[1] * 4, [1] * 2]}, "id has arrays of shapes"),
        ({"unit": "lots"}, "unit='lots' is not a duration"),
    ],
)
def test_populations_that_do_not_fit_are_one_sentence(given, says):
    with pytest.raises(ValueError, match=says) as refusal:
        stack(**given)
    assert "\n" not in str(refusal.value) and str(refusal.value).endswith(".")


def test_a_netcdf_there_and_back_is_the_same(tmp_path):
    ds = stack(id=[["d", "a", "c", "b"], ["c", "e"], ["b", "c", ""]])
    ds.to_netcdf(tmp_path / "s.nc", engine="netcdf4")
    with xr.open_dataset(tmp_path / "s.nc", engine="netcdf4") as back:
        xr.testing.assert_identical(back.load().drop_encoding(), ds)
        one, other = population_of(back, "1D"), population_of(ds, "1D")
    np.testing.assert_array_equal(one.x, other.x)
    np.testing.assert_array_equal(one.id, other.id)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_the_compliance_checker_misses_no_more_than_a_position_of_snapshots(findings, tmp_path):
    names = {a: f"projection_{a}_coordinate" for a in "xy"}
    attrs = {a: {"units": "km", "standard_name": names[a]} for a in "xy"}
    ds = stack(
        sd=[np.full((n, 2), 0.1) for n in (4, 2, 3)],
        attrs=attrs,
        id=[list("abcd"), list("ae"), list("abc")],
    )
    ds = ds.assign({a: ds[a].assign_attrs(grid_mapping_name="azimuthal_equidistant") for a in "xy"})
    path = assim.data.to_cf(ds, tmp_path / "s.nc")
    found = findings(path)
    assert found["cf:1.8"] == []
    assert all("geospatial" in str(entry) for _, entries in found["acdd:1.3"] for entry in entries)
    back = assim.take_snapshots(path)
    assert back["id"].values[1].tolist() == ["a", "e", "", ""]
    np.testing.assert_array_equal(back["x_sd"], ds["x_sd"])
    assert "each stamp" not in back.attrs["repairs"] and back["x"].attrs["units"] == "km"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_the_compliance_checker_finds_nothing_where_snapshots_have_a_position(findings, tmp_path):
    ds = assim.load_dataset("lotka_volterra")
    path = assim.data.to_cf(ds, tmp_path / "snapshots.nc")
    assert findings(path) == {"cf:1.8": [], "acdd:1.3": []}
