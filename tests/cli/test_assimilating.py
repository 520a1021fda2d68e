"""A filter on a fit or on a known system from the shell: what is written, what is said, what is refused."""

import json

import numpy as np
import pytest
import xarray as xr

from assim import filters
from assim.cli import run
from assim.tree import read_tree

RING = ["--set", "system.size=8", "--set", "radius=3", "--set", "distance=Straight(8)"]
PAIR = ["mean=0,0", "sd=1,1", "tau=1,2", "error=0.2,0.2"]
PAIR = [word for setting in PAIR for word in ("--set", setting)]
END = np.datetime64("2020-01-01T23:50")


def done(*argv: object) -> None:
    assert run([str(a) for a in argv]) == 0


@pytest.fixture(scope="session")
def filtered(run_dir, tmp_path_factory):
    """What a filter with the draws of the fit as members makes of what the fit has not seen."""
    out = tmp_path_factory.mktemp("filtered") / "an.nc"
    done("assimilate", run_dir / "ar.nc", run_dir / "truth.nc", "-o", out, "-q")
    return out


@pytest.fixture(scope="session")
def ring(tmp_path_factory):
    """A small ring of Lorenz and readings of half of its places."""
    folder = tmp_path_factory.mktemp("ring")
    argv = ["twin", "lorenz-96", "--step", "0.05", "--count", "60", "-o", folder, "-q"]
    done(*argv, "--set", "size=8", "--sensors", "0,2,4,6", "--sd", "0.5")
    return folder


@pytest.fixture(scope="session")
def pair(tmp_path_factory):
    """Two processes of Ornstein and Uhlenbeck, and their readings."""
    folder = tmp_path_factory.mktemp("pair")
    done("twin", "ornstein-uhlenbeck", "--step", 0.5, "--count", 40, "-o", folder, "-q", *PAIR)
    return folder


def test_a_fit_is_filtered_from_where_it_has_seen_nothing(run_dir, tmp_path, capsys):
    out = tmp_path / "an.nc"
    done("assimilate", run_dir / "ar.nc", run_dir / "truth.nc", "-o", out)
    said = capsys.readouterr()
    assert "seen the record up to 2020-01-01T23:50:00: the filter begins there" in said.err
    assert said.out.startswith(
        "ETKF with 20 members on air_temperature, wind_speed: 96 cycles from 2020-01-02T00:00:00 to "
        f"2020-01-02T15:50:00 in {out}.\nMean square of normalised innovations: air_temperature "
    )
    assert " expected), wind_speed " in said.out
    tree = read_tree(out)
    assert {"background", "analysis", "innovation", "observed_data", "belief"} <= set(tree.children)
    assert tree["analysis"].sizes["draw"] == 20 and tree["analysis"]["time"].values[0] > END
    assert tree["analysis"]["air_temperature"].attrs["units"] == "degC"
    assert [p.name for p in tmp_path.iterdir()] == ["an.nc"]


def test_a_store_and_a_flat_file_hold_the_same(run_dir, filtered, tmp_path, capsys):
    store, flat = tmp_path / "an.zarr", tmp_path / "flat.nc"
    argv = ["assimilate", run_dir / "ar.nc", run_dir / "truth.nc", "-o", store, "--cf", flat]
    done(*argv, "--members", 0)
    said = capsys.readouterr().out
    assert "Mean square of normalised innovations: air_temperature" in said
    assert said.endswith(f"The same as a flat CF file in {flat}.\n")
    whole, kept = (read_tree(path)["analysis"].to_dataset() for path in (filtered, store))
    assert set(kept.data_vars) == {n for n in whole.data_vars if str(n).endswith(("_mean", "_sd"))}
    np.testing.assert_array_equal(kept["wind_speed_mean"], whole["wind_speed_mean"])
    with xr.open_dataset(flat, engine="h5netcdf") as ds:
        np.testing.assert_allclose(ds["wind_speed"], whole["wind_speed_mean"], rtol=1e-6)
        np.testing.assert_allclose(ds["wind_speed_sd"], whole["wind_speed_sd"], rtol=1e-6)
        assert ds["wind_speed"].attrs["units"] == "m s-1" and "CF" in ds.attrs["Conventions"]


def test_a_run_in_two_parts_is_one(run_dir, filtered, refused, tmp_path):
    record, early, parts = run_dir / "truth.nc", tmp_path / "early.nc", []
    with xr.open_dataset(record, engine="h5netcdf") as ds:
        ds.isel(time=slice(0, 190)).to_netcdf(early, engine="h5netcdf")
    one, two = tmp_path / "one.nc", tmp_path / "two.nc"
    done("assimilate", run_dir / "ar.nc", early, "-o", one, "-q")
    again = ("assimilate", run_dir / "ar.nc", record, "-o", two, "--resume", one, "-q")
    assert "--resume was run with another filter (ETKF in place of EnKF): give the same" in refused(
        *again, "--filter", "enkf"
    )
    done(*again)
    for name in ("analysis", "innovation"):
        parts = [read_tree(path)[name].to_dataset() for path in (one, two)]
        joined = xr.concat(parts, "time", data_vars="minimal")
        xr.testing.assert_identical(joined, read_tree(filtered)[name].to_dataset())


