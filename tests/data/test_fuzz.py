"""Files of any structure, and files with damaged bytes: read, or refused in one sentence. Never anything else."""

import subprocess
import sys

import numpy as np
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from assim.data.opening import open_dataset

DIMS = ("time", "obs", "station", "z", "n")
UNITS = (
    *(
        "seconds since 1970-01-01",
        "days since 1950-01-01 00:00:00 UTC",
        "hours since 1-1-1",
        "months since 2000-01-01",
    ),
    *("degC", "since yesterday", "", "days since 99-99-99"),
)
CALENDARS = ("standard", "360_day", "noleap", "mayan")
VALUES = (0.0, 1.0, -9999.0, 1e20, 9.969209968386869e36, np.nan, np.inf, 3e9, -1e300)


@st.composite
def attributes(draw):
    choices = {
        "units": st.sampled_from(UNITS),
        "calendar": st.sampled_from(CALENDARS),
        "standard_name": st.sampled_from(
            ["time", "latitude", "air_temperature", "quality_flag", "depth"]
        ),
        "axis": st.sampled_from(["T", "X", "Z", 3]),
        "_FillValue": st.sampled_from([-9999.0, 0, "none"]),
        "missing_value": st.sampled_from([[1.0, 2.0], 1e20, np.nan]),
        "valid_range": st.sampled_from([[0.0, 1.0], [1.0], [1.0, 0.0], "0 1"]),
        "scale_factor": st.sampled_from([0.5, 0.0, -2.0, "x"]),
        "add_offset": st.sampled_from([1.0, np.nan]),
        "_Unsigned": st.just("true"),
        "cf_role": st.sampled_from(["timeseries_id", "profile_id", "nonsense"]),
        "sample_dimension": st.sampled_from(["obs", "n", "nowhere"]),
        "instance_dimension": st.sampled_from(["station", "nowhere"]),
        "coordinates": st.sampled_from(["lat lon", "v0 v1"]),
        "ancillary_variables": st.sampled_from(["v0", "v1 v2", "gone"]),
        "flag_values": st.sampled_from([[0, 1], "0 1"]),
        "flag_masks": st.sampled_from([[1, 2], 1.5]),
        "flag_meanings": st.sampled_from(["good bad", "good", ""]),
        "bounds": st.sampled_from(["v1", 4]),
    }
    names = draw(st.lists(st.sampled_from(sorted(choices)), max_size=4, unique=True))
    return {name: draw(choices[name]) for name in names}


@st.composite
def variable(draw, sizes):
    dims = tuple(draw(st.lists(st.sampled_from(sorted(sizes)), max_size=3, unique=True)))
    shape = tuple(sizes[d] for d in dims)
    count = int(np.prod(shape, dtype=int))
    kind = draw(
        st.sampled_from(["f8", "f4", "i1", "i4", "i8", "u2", "U3", "S1", "M8[ns]", "?", "O"])
    )
    if kind in ("f8", "f4"):
        values = draw(st.lists(st.sampled_from(VALUES), min_size=count, max_size=count))
        with np.errstate(over="ignore"):
            array = np.array(values, "f8").astype(kind)
    elif kind in ("i1", "i4", "i8", "u2", "?"):
        values = draw(st.lists(st.integers(0, 120), min_size=count, max_size=count))
        array = np.array(values).astype(kind)
    elif kind == "M8[ns]":
        days = draw(st.lists(st.integers(-300, 300), min_size=count, max_size=count))
        array = (np.array(days, "i8") * 86_400_000_000_000).astype(kind)
        array[::3] = np.datetime64("NaT", "ns")
    else:
        array = np.full(count, b"q" if kind == "S1" else "2001-02-30", dtype=kind)
    return xr.Variable(dims, array.reshape(shape), draw(attributes()))


