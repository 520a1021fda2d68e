"""What the small CF files of this folder are called, and how they are written: used by `make.py`."""

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from assim.data.atomic import replacing

VERSION = "2026-11-25"
"""Day of the last change to what `make.py` writes, for `date_created`."""
EPOCH = "seconds since 1970-01-01T00:00:00Z"


def names(standard_name: str, long_name: str, units: str) -> dict:
    """CF attributes of a measured variable."""
    content = {"coverage_content_type": "physicalMeasurement"}
    return {"standard_name": standard_name, "long_name": long_name, "units": units, **content}


def placed(ds: xr.Dataset, station: str | None, lat: float, lon: float, alt: float) -> xr.Dataset:
    """The dataset with its position as scalar coordinates, and the attributes that repeat it."""
    ds = ds.assign_coords(
        lat=((), lat, {**_axis("latitude", "degrees_north"), "axis": "Y"}),
        lon=((), lon, {**_axis("longitude", "degrees_east"), "axis": "X"}),
        alt=((), alt, {**_axis("altitude", "m"), "axis": "Z", "positive": "up"}),
    )
    if station is not None:
        label = {"long_name": "name of the station", "cf_role": "timeseries_id"}
        ds = ds.assign_coords(station_name=((), np.array(station, "S"), label))
    ds["time"].attrs = {"standard_name": "time", "long_name": "time", "axis": "T"}
    extent = {"geospatial_bounds": f"POINT ({lat:g} {lon:g})", "geospatial_bounds_crs": "EPSG:4326"}
    extent |= {"geospatial_bounds_vertical_crs": "EPSG:5714"}
    ranges = (("lat", lat, "degrees_north"), ("lon", lon, "degrees_east"), ("vertical", alt, "m"))
    for name, value, units in ranges:
        extent |= {f"geospatial_{name}_{end}": value for end in ("min", "max")}
        extent |= {f"geospatial_{name}_units": units, f"geospatial_{name}_resolution": "point"}
    return ds.assign_attrs(**extent, geospatial_vertical_positive="up")


def write(made: xr.Dataset | xr.DataTree, path: Path) -> None:
    """A dataset, or a tree by groups, as a compressed netCDF that holds no date of its making."""
    if isinstance(made, xr.DataTree):
        _write_groups(made, path)
        return
    ds = made.assign_attrs(**_fixed(made, path.stem))
    ds.attrs = dict(sorted(ds.attrs.items()))
    with replacing(path) as temporary:
        encoding = _encodings(ds, {"units": EPOCH, "dtype": "f8"})
        ds.to_netcdf(temporary, engine="netcdf4", format="NETCDF4_CLASSIC", encoding=encoding)


def coverage(ds: xr.Dataset) -> dict[str, str]:
    """The attributes of ACDD on the times of a record."""
    times = pd.DatetimeIndex(ds["time"].values)
    return {
        "time_coverage_start": f"{times[0].isoformat()}Z",
        "time_coverage_end": f"{times[-1].isoformat()}Z",
        "time_coverage_duration": (times[-1] - times[0]).isoformat(),
    }


def _write_groups(tree: xr.DataTree, path: Path) -> None:
    """Each record in a group with the coverage of its own; the position and what is true of all at the root."""
    records = {name: node.to_dataset() for name, node in tree.children.items()}
    longest = max(records.values(), key=lambda ds: ds["time"].values[-1])
    attrs = tree.attrs | _fixed(longest.assign_attrs(tree.attrs), path.stem)
    microseconds = {"units": "microseconds since 2000-01-01T00:00:00Z", "dtype": "i4"}
    microseconds |= {"zlib": True, "complevel": 6, "shuffle": True}
    place = [c for c in longest.coords if c not in longest.dims]
    with replacing(path) as temporary:
        root = longest[place].reset_coords()
        root.attrs = dict(sorted(attrs.items()))
        bare = {str(c): {"_FillValue": None} for c in place}
        root.to_netcdf(temporary, engine="netcdf4", format="NETCDF4", encoding=bare)
        for name, ds in records.items():
            own = {k: v for k, v in ds.attrs.items() if attrs.get(k) != v}
            ds.attrs = dict(sorted((own | coverage(ds)).items()))
            encoding = {n: e for n, e in _encodings(ds, microseconds).items() if n not in place}
            ds = ds.drop_vars(place)
            ds.to_netcdf(temporary, "a", "NETCDF4", name, "netcdf4", encoding=encoding)


def _encodings(ds: xr.Dataset, clock: dict) -> dict[str, dict]:
    """How each variable is stored; one with a scale is packed into 16 bits."""
    coords = [str(c) for c in ds.coords if c not in ds.dims]
    encoding: dict[str, dict] = {"time": {**clock, "calendar": "standard"}}
    for name in ds.variables:
        encoding.setdefault(str(name), {})["_FillValue"] = None
    for name, da in ds.data_vars.items():
        scale = da.encoding.get("scale_factor")
        encoding[str(name)] |= {"zlib": True, "complevel": 6, "shuffle": True}
        encoding[str(name)] |= {"_FillValue": np.float32(-9999.0)} if da.dtype.kind == "f" else {}
        if scale is not None:
            packed = {"dtype": "i2", "scale_factor": scale, "_FillValue": np.int16(-32768)}
            encoding[str(name)] |= packed
        da.encoding["coordinates"] = " ".join(coords)
    return encoding


def _fixed(ds: xr.Dataset, stem: str) -> dict[str, str]:
    """The attributes of ACDD that are the same everywhere."""
    version = ds.attrs.get("product_version", VERSION)
    sampling = {} if "sample" in ds.dims else {"featureType": "timeSeries"}
    return {
        "Conventions": "CF-1.8, ACDD-1.3",
        **sampling,
        "id": f"assim.{stem}",
        "naming_authority": "assim",
        "history": f"{version}: written by datasets/make.py",
        "date_created": version,
        "date_modified": version,
        "date_issued": version,
        "date_metadata_modified": version,
        "creator_email": "none",
        "creator_type": "group" if "assim" in ds.attrs["creator_name"] else "institution",
        "creator_institution": ds.attrs["institution"],
        "publisher_name": "The assim developers",
        "publisher_url": "none",
        "publisher_email": "none",
        "publisher_type": "group",
        "publisher_institution": "The assim developers",
        "program": "none",
        "product_version": version,
        "keywords_vocabulary": "none",
        "platform_vocabulary": "none",
        "instrument_vocabulary": "none",
        "contributor_name": "The assim developers",
        "contributor_role": "conversion to CF",
        "standard_name_vocabulary": "CF Standard Name Table v93",
        **coverage(ds),
    }


def _axis(standard_name: str, units: str) -> dict:
    return {"standard_name": standard_name, "long_name": standard_name, "units": units}