def test_a_run_goes_on_with_its_filter_and_its_seed(pair, tmp_path, capsys):
    early, one, two = (tmp_path / f"{n}.nc" for n in ("early", "one", "two"))
    with xr.open_dataset(pair / "readings.nc", engine="h5netcdf") as ds:
        ds.isel(time=slice(0, 20)).to_netcdf(early, engine="h5netcdf")
    known = ["--system", "ornstein-uhlenbeck", *PAIR]
    done("assimilate", early, *known, "--filter", "kalman", "--seed", 5, "-o", one)
    assert "Kalman on x0, x1: 20 cycles from 2000-01-01T00:00:00.500 to" in capsys.readouterr().out
    done("assimilate", pair / "readings.nc", *known, "--resume", one, "-o", two, "-q")
    assert json.loads(read_tree(two).attrs["filter"])["type"] == "Kalman"
    assert json.loads(read_tree(two).attrs["key"])[-1] == 5
    assert read_tree(two)["analysis"].sizes["time"] == 20


def test_a_twin_experiment_is_run_and_judged(ring, tmp_path, capsys):
    out, truth = tmp_path / "an.nc", ring / "truth.nc"
    argv = ["assimilate", ring / "readings.nc", "--system", "lorenz-96", "--filter", "letkf", *RING]
    done(*argv, "--truth", truth, "-o", out, "--set", "inflation=1.05")
    said = capsys.readouterr()
    assert said.err == ""
    assert "LETKF with 10 members on x: 60 cycles" in said.out
    tree, words = read_tree(out), said.out.partition("error against the truth, mean over time, of ")
    assert (
        tree["innovation"]["x"].dims == ("time", "sensor") and tree["analysis"].sizes["place"] == 8
    )
    with xr.open_dataset(truth, engine="h5netcdf") as ds:
        off = tree["analysis"]["x_mean"].values - ds["x"].values
    error, spread = np.sqrt((off**2).mean(1)).mean(), tree["analysis"]["x_sd"].values
    spread = np.sqrt((spread**2).mean(1)).mean()
    assert f"analysis {error:.3g} (spread {spread:.3g})." in words[2]


def test_a_spin_up_is_not_judged_and_times_are_told_as_they_are(ring, tmp_path, capsys):
    out, truth = tmp_path / "an.nc", ring / "truth.nc"
    argv = ["assimilate", ring / "readings.nc", "--system", "lorenz-96", "--filter", "letkf", *RING]
    done(*argv, "--truth", truth, "-o", out, "--set", "inflation=1.05", "--spin-up", 20)
    said = capsys.readouterr().out
    assert "60 cycles from 2000-01-01T00:00:00.050 to 2000-01-01T00:00:03 in" in said
    tree = read_tree(out)
    with xr.open_dataset(truth, engine="h5netcdf") as ds:
        off = (tree["analysis"]["x_mean"].values - ds["x"].values)[20:]
    assert f"analysis {np.sqrt((off**2).mean(1)).mean():.3g} (spread" in said
    again = ["assimilate", ring / "readings.nc", "--system", "lorenz-96", "-o", out]
    done(*again, "--set", "system.size=8", "--spin-up", 60)
    assert "A --spin-up of 60 leaves nothing of 60 cycles to judge" in capsys.readouterr().out


def test_a_filter_that_lost_the_state_says_so(ring, tmp_path, capsys):
    argv = ["assimilate", ring / "readings.nc", "--system", "lorenz96", "--set", "system.size=8"]
    done(*argv, "--set", "forcing=16", "-o", tmp_path / "an.nc", "--truth", ring / "truth.nc")
    said = capsys.readouterr()
    assert said.err.startswith("assim: warning: ETKF lost the state by 2000-01-01T00:00:0")
    assert "- Innovations of 'x' are wider than the filter expects" in said.out


def test_a_quiet_filter_is_quiet(ring, tmp_path, capsys):
    argv = ["assimilate", ring / "readings.nc", "--system", "lorenz-96", "--filter", "letkf", *RING]
    done(*argv, "-o", tmp_path / "an.nc", "--set", "inflation=1.05", "--quiet")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("typed", "update"), [(None, "state"), ("both", "both"), ("a.b, c", ("a.b", "c"))]
)
def test_what_is_corrected_is_as_typed(typed, update, refused, run_dir, tmp_path, monkeypatch):
    def told(*args: object, **more: object) -> None:
        raise ValueError(f"{more['update']!r} with {args[2]!r}")

    monkeypatch.setattr("assim.assimilating.assimilate", told)
    argv = ["assimilate", run_dir / "ar.nc", run_dir / "truth.nc", "-o", tmp_path / "an.nc", "-q"]
    said = refused(*argv, *([] if typed is None else ["--update", typed]), "--set", "size=30")
    assert said == f"assim: {update!r} with {filters.ETKF(30)!r}.\n"


