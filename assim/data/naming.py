"""What CF asks a variable to say of itself: a checked standard name, units that fit it, a long name.

A standard name is kept if the table of the CF conventions (version 93, shipped with the package) has it and the
variable's units can be converted to its canonical unit; an alias becomes the name that it stands for. Any other
becomes the long name: a wrong standard name is worse than none.
"""

import gzip
import re
from functools import cache
from importlib.resources import files

import numpy as np
import xarray as xr

from assim.data.units import ALIASES

VOCABULARY = "CF Standard Name Table v93"
MODIFIERS = ("standard_error", "status_flag", "number_of_observations", "detection_minimum")
CONTENTS = (
    *("image", "thematicClassification", "physicalMeasurement", "auxiliaryInformation"),
    *("qualityInformation", "referenceInformation", "modelResult", "coordinate"),
)
LOST = (
    *(
        "_FillValue",
        "missing_value",
        "scale_factor",
        "add_offset",
        "_Unsigned",
        "coordinates",
        "dtype",
    ),
    *("bounds", "grid_mapping", "cell_measures", "formula_terms", "climatology", "valid_range"),
    *("actual_range", "compress", "_CoordinateAxisType", "axis", "positive", "cf_role"),
)
"""Attributes that spoke of the file that the variable came from."""


def described(da: xr.DataArray, known: set[str], content: str = "physicalMeasurement") -> dict:
    """The attributes of a variable as CF and ACDD want them.

    Args:
        da: a reading with the attributes that it came with.
        known: names of the variables and dimensions of the file to be written.
        content: ISO 19115-1 code of what it is, where it does not say so itself.
    """
    attrs = {k: plain(v) for k, v in da.attrs.items() if k not in LOST and _is_sane(k, v)}
    attrs |= {
        k: np.asarray(attrs[k], da.dtype)[()] for k in ("valid_min", "valid_max") if k in attrs
    }
    units, given = spelled_units(attrs.get("units")), str(attrs.pop("standard_name", ""))
    name = standard_name(given, units)
    unit_of_name = canonical_unit(name) if name else None
    units = unit_of_name if units is None and unit_of_name == "1" else units
    attrs = {k: v for k, v in attrs.items() if k != "units"} | (
        {} if units is None else {"units": units}
    )
    attrs |= {"standard_name": name} if name else {}
    attrs["long_name"] = str(attrs.get("long_name") or given or da.name).replace("_", " ").strip()
    if attrs.get("coverage_content_type") not in CONTENTS:
        attrs["coverage_content_type"] = content
    for key in ("ancillary_variables", "cell_methods"):
        if key in attrs and not _refers(key, str(attrs[key]), known):
            del attrs[key]
    return attrs


def standard_name(given: str, units: str | None) -> str | None:
    """The standard name with its modifier, or None where the table or the units speak against it."""
    words = given.split()
    if not words or len(words) > 2 or (len(words) == 2 and words[1] not in MODIFIERS):
        return None
    unit = canonical_unit(words[0])
    if unit is None:
        return None
    entry = _table()[words[0]]
    name = entry[1:] if entry.startswith("=") else words[0]
    counted = len(words) == 2 and words[1] in ("status_flag", "number_of_observations")
    if not counted and not _convertible(units, unit):
        return None
    return " ".join([name, *words[1:]])


def canonical_unit(name: str) -> str | None:
    """The canonical unit of a standard name or alias; None for a name that is not in the table."""
    entry = _table().get(name.split()[0] if name else "")
    if entry is None:
        return None
    return _table()[entry[1:]] if entry.startswith("=") else entry or "1"


def spelled_units(units: object) -> str | None:
    """Units as udunits spells them; as they stand where it does not know them, None where there are none."""
    from cf_units import Unit

    if units is None or str(units).strip() == "":
        return None
    spelled = ALIASES.get(str(units).strip().lower(), str(units).strip())
    try:
        Unit(spelled)
    except ValueError:
        return str(units)
    return spelled


def plain(value: object) -> object:
    """An attribute in a type that every netCDF format holds."""
    if isinstance(value, bool | np.bool_):
        return np.int32(value)
    if isinstance(value, int | np.integer):
        return np.int32(value) if abs(int(value)) < 2**31 else float(value)
    if isinstance(value, np.ndarray | list | tuple):
        array = np.asarray(value)
        if array.dtype.kind == "U":
            return " ".join(map(str, array.tolist()))
        return array.astype(np.int32) if array.dtype.kind in "iub" else array
    return value


def variable_name(name: str, taken: set[str]) -> str:
    """A name of letters, digits and underscores that is not taken."""
    clean = re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_") or "reading"
    clean = clean if clean[0].isalpha() else f"v_{clean}"
    number, free = 2, clean
    while free in taken:
        free, number = f"{clean}_{number}", number + 1
    return free


def _is_sane(key: object, value: object) -> bool:
    kind = np.asarray(value).dtype.kind
    return re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", str(key)) is not None and kind in "fiubU"


def _refers(key: str, value: str, known: set[str]) -> bool:
    """Whether all that an attribute names is there."""
    if key == "ancillary_variables":
        return bool(value.split()) and set(value.split()) <= known
    over = re.findall(r"(\w+)\s*:", re.sub(r"\([^)]*\)", "", value))
    return bool(over) and all(w in known or w == "area" or w in _table() for w in over)


def _convertible(units: str | None, unit: str) -> bool:
    from cf_units import Unit

    if units is None:
        return unit == "1"
    try:
        return bool(Unit(units).is_convertible(Unit(unit)))
    except ValueError:
        return False


@cache
def _table() -> dict[str, str]:
    """Canonical unit of each standard name, or '=' and the name for an alias."""
    packed = (files("assim.data") / "standard_names.txt.gz").read_bytes()
    lines = gzip.decompress(packed).decode().splitlines()[1:]
    return {name: rest for name, _, rest in (line.partition(" ") for line in lines)}
