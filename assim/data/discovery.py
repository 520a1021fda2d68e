"""The global attributes by which catalogues find a file (ACDD 1.3), taken from the data where the data say it.

What is measured (extent in space and time) is computed and always matches the data. What somebody has to say (who
made it, under what licence) is taken from the dataset, and is "unknown" where it says nothing. A position that is
not in the data is not made up: then the spatial attributes are left out.
"""

import datetime
import importlib.metadata
import re

import numpy as np
import pandas as pd
import xarray as xr

from assim.data.clockwork import seconds_apart
from assim.data.conforming import ENSEMBLE
from assim.data.naming import VOCABULARY, plain

SAID = (
    *(
        "creator_name",
        "creator_email",
        "creator_url",
        "creator_institution",
        "institution",
        "publisher_name",
    ),
    *("publisher_email", "publisher_url", "publisher_institution", "project", "program", "license"),
    *("acknowledgement", "platform", "platform_vocabulary", "instrument", "instrument_vocabulary"),
    *(
        "contributor_name",
        "contributor_role",
        "keywords_vocabulary",
        "references",
        "product_version",
        "naming_authority",
        "source",
    ),
)
PARTIES = ("person", "group", "institution", "position")
COMPUTED = re.compile(
    r"(geospatial_|time_coverage_|featureType|Conventions|date_|standard_name_vocabulary|cdm_|coordinates|_)"
)


def catalogued(ds: xr.Dataset, identity: str, defaults: dict[str, str]) -> dict:
    """The global attributes of a dataset that is ready to be written.

    Args:
        ds: variables and coordinates as they will be written, with a time coordinate of axis T.
        identity: what the file is called, for `id`.
        defaults: title, summary, comment, source and so on for a dataset that does not say.
    """
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    given = {
        str(k): plain(v)
        for k, v in ds.attrs.items()
        if re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", str(k)) and np.asarray(v).dtype.kind in "fiubU"
    }
    kept = {k: v for k, v in given.items() if not COMPUTED.match(k) and v != ""}
    names = ", ".join(str(ds[n].attrs.get("long_name", n)) for n in ds.data_vars)
    attrs: dict = dict.fromkeys(SAID, "unknown") | {
        "title": f"Record of {names}",
        "summary": f"Readings of {names}.",
        "keywords": names,
        "comment": "A missing reading has the fill value.",
        "processing_level": "decoded, flagged readings screened",
        "metadata_link": "unknown (no http address was given)",
        "creator_type": "institution",
        "publisher_type": "institution",
    }
    attrs |= {k: v for k, v in defaults.items() if v} | kept
    for key in ("creator_type", "publisher_type"):
        attrs[key] = attrs[key] if attrs[key] in PARTIES else "institution"
    if "http" not in str(attrs["metadata_link"]):
        attrs["metadata_link"] = f"{attrs['metadata_link']} (no http address)"
    if "acknowledgment" in attrs:
        attrs.pop("acknowledgement")
    earlier = str(kept.get("history", "")).rstrip()
    written = f"{now}: written as CF by assim {importlib.metadata.version('assim')}"
    attrs |= {
        "Conventions": "CF-1.8, ACDD-1.3",
        "id": re.sub(r"\s+", "_", str(kept.get("id") or identity)),
        "history": "\n".join(filter(None, [earlier, written])),
        "standard_name_vocabulary": VOCABULARY,
        **{f"date_{what}": now for what in ("created", "modified", "issued", "metadata_modified")},
        **_when(ds),
        **_where(ds),
        **_feature(ds),
    }
    return dict(sorted(attrs.items()))


def _feature(ds: xr.Dataset) -> dict:
    """A discrete sampling geometry, where every variable lies along stations and time alone."""
    fixed = {*ENSEMBLE, "station", "run", "time"}
    along = all({"time"} <= set(v.dims) <= fixed for v in ds.data_vars.values())
    places = [v for v in ds.coords.values() if v.attrs.get("axis") in ("X", "Y", "Z")]
    known = {"X", "Y"} <= {v.attrs["axis"] for v in places}
    still = all(set(v.dims) <= {"station", "run"} for v in places)
    return {"featureType": "timeSeries"} if along and known and still else {}


def _when(ds: xr.Dataset) -> dict:
    """First and last stamp, the span between them, and the usual step, by ISO 8601."""
    clock = next(v for v in ds.coords.values() if v.attrs.get("axis") == "T")
    times = pd.DatetimeIndex(np.atleast_1d(clock.values))
    apart = seconds_apart(times.values)
    step = pd.Timedelta(seconds=np.median(apart) if apart.size else 0)
    span = np.ptp(times.values[[0, -1]].astype("datetime64[us]"))  # of centuries ns are too many
    return {
        "time_coverage_start": f"{times[0].isoformat()}Z",
        "time_coverage_end": f"{times[-1].isoformat()}Z",
        "time_coverage_duration": pd.Timedelta(span).isoformat(),
        "time_coverage_resolution": step.isoformat(),
    }


def _where(ds: xr.Dataset) -> dict:
    """The box around the positions in the data."""
    said: dict = {}
    corners = {}
    for what, axis in (("lat", "Y"), ("lon", "X"), ("vertical", "Z")):
        found = [v for v in ds.coords.values() if v.attrs.get("axis") == axis]
        if not found or not np.isfinite(found[0].values).any():
            continue
        values = found[0].values
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        corners[what] = (low, high)
        said |= {f"geospatial_{what}_min": low, f"geospatial_{what}_max": high}
        said |= {
            f"geospatial_{what}_units": str(found[0].attrs["units"]),
            f"geospatial_{what}_resolution": "point" if low == high else "irregular",
        }
        if what == "vertical":
            said["geospatial_vertical_positive"] = str(found[0].attrs["positive"])
            said["geospatial_bounds_vertical_crs"] = str(
                ds.attrs.get("geospatial_bounds_vertical_crs", "unknown")
            )
    if {"lat", "lon"} <= set(corners):
        said |= {"geospatial_bounds": _well_known(corners["lat"], corners["lon"])}
        said |= {"geospatial_bounds_crs": "EPSG:4326"}
    return said


def _well_known(lat: tuple[float, float], lon: tuple[float, float]) -> str:
    """A point, or the rectangle around all points; ACDD puts latitude first for EPSG:4326."""
    (south, north), (west, east) = lat, lon
    if south == north and west == east:
        return f"POINT ({south:.9g} {west:.9g})"
    corners = [(south, west), (north, west), (north, east), (south, east), (south, west)]
    return f"POLYGON (({', '.join(f'{y:.9g} {x:.9g}' for y, x in corners)}))"