def test_a_record_that_the_fit_has_seen_is_filtered_with_a_note(run_dir, tmp_path, capsys):
    seen, out = tmp_path / "seen.nc", tmp_path / "an.nc"
    with xr.open_dataset(run_dir / "truth.nc", engine="h5netcdf") as ds:
        ds.isel(time=slice(0, 96)).to_netcdf(seen, engine="h5netcdf")
    done("assimilate", run_dir / "ar.nc", seen, "-o", out)
    assert "has seen all of the record" in capsys.readouterr().err
    assert read_tree(out)["analysis"].sizes["time"] == 96


def test_a_twin_has_the_settings_of_its_system(tmp_path, capsys):
    argv = ["twin", "lorenz-63", "--step", "0.1", "--count", "20", "-o", tmp_path / "new"]
    done(*argv, "--every", "2", "--sensors", "x,z", "--missing", "0.3", "--set", "rho=20")
    assert f"20 times in {tmp_path}/new/truth.nc, readings at 10 of them" in capsys.readouterr().out
    with xr.open_dataset(tmp_path / "new" / "readings.nc", engine="h5netcdf") as ds:
        assert set(ds.data_vars) == {"x", "z"} and bool(ds["x"].isnull().any())
        assert json.loads(ds.attrs["system"])["rho"] == 20.0
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["readings.nc", "truth.nc"]


def test_a_fit_that_is_none_and_names_that_are_not_there(refused, run_dir, filtered, tmp_path):
    fit, record, out = run_dir / "ar.nc", run_dir / "truth.nc", tmp_path / "an.nc"
    argv = ("assimilate", fit, record, "-o", out, "-q")
    assert "--system lorenz-96" in refused("assimilate", "lorenz96", record, "-o", out, "-q")
    assert "There is no record" in refused("assimilate", fit, "-o", out, "-q")
    assert "did you mean etkf" in refused(*argv, "--filter", "etfk")
    assert "did you mean inflation?" in refused(*argv, "--set", "inflaton=2")
    assert "expected 2 or more" in refused(*argv, "--set", "size=1")
    assert "one of Multiplicative, RTPS, Additive or" in refused(*argv, "--set", "inflation=much")
    assert "which the model does not have" in refused(*argv, "--update", "slope")
    assert "--since is for known systems" in refused(*argv, "--since", "2020-01-02")
    assert "use ETKF" in refused(*argv, "--filter", "kalman")
    assert "say which, as --filter etkf" in refused(*argv, "--resume", filtered, "--set", "size=9")
    assert "come after it" in refused(*argv, "--resume", filtered)
    assert list(tmp_path.iterdir()) == []


def test_a_system_that_cannot_be_what_was_read(refused, run_dir, ring, pair, tmp_path):
    known = ("assimilate", ring / "readings.nc", "-o", tmp_path / "an.nc", "-q", "--system")
    assert "did you mean lorenz-96" in refused(*known, "lorenz")
    assert "needs mean, sd, tau, error: give --set mean=" in refused(*known, "ornstein-uhlenbeck")
    assert "none of the variables" in refused(*known, "lotka-volterra")
    assert "no unknown parameters" in refused(*known, "lorenz-96", "--update", "both")
    assert "--since May is not a time" in refused(*known, "lorenz-96", "--since", "May")
    assert "give readings that do not come before it" in refused(
        *known, "lorenz-96", "--since", "2001-01-01"
    )
    assert "matrix" not in refused(*known, "lorenz-96", "--filter", "kalman")
    said = refused(*known, "lorenz-96", "--set", "system.size=8", "--filter", "observer")
    assert "fit a SemilinearOperator with --set gain=Gain, or use ETKF or LETKF" in said
    twin = ("twin", "lorenz-96", "--count", "5", "-o", tmp_path / "new", "--step")
    assert "--step -1 is not positive" in refused(*twin, "-1")
    assert "no positions" in refused(*twin, "0.05", "--sensors", "x")
    assert "has no such setting" in refused(*twin, "0.05", "--set", "inflation=2")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["absent/a.nc", "."])
def test_a_place_is_asked_for_at_once(place, refused, tmp_path, monkeypatch):
    def worked(*args: object, **more: object) -> None:
        raise AssertionError("the place was not asked for first")

    monkeypatch.setattr("assim.tree.read_tree", worked)
    fit, bad, good = tmp_path / "ar.nc", tmp_path / place, tmp_path / "an.nc"
    for argv in (["-o", bad], ["-o", good, "--cf", bad], ["-o", tmp_path / "absent" / "an.zarr"]):
        said = refused("assimilate", fit, fit, *argv)
        assert "does not exist" in said or "is a folder" in said
    assert list(tmp_path.iterdir()) == []
