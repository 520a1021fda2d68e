"""Where a variable can lie: on the whole line, above or below a bound, between two, or on a circle.

The attribute `support` of a variable decides where it is given; else its standard name and units do, unless its
valid range or its readings say otherwise.
"""

import numpy as np
import xarray as xr

SUPPORTS = ("real", "lower", "upper", "both", "circle")
LOWER = (
    *("speed", "precipitation", "rainfall", "radiance", "irradiance", "shortwave_flux"),
    *("downwelling", "upwelling", "concentration", "mole_fraction", "mass_fraction", "thickness"),
    *("significant_height", "wave_period", "visibility", "salinity", "energy", "evaporation"),
)
FLUXES = ("radiance", "shortwave_flux", "downwelling", "upwelling", "energy", "evaporation")
"""Of those, what goes by the name of a flux that may turn: its readings are asked."""
EITHER_SIGN = ("anomaly", "net_", "tendency_of", "change", "balance", "difference")
SPREADS = ("standard_deviation", "_std", "variance", "uncertainty")
CLEARLY = 0.05
"""A reading below zero by more than this share of the largest is no offset of the sensor."""
DIRECTIONS = ("direction", "heading", "course", "platform_azimuth", "yaw")
DEGREES = {"degree", "degrees", "deg", "degree_true", "degrees_true", "degreet", "degree_t", "°"}
RADIANS = {"radian", "radians", "rad"}
PERCENT = {"%", "percent", "per cent", "pct"}
BOUNDED = ("relative_humidity", "area_fraction", "cloud_area", "fraction", "probability", "albedo")


def support_of(da: xr.DataArray) -> str:
    """The kind of support of a variable.

    Raises:
        ValueError: an attribute `support` that names none.
    """
    given = da.attrs.get("support")
    if given is not None:
        if given not in SUPPORTS:
            raise ValueError(
                f"'{da.name}' has support={given!r}; it must be one of {', '.join(SUPPORTS)}."
            )
        return str(given)
    name, units = _words(da)
    of_spread = any(s in f"{name} {da.name}".lower() for s in SPREADS)
    if units in DEGREES | RADIANS and any(d in name for d in DIRECTIONS) and not of_spread:
        return "circle"
    if any(b in name for b in BOUNDED) and units in PERCENT | {"1", ""}:
        return "both"
    if any(part in name for part in LOWER) and not any(part in name for part in EITHER_SIGN):
        turning = any(part in name for part in FLUXES)
        return "real" if _may_go_below(da) or (turning and _goes_below(da)) else "lower"
    return "real"


def bounds_of(da: xr.DataArray) -> tuple[float, float]:
    """The physical bounds of a variable in its own units; of a circle, 0 and its period."""
    support = support_of(da)
    _, units = _words(da)
    low, high = da.attrs.get("valid_min"), da.attrs.get("valid_max")
    if support == "circle":
        period = float(da.attrs.get("period", 2 * np.pi if units in RADIANS else 360.0))
        return 0.0, period
    if support == "both":
        top = 100.0 if units in PERCENT else 1.0
        named = "support" in da.attrs and units not in PERCENT
        return float(low if named and low is not None else 0.0), float(
            high if named and high is not None else top
        )
    return (0.0, np.inf) if support == "lower" else (-np.inf, 0.0 if support == "upper" else np.inf)


def _may_go_below(da: xr.DataArray) -> bool:
    """Whether the valid range of a variable reaches below zero."""
    low = da.attrs.get("valid_min", np.ravel(da.attrs.get("valid_range", 0.0))[0])
    return isinstance(low, int | float | np.number) and bool(low < 0)


def _goes_below(da: xr.DataArray) -> bool:
    """Whether the readings, where they are in memory, lie clearly below zero too."""
    if da.chunks is not None or da.dtype.kind not in "fi" or da.size == 0:
        return False
    least, most = float(da.min()), float(da.max())
    return least < -CLEARLY * max(most, 0.0)


def _words(da: xr.DataArray) -> tuple[str, str]:
    """What a variable calls itself, and its units, in lower case."""
    name = str(da.attrs.get("standard_name") or da.attrs.get("long_name") or da.name or "")
    return name.lower().replace(" ", "_"), str(da.attrs.get("units", "")).strip().lower()
