"""From quality flags to missing readings: bad becomes NaN, suspect is kept or dropped by choice, both are counted.

Flags are read as they are stored. A variable's flags are those that its `ancillary_variables` name; where it names
none, those called after it (`X_qc`, `qc_X`, `X_quality_control`, ...). Several flags on one variable add up. A flag
speaks of its own variable alone: no row is dropped because another variable is flagged. What counts as bad and as
suspect stands in `assim.data.flags`.
"""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from assim.data.decoding import is_flag
from assim.data.flags import Marks, read_flags, tested

CHOICES = ("bad", "suspect", "none")
ENDINGS = (
    *("_quality_control", "_qc", "_qc_agg", "_qartod_results", "_primary_flag", "_quality_flag"),
    *("_flag", "_flags", "_quality", "_qf"),
)
BEGINNINGS = ("qc_", "aqc_", "flag_")
EXECUTED, RESULTS = "_qc_executed", "_qc_results"
ALWAYS = (EXECUTED, RESULTS, "_qc_agg", "_qartod_results")
"""Endings that only flags have."""


def screen(ds: xr.Dataset, raw: xr.Dataset, qc: str | Mapping[str, str] = "bad") -> xr.Dataset:
    """The readings that their quality flags let through.

    Args:
        ds: decoded readings, file units, NaN where missing; lazy or not. Flags among them are left out, unless they
            were decoded as readings, that is, to floats.
        raw: the same dataset as stored, its flags on the same dimensions.
        qc: what becomes NaN: "bad", "suspect" (bad as well) or "none"; or a mapping from variable to one of
            these, where variables that are not named take "bad".

    Returns:
        The readings without the flags. Each variable in memory has `n_bad` and `n_suspect`, the numbers of readings
        in the file that are flagged so; what was flagged is told in `attrs["repairs"]`.

    Raises:
        ValueError: another choice of `qc`, or one for a variable that is not there.
    """
    _refuse_other_choices(qc, ds, raw)
    readings = [
        str(n)
        for n, v in ds.data_vars.items()
        if v.dtype.kind == "f" or not is_flag_of(str(n), raw)
    ]
    screened, said, unread = {}, [], []
    for name in readings:
        da, linked = ds[name], flags_of(raw, name)
        choice = qc if isinstance(qc, str) else qc.get(name, "bad")
        marks, strange = _marks_of(raw, linked, da.variable)
        unread += [(name, flag) for flag in strange]
        attrs = _without_links(da.attrs, linked)
        if marks is not None and choice != "none":
            dropped = marks.bad | marks.suspect if choice == "suspect" else marks.bad
            if dropped.chunks is not None or bool(dropped.any()):
                da = da.copy(data=da.variable.where(~dropped).transpose(*da.dims).data)
        if da.chunks is None:
            counts, size = _counts(marks, raw, name)
            attrs |= {"n_bad": counts["bad"], "n_suspect": counts["suspect"]}
            said += _sentences(name, counts, size, choice)
        elif marks is not None and choice != "none":
            said.append(
                f"Readings of '{name}' that are flagged {_dropped(choice)} become missing when read."
            )
        screened[name] = da.drop_attrs(deep=False).assign_attrs(attrs)
    kept = ds[readings].assign(screened)
    told = "\n".join(filter(None, [str(ds.attrs.get("repairs", "")), *said, *_said_unread(unread)]))
    return kept.assign_attrs(repairs=told) if told else kept


def flags_of(raw: xr.Dataset, name: str) -> list[str]:
    """The flag variables of a variable: those that it names, else those called after it."""
    if name not in raw.variables:
        return []
    listed = str(raw[name].attrs.get("ancillary_variables", "")).replace(",", " ").split()
    named = [n for n in listed if n in raw.variables and is_flag_of(n, raw)]
    if named:
        return named
    lower = {str(n).lower(): str(n) for n in raw.variables}
    low = name.lower()
    likely = [*(low + e for e in ENDINGS), *(b + low for b in BEGINNINGS), low + EXECUTED]
    return [lower[n] for n in likely if n in lower and is_flag_of(lower[n], raw)]


def is_flag_of(name: str, raw: xr.Dataset) -> bool:
    """Whether a variable of the file is a flag; the halves of OOI's pairs are."""
    if name not in raw.variables:
        return False
    return name.lower().endswith(ALWAYS) or is_flag(name, raw[name].variable)


