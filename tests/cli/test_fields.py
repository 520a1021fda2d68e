"""Fields on a grid from the shell: a learned operator and baselines, buoys, months, and what is refused."""

import json
import re

import numpy as np
import pytest
import xarray as xr

from assim import filters, models
from assim.cli import run
from assim.cli.choosing import chosen
from assim.scoring import valid_prediction_time
from assim.tree import read_tree
from assim.verifying import lead_words
from tests.synthetic_fields import make_fields

MONTHS = (np.datetime64("2001-01", "M") + np.arange(36)).astype("datetime64[ns]")
UNTIL = "2003-04-01"
SMALL = ["modes=3", "width=4", "layers=1", "substeps=1", "horizon=1", "periodic=false,true"]
QUICK = ["--until", UNTIL, "-q", "--method", "prior", "--set", "num_draws=1"]
OPERATOR = ["--model", "semilinear-operator", *(w for s in SMALL for w in ("--set", s))]
GAIN = ["--set", "gain=Gain(width=4, layers=1, memory=2)", "--set", "horizon=2"]
AT = (np.array([0, 3, 4]), np.array([1, 6, 10]))


def done(*argv: object) -> None:
    assert run([str(a) for a in argv]) == 0


def sea() -> xr.Dataset:
    """Maps by the month, an all-dry row of latitude among them."""
    ds = make_fields(36).assign_coords(time=MONTHS)
    rng = np.random.default_rng(0)
    ds["sst"] = ds["sst"] + 0.1 * rng.normal(size=ds["sst"].shape)
    ds["sst"].attrs = {"units": "degC"}
    ds["sst"][:, 2] = np.nan
    return ds


