"""Units: a short table of what people write, then udunits, then the string as it stands and a warning.

The table comes first because udunits reads some common spellings as something else: `C` is coulomb, `F` farad,
`mb` millibarn. All conversions are linear, `target = scale * source + offset`, so that arrays, lazy or not, are
only multiplied and added; the error of a reading has no offset.
"""

import warnings
from functools import cache
from typing import Any

ALIASES = {
    "c": "degC",
    "ºc": "degC",
    "°c": "degC",
    "deg_c": "degC",
    "deg c": "degC",
    "celsius_scale": "degC",
    "degrees_c": "degC",
    "f": "degF",
    "°f": "degF",
    "ºf": "degF",
    "deg_f": "degF",
    "deg": "degree",
    "°": "degree",
    "degt": "degree",
    "degreet": "degree",
    "degree_t": "degree",
    "degree_true": "degree",
    "degrees_true": "degree",
    "degrees_n": "degrees_north",
    "degrees_e": "degrees_east",
    "psu": "1",
    "pss-78": "1",
    "pss78": "1",
    "unitless": "1",
    "dimensionless": "1",
    "none": "1",
    "fraction": "1",
    "code": "1",
    "count": "1",
    "counts": "1",
    "-": "1",
    "": "1",
    "pct": "percent",
    "per cent": "percent",
    "w/m^2": "W m-2",
    "w/m2": "W m-2",
    "wm-2": "W m-2",
    "gpm": "m",
    "m msl": "m",
    "mb": "millibar",
    "mbar": "millibar",
    "kts": "knot",
    "kt": "knot",
}


def canonical(units: str) -> str:
    """The spelling that udunits understands; a unit that it does not know is kept, with a warning.

    Args:
        units: what the file says.

    Returns:
        A spelling for udunits, or `units` itself.
    """
    spelled = _spelled(units)
    if _parsed(spelled) is None:
        warnings.warn(
            f"The units {units!r} are not known to udunits; they are kept as they stand.",
            UserWarning,
            stacklevel=2,
        )
        return units
    return spelled


def convert(values: Any, source: str, target: str) -> Any:
    """Readings in other units.

    Args:
        values: numbers, an array or a lazy DataArray of any shape, in `source`.
        source: units that the values are in.
        target: units that they shall be in.

    Returns:
        The values in `target`; the same object where nothing is to be done.

    Raises:
        ValueError: units that are not known or measure different things.
    """
    scale, offset = _line(source, target)
    return values if (scale, offset) == (1.0, 0.0) else values * scale + offset


def convert_difference(values: Any, source: str, target: str) -> Any:
    """Differences and standard errors in other units: the scale without the offset.

    Args:
        values: numbers, an array or a lazy DataArray of any shape, in `source`.
        source: units that the values are in.
        target: units that they shall be in.

    Returns:
        The values in `target`.

    Raises:
        ValueError: units that are not known or measure different things.
    """
    scale, _ = _line(source, target)
    return values if scale == 1.0 else values * scale


def warn_of_none(name: str, wanted: str, *, stacklevel: int) -> None:
    """Say that a variable without units is taken in those that are wanted.

    Args:
        name: of the variable.
        wanted: units of the fit.
        stacklevel: calls from here to the user's, as in `warnings.warn`.
    """
    warnings.warn(
        f"'{name}' tells no units: it is taken in those of the fit, {wanted}.",
        UserWarning,
        stacklevel=stacklevel + 1,
    )


def agree(first: str, second: str) -> bool:
    """Whether two spellings mean the same unit."""
    if first == second or _spelled(first) == _spelled(second):
        return True
    a, b = _parsed(_spelled(first)), _parsed(_spelled(second))
    return a is not None and b is not None and a == b


@cache
def _line(source: str, target: str) -> tuple[float, float]:
    """Scale and offset from one unit to another."""
    if agree(source, target):
        return 1.0, 0.0
    a, b = _parsed(_spelled(source)), _parsed(_spelled(target))
    for unit, name in ((a, source), (b, target)):
        if unit is None:
            raise ValueError(
                f"Units cannot be converted from {source!r} to {target!r}: udunits does not know {name!r}; "
                "set the attribute 'units' to a unit that it knows."
            )
    try:
        at = [float(a.convert(x, b)) for x in (0.0, 1.0, 2.0)]
    except ValueError as error:
        raise ValueError(
            f"Units cannot be converted from {source!r} to {target!r}: they measure different things; "
            "correct the attribute 'units', or read the variables apart."
        ) from error
    scale, offset = at[1] - at[0], at[0]
    if abs(at[2] - offset - 2 * scale) > 1e-9 * max(abs(at[2]), abs(scale)):
        raise ValueError(
            f"Units cannot be converted from {source!r} to {target!r}: the relation is not linear; "
            "convert one of the two before reading."
        )
    return scale, offset


def _spelled(units: str) -> str:
    stripped = str(units).strip()
    return ALIASES.get(stripped.lower(), stripped)


@cache
def _parsed(units: str) -> Any:
    """The unit as cf-units has it, or None."""
    import cf_units

    try:
        unit = cf_units.Unit(units)
    except ValueError:
        return None
    return None if unit.is_unknown() or unit.is_no_unit() else unit
