"""What is a reading, what is a coordinate, and which variables were asked for.

Readings are numbers along the clock. Positions (latitude, longitude, depth, height), whatever the readings name
in `coordinates`, and the axes of further dimensions are coordinates; bounds, identifiers, second clocks, grid
mappings and flags are neither. A variable that was asked for by name is a reading, whatever else it looks like.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence

import xarray as xr

from assim.data.clock import SINCE
from assim.data.decoding import is_flag
from assim.data.finding import SECONDARY

POSITIONS = {
    *("latitude", "longitude", "depth", "height", "altitude", "grid_latitude", "grid_longitude"),
    *("projection_x_coordinate", "projection_y_coordinate", "height_above_mean_sea_level"),
    *("height_above_reference_ellipsoid", "height_above_geopotential_datum"),
}
NAMES = {
    *(
        "lat",
        "latitude",
        "lon",
        "longitude",
        "long",
        "alt",
        "altitude",
        "depth",
        "height",
        "elevation",
    ),
    *("nominal_depth", "height_above_sensor", "dist_along_beams", "elev"),
}
ERRORS = ("_sd", "_uncertainty", "_standard_error", "_error")


def asked_for(ds: xr.Dataset, variables: Iterable[str]) -> list[str]:
    """The names of the variables that were asked for by name or by standard name.

    Raises:
        ValueError: a name that the dataset has not, or a variable that holds no numbers.
    """
    import cf_xarray  # noqa: F401

    standard = {str(k): [str(n) for n in v] for k, v in ds.cf.standard_names.items()}
    names = {str(n) for n in ds.variables}
    found: list[str] = []
    for wanted in dict.fromkeys([variables] if isinstance(variables, str) else variables):
        if wanted not in names and wanted not in standard:
            raise not_there(ds, wanted)
        meant = [wanted] if wanted in names else standard[wanted]
        for name in meant:
            flagged = wanted not in names and is_flag(name, ds[name].variable)
            if name not in found and not flagged:
                found.append(name)
    return found


def has(ds: xr.Dataset, variables: Iterable[str]) -> list[str]:
    """Those of the variables asked for, by name or standard name, that a dataset has."""
    standard = {
        v.attrs.get("standard_name") for v in ds.variables.values() if v.dtype.kind in "fiu"
    }
    known = {str(n) for n in ds.variables} | {str(s) for s in standard if isinstance(s, str)}
    return [name for name in variables if name in known]


def not_there(ds: xr.Dataset, name: str) -> ValueError:
    """The refusal of a name that the dataset has not, with the nearest that it has."""
    readings = sorted(str(n) for n, v in ds.variables.items() if not is_flag(str(n), v))
    standard = {
        str(v.attrs["standard_name"]) for v in ds.variables.values() if "standard_name" in v.attrs
    }
    near = _nearest(str(name), {*readings, *standard})
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else _some(readings)
    return ValueError(f"The file has no variable {name!r}: {hint}")


def numbers_only(ds: xr.Dataset, names: Iterable[str]) -> None:
    """Refuses variables without numbers.

    Raises:
        ValueError: a variable of characters or dates.
    """
    for name in names:
        if ds[name].dtype.kind not in "fiub":
            raise ValueError(
                f"'{name}' holds no numbers (its type is {ds[name].dtype}): leave it out of variables=[...]."
            )


def readings_of(ds: xr.Dataset, along: set[str], skip: set[str]) -> list[str]:
    """The sensor readings of a dataset.

    Args:
        ds: the dataset as stored.
        along: dimensions of which a reading has at least one.
        skip: names that are the clock, an index or a count.
    """
    named = {
        word
        for var in ds.variables.values()
        for key in ("coordinates", "bounds", "climatology", "grid_mapping", "formula_terms")
        for word in str(var.attrs.get(key, "")).split()
    }
    return [
        str(name)
        for name, var in ds.variables.items()
        if var.dtype.kind in "fiu"
        and along & set(map(str, var.dims))
        and str(name) not in skip | named
        and (name,) != var.dims
        and not is_position(str(name), var)
        and not _is_other(str(name), var)
        and not is_flag(str(name), var)
    ]


def coordinates_of(ds: xr.Dataset, readings: Iterable[str], skip: set[str]) -> list[str]:
    """Positions and axes that belong to the readings, numbers only."""
    readings = list(readings)
    dims = {d for name in readings for d in ds[name].dims}
    named = {w for name in readings for w in str(ds[name].attrs.get("coordinates", "")).split()}
    return [
        str(name)
        for name, var in ds.variables.items()
        if var.dtype.kind in "fiu"
        and str(name) not in {*readings, *skip}
        and not _is_other(str(name), var)
        and not is_flag(str(name), var)
        and ((name,) == var.dims and name in dims or is_position(str(name), var) or name in named)
    ]


def errors_of(ds: xr.Dataset, readings: Iterable[str]) -> dict[str, str]:
    """The variable that holds the standard error of each reading, for those that have one."""
    lower = {str(n).lower(): str(n) for n in ds.variables}
    found = {}
    for name in readings:
        listed = str(ds[name].attrs.get("ancillary_variables", "")).replace(",", " ").split()
        said = [
            n
            for n in listed
            if n in ds.variables
            and str(ds[n].attrs.get("standard_name", "")).endswith("standard_error")
        ]
        by_name = [
            lower[f"{name.lower()}{end}"] for end in ERRORS if f"{name.lower()}{end}" in lower
        ]
        for error in [*said, *by_name]:
            if ds[error].dims == ds[name].dims and ds[error].dtype.kind in "fiu":
                found[name] = error
                break
    return found


def related(ds: xr.Dataset, names: Iterable[str]) -> list[str]:
    """Variables that may flag the given ones: named by them, or with their name inside."""
    names = list(names)
    listed = {
        w
        for n in names
        for w in str(ds[n].attrs.get("ancillary_variables", "")).replace(",", " ").split()
    }
    return [
        str(n)
        for n, var in ds.variables.items()
        if n in listed or (is_flag(str(n), var) and any(name in str(n) for name in names))
    ]


def is_position(name: str, var: xr.Variable) -> bool:
    """Whether a variable says where, and not what."""
    axis = str(var.attrs.get("axis", "")).upper()
    return (
        axis in ("X", "Y", "Z")
        or str(var.attrs.get("standard_name", "")) in POSITIONS
        or name.lower() in NAMES
    )


def along_error(
    ds: xr.Dataset, names: Iterable[str], clock: str, others: Mapping[str, str | None]
) -> ValueError:
    """The refusal of variables that do not lie along the clock.

    Args:
        ds: the dataset as stored.
        names: the variables.
        clock: name of the clock.
        others: the clock of its own that each variable lies along, or None.
    """
    away = next((c for c in others.values() if c is not None), None)
    names = [n for n in names if away is None or others[n] == away]
    told = ", ".join(
        f"'{n}' ({', '.join(map(str, ds[n].dims)) or 'a single number'})" for n in names
    )
    verb = "does" if len(names) == 1 else "do"
    said = (
        f"{told} {verb} not lie along the clock '{clock}' ({', '.join(map(str, ds[clock].dims))})"
    )
    if away is None:
        return ValueError(f"{said}: leave {_it(names)} out of variables=[...].")
    return ValueError(f"{said} but along another, {away}: {_by_itself(names)}")


def along_another(names: Sequence[str], clock: str) -> str:
    """The sentence on readings that were not read, as they lie along another clock."""
    told = ", ".join(map(repr, names))
    verbs = ("lies", "was") if len(names) == 1 else ("lie", "were")
    return f"{told} {verbs[0]} along another clock, {clock}, and {verbs[1]} not read: {_by_itself(names)}"


def _by_itself(names: Sequence[str]) -> str:
    return (
        f"read {_it(names)} with variables=[{', '.join(map(repr, names))}], and put both on one clock with "
        "assim.align([...], step)."
    )


def _it(names: Sequence[str]) -> str:
    return "it" if len(names) == 1 else "them"


def _is_other(name: str, var: xr.Variable) -> bool:
    """Second clocks, bounds, counts, identifiers and grid mappings."""
    low, attrs = name.lower(), var.attrs
    return (
        SINCE.match(str(attrs.get("units", ""))) is not None
        or low in SECONDARY
        or low.endswith(("_bounds", "_bnds", "cell_index"))
        or str(attrs.get("standard_name", "")).endswith("number_of_observations")
        or any(
            k in attrs
            for k in ("cf_role", "grid_mapping_name", "sample_dimension", "instance_dimension")
        )
        or str(attrs.get("standard_name", "")) in SECONDARY | {"time"}
    )


def _nearest(wanted: str, names: set[str]) -> list[str]:
    by_lower = {n.lower(): n for n in sorted(names)}
    close = difflib.get_close_matches(wanted.lower(), by_lower, n=3, cutoff=0.5)
    inside = [n for n in by_lower if wanted.lower() in n and n not in close]
    return [by_lower[n] for n in [*close, *inside][:3]]


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return f"it has {', '.join(names[:12])}{more}."
