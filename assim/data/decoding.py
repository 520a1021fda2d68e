"""From stored numbers to readings: fill values, valid ranges, scale and offset (CF 2.5.1 and 8.1).

`reading = stored * scale_factor + add_offset`, and missing where the stored number is `_FillValue` or one of
`missing_value`, lies outside `valid_min`, `valid_max` or `valid_range`, is infinite, or is a sentinel that
nobody declared.
"""

import numpy as np
import xarray as xr

from assim.data.sentinels import find_sentinels

FILLS = ("_FillValue", "missing_value", "_fillvalue", "fill_value", "FillValue", "missing_data")
PACKING = (
    *FILLS,
    "scale_factor",
    "add_offset",
    "_Unsigned",
    "valid_range",
    "valid_delta",
    "actual_range",
)
FLAG_NAMES = ("qc_", "flag_", "aqc_", "_qc", "_flag", "_flags", "quality_control", "_quality")


def decode(raw: xr.Dataset, names: list[str]) -> tuple[dict[str, xr.Variable], list[str]]:
    """The readings behind stored numbers.

    Args:
        raw: the dataset as stored.
        names: numeric variables to decode.

    Returns:
        Each variable as float, NaN where missing, in file units; and what was mended.
    """
    decoded, repairs = {}, []
    for name in names:
        decoded[name], said = decode_variable(name, raw[name].variable)
        repairs += said
    return decoded, repairs


def decode_variable(name: str, var: xr.Variable) -> tuple[xr.Variable, list[str]]:
    """One variable decoded; see `decode`."""
    lazy, attrs = var.chunks is not None, var.attrs
    stored = _unsigned(var)
    missing = _fill_mask(stored, attrs)
    scale, offset = number(attrs.get("scale_factor"), 1.0), number(attrs.get("add_offset"), 0.0)
    packed = (scale, offset) != (1.0, 0.0)
    kind = stored.dtype if stored.dtype in (np.float32, np.float64) and not packed else np.float64
    values = stored.astype(kind).where(~missing)
    said = []
    sentinels = [] if lazy else find_sentinels(stored.values[~missing.values])
    for sentinel in sentinels:
        at = stored == np.asarray(sentinel).astype(stored.dtype)
        said.append(f"'{name}': {int(at.sum())} undeclared {sentinel:g} became missing.")
        values = values.where(~at)
    low, high, in_stored = valid_range(attrs, stored.dtype, packed)
    readings = values if not packed else values * scale + offset
    checked = values if in_stored else readings
    if low > -np.inf or high < np.inf:
        outside = (checked < low) | (checked > high)
        where = f"outside its valid range, {low:g} to {high:g},"
        said += _said(name, outside, where, lazy)
        readings = readings.where(~outside)
        if packed and in_stored:
            low, high = sorted((low * scale + offset, high * scale + offset))
    infinite = abs(readings) == np.inf
    said += _said(name, infinite, "of infinite size", lazy)
    readings = readings.where(~infinite)
    readings.attrs = {
        k: v for k, v in attrs.items() if k not in (*PACKING, "valid_min", "valid_max")
    }
    readings.attrs |= {"valid_min": low} if np.isfinite(low) else {}
    readings.attrs |= {"valid_max": high} if np.isfinite(high) else {}
    return readings, said


def is_flag(name: str, var: xr.Variable) -> bool:
    """Whether a variable is a quality flag or status word and no reading."""
    attrs, low = var.attrs, name.lower()
    said = str(attrs.get("standard_name", "")).split()
    if said and (said[-1] in ("status_flag", "quality_flag") or said[0].endswith("quality_flag")):
        return True
    if any(k in attrs for k in ("flag_values", "flag_masks", "flag_meanings")):
        return True
    if any(str(k).startswith(("bit_1_", "flag_1_")) for k in attrs):
        return True
    named = low.startswith(FLAG_NAMES[:3]) or low.endswith(FLAG_NAMES[3:])
    return named and (var.dtype.kind in "iubSU" or "units" not in attrs)


def _unsigned(var: xr.Variable) -> xr.Variable:
    if str(var.attrs.get("_Unsigned", "")).lower() == "true" and var.dtype.kind == "i":
        return var.astype(f"u{var.dtype.itemsize}")
    return var.astype(np.uint8) if var.dtype.kind == "b" else var


def _fill_mask(stored: xr.Variable, attrs: dict) -> xr.Variable:
    missing = stored.isnull()
    for key in FILLS:
        for fill in np.ravel(attrs.get(key, [])):
            declared = number(fill, np.nan)
            if not np.isfinite(declared):
                continue
            if stored.dtype.kind in "iu":
                missing |= stored == declared
            else:
                missing |= stored == stored.dtype.type(declared)
    return missing


def valid_range(attrs: dict, dtype: np.dtype, packed: bool) -> tuple[float, float, bool]:
    """Bounds, and whether they count in stored numbers: they do if they are of the stored type."""
    span = np.ravel(attrs.get("valid_range", []))
    if len(span) == 2:
        low, high = number(span[0], -np.inf), number(span[1], np.inf)
    else:
        low = number(attrs.get("valid_min"), -np.inf)
        high = number(attrs.get("valid_max"), np.inf)
    if low > high or np.isnan([low, high]).any():
        return -np.inf, np.inf, True
    bounds = [attrs[k] for k in ("valid_range", "valid_min", "valid_max") if k in attrs]
    same = all(np.asarray(b).dtype.kind in "iu" for b in bounds) or dtype.kind == "f"
    return low, high, same or not packed


def number(value: object, otherwise: float) -> float:
    """The first number of an attribute; `otherwise` where it is absent or no number."""
    if value is None:
        return otherwise
    try:
        return float(np.ravel(np.asarray(value, dtype=float))[0])
    except (TypeError, ValueError, IndexError):
        return otherwise


def _said(name: object, mask: xr.Variable, where: str, lazy: bool) -> list[str]:
    if lazy:
        skip = "infinite" in where
        return [] if skip else [f"'{name}': readings {where} become missing when they are read."]
    count = int(mask.sum())
    return [f"'{name}': {count} reading(s) {where} became missing."] if count else []