@st.composite
def dataset(draw):
    sizes = {
        d: draw(st.integers(0, 5))
        for d in draw(st.lists(st.sampled_from(DIMS), min_size=1, unique=True))
    }
    names = draw(
        st.lists(
            st.sampled_from(
                [
                    *DIMS,
                    "v0",
                    "v1",
                    "v2",
                    "v0_qc",
                    "v0_sd",
                    "lat",
                    "TIME",
                    "JULD",
                    "base_time",
                    "station_index",
                ]
            ),
            min_size=1,
            max_size=6,
            unique=True,
        )
    )
    out = {}
    for name in names:
        var = draw(variable(sizes))
        if name not in DIMS or var.dims == (name,):
            out[name] = var
    feature = draw(
        st.sampled_from(
            [{}, {"featureType": "timeSeries"}, {"featureType": 3}, {"repairs": "Earlier."}]
        )
    )
    if draw(st.integers(0, 4)):
        dim = draw(st.sampled_from(sorted(sizes)))
        stamps = draw(st.lists(st.integers(0, 4), min_size=sizes[dim], max_size=sizes[dim]))
        out["clock"] = xr.Variable(dim, np.array(stamps, "f8"), {"units": UNITS[0], "axis": "T"})
        out["reading"] = xr.Variable(dim, np.arange(sizes[dim], dtype="f8"))
    return xr.Dataset(out, attrs=feature)


@settings(max_examples=100)
@given(dataset(), st.sampled_from([None, None, ["reading"], ["v0", "v1"], ["air_temperature"]]))
def test_any_structure_is_read_or_refused(ds, variables):
    before = ds.copy(deep=True)
    try:
        out = open_dataset(ds, variables=variables)
    except ValueError as refusal:
        assert "\n" not in str(refusal)
    else:
        stamps = out["time"].values
        assert stamps.dtype == "datetime64[ns]" and (np.diff(stamps.astype(np.int64)) > 0).all()
        assert all(da.dtype.kind == "f" and not np.isinf(da).any() for da in out.data_vars.values())
    xr.testing.assert_identical(ds, before)


DAMAGED = """
import pathlib, sys, warnings
import numpy as np
from assim.data.opening import open_dataset

warnings.simplefilter("error")
warnings.filterwarnings("ignore", "numpy.ndarray size changed")
folder, rounds = sys.argv[1], int(sys.argv[2])
for form in ("NETCDF3_CLASSIC", "NETCDF4"):
    whole = np.fromfile(f"{folder}/{form}.nc", np.uint8)
    read = refused = 0
    for seed in range(rounds):
        rng = np.random.default_rng(seed)
        data = whole.copy()
        if seed % 4 == 0:
            data = data[: rng.integers(1, len(data))]
        else:
            head = len(data) if seed % 2 else min(2000, len(data))
            at = rng.integers(0, head, rng.integers(1, 12))
            data[at] = rng.integers(0, 256, at.size)
        copy = pathlib.Path(folder, f"{form}{seed}.nc")  # HDF5 remembers a file that it failed on
        copy.write_bytes(data.tobytes())
        print(form, "seed", seed, flush=True)
        try:
            open_dataset(copy)
            read += 1
        except (ValueError, OSError) as refusal:
            assert "\\n" not in str(refusal), refusal
            refused += 1
    assert read and refused, (read, refused)
print("done")
"""


def test_damaged_bytes_are_read_or_refused(tmp_path):
    """In a process of its own, since HDF5 may end the process it is in."""
    rng = np.random.default_rng(0)
    ds = xr.Dataset(
        {
            "temp": (
                ("time", "z"),
                rng.normal(size=(60, 2)),
                {"units": "degC", "ancillary_variables": "temp_qc"},
            ),
            "temp_qc": (("time", "z"), np.zeros((60, 2), "i1"), {"flag_meanings": "good bad"}),
            "name": ("strlen", np.array(list("mast"), "S1"), {"cf_role": "timeseries_id"}),
        },
        {
            "time": (
                "time",
                np.arange(60.0),
                {"units": "hours since 2020-01-01", "calendar": "standard"},
            )
        },
    )
    ds["temp_qc"].attrs["flag_values"] = np.array([0, 1], "i1")
    for form in ("NETCDF3_CLASSIC", "NETCDF4"):
        ds.to_netcdf(tmp_path / f"{form}.nc", engine="netcdf4", format=form)
    command = [sys.executable, "-c", DAMAGED, str(tmp_path), "60"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=180)
    last = run.stdout.strip().splitlines()[-1]
    assert last == "done", f"{last}: {run.stderr[-1500:]}"