def buoys(ds: xr.Dataset) -> xr.Dataset:
    """Three buoys as a network would write them: at latitudes and longitudes, from 180 W to 180 E."""
    lat, lon = ds["lat"].values[AT[0]], ds["lon"].values[AT[1]]
    west = (lon + 180.0) % 360.0 - 180.0
    read = ds["sst"].values[:, *AT]
    coords = {"time": ds["time"], "lat": ("station", lat), "lon": ("station", west)}
    cells, units = ("time", "station"), {"units": "degC"}
    parts = {"sst": (cells, read, units), "sst_sd": (cells, np.full(read.shape, 0.2), units)}
    return xr.Dataset(parts, coords)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Maps, readings of buoys, and an operator of a draw of its prior."""
    made, ds = tmp_path_factory.mktemp("fields"), sea()
    ds.to_netcdf(made / "sst.nc", engine="h5netcdf")
    buoys(ds).to_netcdf(made / "buoys.nc", engine="h5netcdf")
    done("fit", made / "sst.nc", "-o", made / "op.nc", *OPERATOR, *QUICK)
    return made


@pytest.fixture(scope="module")
def observing(folder):
    """The same with a gain, of which the operator is held."""
    made = folder / "gain.nc"
    argv = ["fit", folder / "sst.nc", "-o", made, *OPERATOR, *GAIN, *QUICK]
    done(*argv, "--init", folder / "op.nc", "--hold", "net,generator,noise")
    return made


@pytest.fixture(scope="module")
def forecasts(folder):
    """One of the operator and one of what stays, from the months after the training."""
    stays = folder / "stays.nc"
    argv = ["fit", folder / "sst.nc", "-o", stays, "--model", "field-persistence"]
    done(*argv, *QUICK, "--set", SMALL[-1])
    for fit in ("op", "stays"):
        made = folder / f"{fit}_forecast.nc"
        argv = ["forecast", folder / f"{fit}.nc", folder / "sst.nc", "-o", made, "--draws", 6]
        done(*argv, "--horizon", 2, "-q")
    return [folder / "op_forecast.nc", folder / "stays_forecast.nc"]


@pytest.mark.parametrize(
    ("name", "settings", "made"),
    [
        (
            "semilinear-operator",
            ["modes=8,4", "periodic=false,true", "calendar=year", "layers=0", "patterns=20"],
            models.SemilinearOperator(
                modes=(8, 4), periodic=(False, True), calendar="year", layers=0, patterns=20
            ),
        ),
        (
            "SemilinearOperator",
            ["gain=Gain(memory=0, readings=Readings(share=(0.1, 0.2)))", "gain.width=6"],
            models.SemilinearOperator(
                gain=models.Gain(width=6, memory=0, readings=models.Readings(share=(0.1, 0.2)))
            ),
        ),
        (
            "semilinear-operator",
            ["gain=Gain(readings=none)", "periodic=false", "fields=sst"],
            models.SemilinearOperator("sst", periodic=False, gain=models.Gain(readings=None)),
        ),
        ("dmd", ["rank=none", "delay=2", "calendar="], models.DMD(delay=2)),
        ("fno", ["modes=6", "periodic=true"], models.FNO(modes=6)),
        ("published-noda", ["measured=0.2, 0.5"], models.PublishedNODA(measured=(0.2, 0.5))),
        ("field-climatology", ["calendar=year"], models.FieldClimatology(calendar="year")),
    ],
)
def test_a_model_of_fields_is_made_as_typed(name, settings, made):
    assert chosen(name, None, settings)[0] == made


@pytest.mark.parametrize(
    ("name", "setting", "says"),
    [
        ("semilinear", "modes=4", "did you mean semilinear-operator"),
        ("semilinear-operator", "gain=Gian", "expected one of Gain or none"),
        ("semilinear-operator", "periodic=maybe", "expected true or false or both with commas"),
        ("published-noda", "measured=0.2", "expected 2 numbers with commas"),
        ("fno", "layers=0", "layers=0 must be a whole number above 0"),
    ],
)
def test_a_wrong_setting_of_a_field_is_one_sentence(name, setting, says):
    with pytest.raises(ValueError, match=says):
        chosen(name, None, [setting])


def test_a_file_of_maps_is_told_from_channels(folder, tmp_path, capsys):
    done("check", folder / "sst.nc")
    said = capsys.readouterr().out
    assert "step: 1 month" in said and "The clock is of calendar months" in said
    assert "a regular grid of 6 x 12 places along lat, lon: a model of fields, such as" in said
    uneven = sea().assign_coords(lat=[80.0, 78.0, 60.0, 0.0, -10.0, -20.0])
    uneven.to_netcdf(tmp_path / "uneven.nc", engine="h5netcdf")
    done("check", tmp_path / "uneven.nc")
    said = capsys.readouterr().out
    assert "No model of fields takes it: The places along 'lat' do not stand at equal" in said


def test_dry_rows_stay_in_their_place(folder):
    layout = json.loads(read_tree(folder / "op.nc").attrs["layout"])
    assert layout["grid"]["sizes"] == [6, 12]


def test_forecasts_begin_after_the_training_and_count_in_months(folder, forecasts, capsys):
    told = read_tree(forecasts[0])["predictions"].to_dataset()
    begun = told["init_time"].values.astype("datetime64[M]")
    assert (np.diff(begun) == np.timedelta64(2, "M")).all() and len(begun) == 5
    wanted = begun[:, None] + np.array([1, 2])
    np.testing.assert_array_equal(told["valid_time"], wanted.astype("datetime64[ns]"))
    assert begun[0] >= np.datetime64(UNTIL, "M")
    argv = ["forecast", folder / "op.nc", folder / "sst.nc", "-o", folder / "last.nc"]
    done(*argv, "--origins", "last", "--horizon", 3)
    said = capsys.readouterr()
    assert "1 forecast, 3 months ahead, from 2003-12-01T00:00:00" in said.out
    assert "put on the clock" not in said.err


def test_monthly_truth_is_compared_as_it_is(folder, forecasts, tmp_path, capsys):
    """Of months that are shorter than a mean one, too, and of forecasts whose first months differ."""
    short = tmp_path / "short.nc"
    sea().sel(time=slice("2003-09", "2003-12")).to_netcdf(short, engine="h5netcdf")
    later = tmp_path / "later.nc"
    argv = ["forecast", folder / "stays.nc", folder / "sst.nc", "-o", later, "--draws", 6, "-q"]
    done(*argv, "--horizon", 2, "--origins", "30D")
    for pair in (forecasts, [forecasts[0], later]):
        done("compare", *pair, "--truth", short, "--baseline", pair[1].stem)
        said = capsys.readouterr()
        assert "put on the clock" not in said.err and "sst (degC)" in said.out
        assert "Lyapunov" not in said.out


def test_how_long_a_forecast_is_valid_is_told_in_lyapunov_times(folder, forecasts, refused, capsys):
    asked = ["--truth", folder / "sst.nc", "--lyapunov-time"]
    done("compare", *forecasts, *asked, "10D")
    said = capsys.readouterr().out
    told = valid_prediction_time(read_tree(forecasts[1]), sea())["prediction_time"].values
    middle = np.sort(told)[2]
    row = next(line for line in said.split("in Lyapunov times")[1].splitlines() if "stays" in line)
    cells = re.split(" {2,}", row.strip())
    assert cells[1:3] == [lead_words(middle), f"{middle / np.timedelta64(10, 'D'):.3g}"]
    assert "--lyapunov-time soon is no span of time above 0" in refused(
        "compare", *forecasts, *asked, "soon"
    )


def test_a_report_shows_maps(folder, forecasts, tmp_path, capsys):
    for path in forecasts:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    sea().to_netcdf(tmp_path / "truth.nc", engine="h5netcdf")
    done("report", tmp_path)
    assert "energy by wavenumber" in (tmp_path / "report.html").read_text()
    assert "left out" not in capsys.readouterr().err


def test_buoys_are_read_by_an_ensemble_and_its_members_roll_on(folder, tmp_path, capsys):
    out, ahead = tmp_path / "an.nc", tmp_path / "ahead.nc"
    argv = ["assimilate", folder / "op.nc", folder / "buoys.nc", "-o", out, "--filter", "letkf"]
    argv += ["--set", "size=6", "--set", "radius=3000", "--set", "distance=GreatCircle"]
    done(*argv, "--truth", folder / "sst.nc")
    said = capsys.readouterr()
    assert "seen the record up to 2003-03-01T00:00:00: the filter begins there" in said.err
    assert "put on the clock" not in said.err and "tells no units" not in said.err
    assert said.out.startswith(
        "LETKF with 6 members on sst: 9 cycles from 2003-04-01T00:00:00 to 2003-12-01T00:00:00 in"
    )
    assert "Root mean square error against the truth" in said.out
    tree = read_tree(out)
    np.testing.assert_array_equal(tree["innovation"]["position_1"], sea()["lon"].values[AT[1]])
    done("forecast", folder / "op.nc", out, "-o", ahead, "--horizon", 2, "--origins", "last")
    assert "1 forecast, 2 months ahead, from 2003-12-01" in capsys.readouterr().out
    assert read_tree(ahead)["predictions"].sizes["draw"] == 6


def test_a_fit_of_one_draw_has_as_many_members_as_the_filter(folder, tmp_path):
    out = tmp_path / "an.nc"
    argv = ["assimilate", folder / "op.nc", folder / "buoys.nc", "-o", out, "-q"]
    done(*argv)
    assert read_tree(out)["analysis"].sizes["draw"] == filters.ETKF().size


@pytest.mark.slow
def test_a_gain_is_learned(folder, observing, tmp_path):
    out, learning = tmp_path / "gain.nc", ["num_members=1", "num_steps=20", "batch_size=8"]
    argv = ["fit", folder / "sst.nc", "-o", out, *OPERATOR, *GAIN, *QUICK[:3]]
    argv += ["--method", "ensemble-map", *(w for s in learning for w in ("--set", s))]
    done(*argv, "--init", folder / "op.nc", "--hold", "net,generator,noise")
    last, first = (read_tree(p)["posterior"].to_dataset() for p in (out, observing))
    np.testing.assert_array_equal(last["net.head.bias"], first["net.head.bias"])
    assert np.isfinite(read_tree(out)["sample_stats"]["loss"]).all()


@pytest.mark.slow
def test_a_gain_is_fitted_on_what_is_held_and_corrects_by_itself(
    folder, observing, tmp_path, capsys
):
    before, after = (read_tree(p)["posterior"].to_dataset() for p in (folder / "op.nc", observing))
    np.testing.assert_array_equal(after["net.head.bias"], before["net.head.bias"])
    assert any(str(name).startswith("gain.") for name in after.data_vars)
    out = tmp_path / "an.nc"
    done("assimilate", observing, folder / "buoys.nc", "-o", out, "--filter", "observer")
    assert capsys.readouterr().out.startswith("Observer on sst: 9 cycles from 2003-04-01")
    ahead = tmp_path / "ahead.nc"
    done("forecast", observing, out, "-o", ahead, "--horizon", 2, "--origins", "last")
    assert "1 forecast, 2 months ahead, from 2003-12-01" in capsys.readouterr().out
    told, left = (
        read_tree(p)[g].to_dataset() for p, g in ((ahead, "predictions"), (out, "analysis"))
    )
    assert told.sizes["draw"] == left.sizes["draw"] and told.sizes["lead_time"] == 2
    wet = left["sst_mean"].squeeze().isel(time=-1).notnull()
    np.testing.assert_array_equal(told["sst"].notnull().all(["draw", "lead_time"]).squeeze(), wet)
    assert json.loads(read_tree(out).attrs["filter"])["type"] == "Observer"


@pytest.mark.slow
def test_what_drives_fields_beyond_their_record_is_a_plan(folder, refused, tmp_path):
    wind = ("time", np.random.default_rng(1).normal(size=36), {"units": "m s-1"})
    ds = sea().assign(wind=wind)
    ds.to_netcdf(tmp_path / "driven.nc", engine="h5netcdf")
    fit, plan, made = (tmp_path / f"{name}.nc" for name in ("fit", "plan", "made"))
    driven = [*OPERATOR, "--controls", "wind", "--variables", "sst"]
    done("fit", tmp_path / "driven.nc", "-o", fit, *driven, *QUICK)
    ds[["sst"]].sel(time=ds["time"] < np.datetime64(UNTIL)).to_netcdf(
        tmp_path / "sst.nc", engine="h5netcdf"
    )
    ds[["wind"]].to_netcdf(plan, engine="h5netcdf")
    argv = ["forecast", fit, tmp_path / "sst.nc", "-o", made, "--horizon", 2, "--draws", 2, "-q"]
    assert "wind" in refused(*argv, "--origins", "last")
    done(*argv, "--origins", "last", "--plan", plan)
    assert read_tree(made)["predictions"]["sst"].sizes["lead_time"] == 2


def test_what_cannot_be_done_with_fields_is_said(folder, refused, tmp_path):
    out = tmp_path / "x.nc"
    read = ("assimilate", folder / "op.nc", folder / "buoys.nc", "-o", out, "-q", "--filter")
    said = refused(*read, "observer")
    assert "use ETKF, LETKF, EnKF or DEnKF, or fit it with --set gain=Gain for the Obs" in said
    assert "did you mean observer?" in refused(*read, "obsever")
    assert "rolled out from a field: give" in refused("forecast", folder / "op.nc", "-o", out)
    again = ("fit", folder / "sst.nc", "-o", out, *OPERATOR, *QUICK)
    assert "say so, as --set periodic=false,true." in refused(*again, "--set", "periodic=true")
    assert "--hold net keeps values of an earlier posterior: give it by --init." in refused(
        *again, "--hold", "net"
    )


def test_readings_without_units_and_sensors_elsewhere_are_told(folder, refused, tmp_path, capsys):
    out, ds = tmp_path / "x.nc", buoys(sea())
    ds["sst"].attrs.pop("units")
    ds.to_netcdf(tmp_path / "plain.nc", engine="h5netcdf")
    argv = ["assimilate", folder / "op.nc", tmp_path / "plain.nc", "-o", out, "--members", 0]
    done(*argv)
    assert "'sst' tells no units: it is taken in those of the fit, degC." in capsys.readouterr().err
    lat, lon = (buoys(sea())[axis].values for axis in ("lat", "lon"))
    for changed, says in (
        ({"lat": ("station", sea()["lat"].values[[0, 2, 4]])}, "(land): leave that sensor out"),
        ({"lat": ("station", lat + 120.0)}, "and the grid spans lat 75 to -75"),
        ({"lat": ("station", [0.0, np.nan, 0.0])}, "A sensor has no position"),
        ({"position_0": ("station", lat)}, "The dataset has no position_1: give every"),
    ):
        buoys(sea()).assign_coords(changed).to_netcdf(tmp_path / "bad.nc", engine="h5netcdf")
        assert says in refused("assimilate", *argv[1:2], tmp_path / "bad.nc", "-o", out, "-q")
    assert lon.min() < 0.0 < sea()["lon"].values[AT[1]].min()  # so that some were counted anew


def test_maps_that_are_none_are_told(refused, tmp_path):
    ds = sea()
    gaps = ds.copy(deep=True)
    gaps["sst"].values[np.arange(36) % 3 > 0, 4, 3] = np.nan
    plain = ds.assign_coords({d: (d, ds[d].values) for d in ("lat", "lon")})
    closed = ["--set", "periodic=true"]
    for bad, more, says in (
        (ds.drop_vars("lat"), [], "no coordinate of numbers along 'lat'"),
        (ds.isel(lat=[0, 1, 2, 3, 5]), [], "do not stand at equal steps"),
        (gaps, [], "make land of every place that sometimes is, as ds.where(ds.notnull().all("),
        (plain, closed, "'lat' (degrees_north) spans 180 and does not close"),
    ):
        bad.to_netcdf(tmp_path / "bad.nc", engine="h5netcdf")
        argv = ["fit", tmp_path / "bad.nc", "-o", tmp_path / "x.nc", *OPERATOR, *QUICK, *more]
        assert says in refused(*argv)
    mended = gaps.where(gaps.notnull().all("time"))
    mended.to_netcdf(tmp_path / "good.nc", engine="h5netcdf")
    argv = ["fit", tmp_path / "good.nc", "-o", tmp_path / "x.nc", *QUICK, "--set", SMALL[-1]]
    done(*argv, "--model", "field-persistence")
