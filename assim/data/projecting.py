r"""Degrees to kilometres about a point and back: the azimuthal equidistant projection of a sphere.

With $\Delta = \lambda - \lambda_0$ and the angle $c$ between a place and the origin,

$$x = R\,\frac{c}{\sin c}\cos\varphi\sin\Delta, \qquad
y = R\,\frac{c}{\sin c}\,(\cos\varphi_0\sin\varphi - \sin\varphi_0\cos\varphi\cos\Delta)$$

(Snyder 1987, Map Projections: A Working Manual, U.S. Geological Survey Professional Paper 1395, section 25).
Distances and directions from the origin are exact; across them lengths grow by $c/\sin c$, 0.1 % at 500 km. The
sphere itself is up to 0.6 % off the ellipsoid. The origin stands in the attributes of x and y under the names that
CF has for this grid mapping (CF 1.8, appendix F), so that whatever is made of x and y can be written in degrees
again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from assim.data.units import agree, convert

RADIUS = 6371.0088
"""Mean radius of the Earth, km (IUGG)."""
MAPPING = "azimuthal_equidistant"
ORIGIN = ("longitude_of_projection_origin", "latitude_of_projection_origin")
HORIZONTAL = {
    "X": (
        ("longitude", "projection_x_coordinate"),
        ("lon", "longitude", "long", "x", "x_km", "x_m", "easting"),
    ),
    "Y": (
        ("latitude", "projection_y_coordinate"),
        ("lat", "latitude", "y", "y_km", "y_m", "northing"),
    ),
}
"""For each horizontal axis: its standard names, and names."""
ANGLES = ("longitude", "latitude", "lon", "lat", "long")


@dataclass(frozen=True)
class Projection:
    """The azimuthal equidistant projection about a point of a sphere.

    Args:
        lon: longitude of the origin, degrees east.
        lat: latitude of the origin, degrees north.
        radius: of the sphere, km.
    """

    lon: float
    lat: float
    radius: float = RADIUS

    def forward(self, lon: NDArray, lat: NDArray) -> tuple[NDArray, NDArray]:
        """Eastward and northward kilometres of places in degrees, any shape."""
        turn, phi, phi0 = np.radians(lon - self.lon), np.radians(lat), np.radians(self.lat)
        east = np.cos(phi) * np.sin(turn)
        north = np.cos(phi0) * np.sin(phi) - np.sin(phi0) * np.cos(phi) * np.cos(turn)
        up = np.sin(phi0) * np.sin(phi) + np.cos(phi0) * np.cos(phi) * np.cos(turn)
        sine = np.hypot(east, north)  # small angles would drown in an arccosine
        stretch = self.radius / np.sinc(np.arctan2(sine, up) / np.pi)
        return stretch * east, stretch * north

    def inverse(self, x: NDArray, y: NDArray) -> tuple[NDArray, NDArray]:
        """Degrees east, in [-180, 180), and north of places in kilometres, any shape."""
        c, phi0 = np.hypot(x, y) / self.radius, np.radians(self.lat)
        shrink = np.sinc(c / np.pi) / self.radius
        east, north = shrink * x, shrink * y
        phi = np.arcsin(np.clip(np.cos(c) * np.sin(phi0) + north * np.cos(phi0), -1.0, 1.0))
        turn = np.arctan2(east, np.cos(phi0) * np.cos(c) - np.sin(phi0) * north)
        return np.mod(np.degrees(turn) + self.lon + 180.0, 360.0) - 180.0, np.degrees(phi)

    def attrs(self, axis: str) -> dict[str, Any]:
        """The attributes of a projected coordinate, of axis X or Y."""
        names = {
            "standard_name": f"projection_{axis.lower()}_coordinate",
            "long_name": f"{'eastward' if axis == 'X' else 'northward'} distance from the origin",
            "units": "km",
            "grid_mapping_name": MAPPING,
        }
        origin = dict(zip(ORIGIN, (self.lon, self.lat), strict=True))
        return names | origin | {"earth_radius": self.radius * 1e3}


def centred_on(lon: NDArray, lat: NDArray) -> Projection:
    """The projection about the middle of places, to a hundredth of a degree.

    Args:
        lon: degrees east, any shape; NaN where missing.
        lat: degrees north, the same shape.
    """
    phi, turn = np.radians(lat), np.radians(lon)
    towards = (np.cos(phi) * np.cos(turn), np.cos(phi) * np.sin(turn), np.sin(phi))
    seen = np.isfinite(lon) & np.isfinite(lat)
    x, y, z = (float(np.mean(part[seen])) for part in towards)
    middle = np.degrees([np.arctan2(y, x), np.arctan2(z, np.hypot(x, y))])
    return Projection(*np.round(middle, 2).tolist())


def to_lonlat(ds: xr.Dataset) -> xr.Dataset:
    """Degrees in place of projected kilometres.

    Args:
        ds: any dataset whose x and y still have the attributes that `assim.take_snapshots` gave them, along any
            dimensions: snapshots, or positions that were made of them.

    Returns:
        The dataset with `lon`, degrees east in [-180, 180), and `lat`, degrees north, in place of x, y and their
        standard errors.

    Raises:
        ValueError: no pair of projected coordinates.
    """
    projected = [
        str(n)
        for n, v in ds.variables.items()
        if v.attrs.get("grid_mapping_name") == MAPPING and all(k in v.attrs for k in ORIGIN)
    ]
    axes = {axis_of(n, ds[n].attrs): n for n in projected}
    if set(axes) != {"X", "Y"}:
        raise ValueError(
            f"The dataset has no x and y that were projected (it has {', '.join(map(str, ds.variables))}): give "
            "what was made with assim.take_snapshots(..., projection='local'), with its attributes."
        )
    x, y = ds[axes["X"]], ds[axes["Y"]]
    lon0, lat0 = (float(x.attrs[k]) for k in ORIGIN)
    about = Projection(lon0, lat0, float(x.attrs.get("earth_radius", RADIUS * 1e3)) / 1e3)
    km = [convert(v, str(v.attrs.get("units", "km")), "km") for v in (x, y)]
    lon, lat = xr.apply_ufunc(about.inverse, *km, output_core_dims=[[], []], dask="allowed")
    gone = [n for name in axes.values() for n in (name, f"{name}_sd") if n in ds.variables]
    return ds.drop_vars(gone).assign(
        lon=lon.assign_attrs(degrees("X")), lat=lat.assign_attrs(degrees("Y"))
    )


def degrees(axis: str) -> dict[str, str]:
    """The attributes of longitude (X) or latitude (Y)."""
    name, side = ("longitude", "east") if axis == "X" else ("latitude", "north")
    return {"standard_name": name, "long_name": name, "units": f"degrees_{side}"}


def axis_of(name: str, attrs: Mapping[str, Any]) -> str | None:
    """The horizontal axis that a variable is of, X or Y: by standard name, by `axis`, or by name; else None."""
    said, axis = str(attrs.get("standard_name", "")), str(attrs.get("axis", "")).upper()
    for found, (standard, names) in HORIZONTAL.items():
        if said in standard or (not said and (axis == found or name.lower() in names)):
            return found
    return None


def is_angle(name: str, attrs: Mapping[str, Any]) -> bool:
    """Whether a horizontal coordinate is in degrees."""
    units = str(attrs.get("units", ""))
    return (
        units.lower().startswith("deg")
        or str(attrs.get("standard_name", "")) in ANGLES
        or (not units and name.lower() in ANGLES)
    )


def refuse_mixed(names: Iterable[str], attrs: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuses horizontal coordinates that are not of one plane.

    Args:
        names: the coordinates.
        attrs: the attributes of each.

    Raises:
        ValueError: one in degrees and one in metres, two units of length, two origins.
    """
    axes = {axis_of(n, attrs.get(n, {})): n for n in names}
    if not {"X", "Y"} <= set(axes):
        return
    pair = (axes["X"], axes["Y"])
    units = [str(attrs.get(n, {}).get("units", "")) for n in pair]
    angles = [is_angle(n, attrs.get(n, {})) for n in pair]
    told = " and ".join(f"'{n}' in {u or 'no units'}" for n, u in zip(pair, units, strict=True))
    if angles[0] != angles[1] and all(u or a for u, a in zip(units, angles, strict=True)):
        raise ValueError(
            f"The coordinates are {told}, which are no pair: give longitude with latitude, or two lengths."
        )
    if not any(angles) and all(units) and not agree(*units):
        raise ValueError(
            f"The coordinates are {told}: convert one, so that both have the same units, and say so in its "
            "attribute 'units'."
        )
    origins = [tuple(attrs.get(n, {}).get(k) for k in ORIGIN) for n in pair]
    if origins[0] != origins[1]:
        raise ValueError(
            f"'{pair[0]}' and '{pair[1]}' were projected about different origins, {origins[0]} and {origins[1]}: "
            "project both about one, with projection=(lon, lat) of assim.take_snapshots."
        )