def _marks_of(
    raw: xr.Dataset, linked: list[str], reading: xr.Variable
) -> tuple[Marks | None, list[str]]:
    """What all flags of a reading say together, and the flags that no scheme reads."""
    found, strange = [], []
    for flag in linked:
        marks, at = None, flag.lower().find(EXECUTED)
        partner = flag[:at] + RESULTS
        if at >= 0 and partner in raw.variables:
            marks = tested(raw[flag].variable, raw[partner].variable)
        elif at < 0 and not flag.lower().endswith(RESULTS):
            marks = read_flags(raw[flag].variable, raw.attrs)
        fitted = None if marks is None else _fitted(marks, reading)
        if fitted is not None:
            found.append(fitted)
        elif not flag.lower().endswith(RESULTS):
            strange.append(flag)
    if not found:
        return None, strange
    bad, suspect, unchecked = found[0].bad, found[0].suspect, found[0].unchecked
    for more in found[1:]:
        bad, suspect, unchecked = bad | more.bad, suspect | more.suspect, unchecked & more.unchecked
    return Marks(bad, suspect & ~bad, unchecked & ~bad & ~suspect), strange


def _fitted(marks: Marks, reading: xr.Variable) -> Marks | None:
    """Marks spread over the dimensions of a reading; None where they do not fit on them."""
    sizes = marks.bad.sizes
    extra = [d for d in sizes if d not in reading.dims]
    if any(sizes[d] != 1 for d in extra) or any(
        sizes[d] != reading.sizes[d] for d in sizes if d not in extra
    ):
        return None
    whole = dict(reading.sizes)
    parts = (m.squeeze(extra) for m in (marks.bad, marks.suspect, marks.unchecked))
    return Marks(*(part.set_dims(whole) for part in parts))


def _counts(marks: Marks | None, raw: xr.Dataset, name: str) -> tuple[dict[str, int], int]:
    """How many readings in the file have each mark, and how many readings there are."""
    if marks is None:
        return {"bad": 0, "suspect": 0, "unchecked": 0}, 0
    there = _there(raw[name].variable)
    counts = {
        "bad": int((marks.bad & there).sum()),
        "suspect": int((marks.suspect & there).sum()),
        "unchecked": int((marks.unchecked & there).sum()),
    }
    return counts, int(there.sum())


def _there(stored: xr.Variable) -> xr.Variable:
    """Where the file holds a number that is no fill value."""
    there = stored.notnull()
    for key in ("_FillValue", "missing_value"):
        for fill in np.ravel(stored.attrs.get(key, [])):
            if np.asarray(fill).dtype.kind in "fiu":
                there = there & (stored != np.asarray(fill).astype(stored.dtype))
    return there


def _sentences(name: str, counts: dict[str, int], size: int, choice: str) -> list[str]:
    said = []
    if counts["bad"]:
        fate = "are kept" if choice == "none" else "count as missing"
        said.append(
            f"{counts['bad']} of {size} readings of '{name}' are flagged bad and {fate} (qc='{choice}')."
        )
    if counts["suspect"]:
        fate = "count as missing" if choice == "suspect" else "are kept"
        said.append(
            f"{counts['suspect']} of {size} readings of '{name}' are flagged suspect and {fate} "
            f"(qc='{choice}')."
        )
    if counts["unchecked"]:
        said.append(
            f"{counts['unchecked']} of {size} readings of '{name}' had no quality control and are kept."
        )
    return said


def _said_unread(unread: list[tuple[str, str]]) -> list[str]:
    if not unread:
        return []
    flags = sorted({flag for _, flag in unread})
    some = ", ".join(flags[:5]) + (f" and {len(flags) - 5} more" if len(flags) > 5 else "")
    return [
        f"The flags {some} follow no scheme that can be read (no flag_values, flag_masks or assessments of bits): "
        "nothing was masked by them."
    ]


def _without_links(attrs: Mapping, linked: list[str]) -> dict:
    """The attributes of a reading, without a mention of flags that are gone."""
    kept = dict(attrs)
    if "ancillary_variables" in kept:
        names = str(kept.pop("ancillary_variables")).replace(",", " ").split()
        rest = [n for n in names if n not in linked]
        kept |= {"ancillary_variables": " ".join(rest)} if rest else {}
    return kept


def _dropped(choice: str) -> str:
    return "bad or suspect" if choice == "suspect" else "bad"


def _refuse_other_choices(qc: str | Mapping[str, str], ds: xr.Dataset, raw: xr.Dataset) -> None:
    listed = ", ".join(map(repr, CHOICES))
    if not isinstance(qc, str | Mapping):
        raise ValueError(
            f"qc={qc!r} must be one of {listed}, or a mapping from variable to one of them."
        )
    for name, choice in {"": qc}.items() if isinstance(qc, str) else qc.items():
        where = f"qc['{name}']" if name else "qc"
        if choice not in CHOICES:
            raise ValueError(
                f"{where}={choice!r} must be one of {listed}, or a mapping from variable to one of them."
            )
        if name and name not in ds.variables and name not in raw.variables:
            raise ValueError(
                f"qc names '{name}', which is not in the file; it has {', '.join(map(str, ds.data_vars))}."
            )
