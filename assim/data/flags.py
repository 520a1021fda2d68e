"""What a quality flag says of a reading: bad, suspect, not checked, or nothing against it.

One function for each scheme in use. Each takes the stored flags and gives `Marks`, or None where the scheme is
not the one in hand:

- `listed`: CF's `flag_values`, `flag_masks` (or both) with `flag_meanings`, graded by the words of each meaning;
- `assessed`: ARM's `bit_N_assessment` and `flag_N_assessment`, on the flag variable or, in older files, global;
- `mentored`: ARM's standard Mentor QC, whose bits are explained in one global text;
- `tabled`: digits or characters by a published table, named in an attribute: QARTOD, or that of Argo, IMOS and
  OceanSITES (a single character is Argo's);
- `tested`: OOI's pairs, which test was run and which was passed.

Words decide in this order: bad (bad, probably bad, fail, missing, reject, ...), suspect (suspect, questionable,
indeterminate, ...), not checked (not evaluated, no QC performed, ...), good. So 3 of Argo and IMOS ("probably bad",
"bad, potentially correctable") is bad, and 0, 1, 2, 5 and 8 are kept; 3 of QARTOD is suspect; ARM's Bad is bad and
its Indeterminate is suspect. What no word grades counts as good.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

BAD = {
    *(
        "bad",
        "fail",
        "fails",
        "failed",
        "failure",
        "missing",
        "reject",
        "rejected",
        "invalid",
        "incorrect",
    ),
    *("erroneous", "error", "wrong", "discard", "discarded", "unusable", "fatal", "unacceptable"),
}
SUSPECT = {
    *("suspect", "suspicious", "suspected", "questionable", "doubtful", "dubious", "indeterminate"),
    *("caution", "warn", "warning", "marginal", "interest", "uncertain"),
}
GOOD = {
    *("good", "pass", "passed", "ok", "okay", "valid", "acceptable", "accepted", "best", "correct"),
    *("suitable", "changed", "interpolated", "usable", "nominal"),
}
UNCHECKED = {"evaluated", "performed", "checked", "tested", "assessed", "applied", "known", "qc"}
LIMITS = re.compile(r"(valid|fail)_(min|max)|out_?of_?range|outside")
NONE = -(2**40)
"""Stands for a flag that is not there."""
ARGO = {"bad": {3, 4, 9}, "suspect": set[int](), "unchecked": {0}}
QARTOD = {"bad": {4, 9}, "suspect": {3}, "unchecked": {2}}
MENTOR = {1: "bad", 2: "bad", 3: "bad", 4: "suspect"}


@dataclass(frozen=True)
class Marks:
    """What the flags of one variable say of each reading, as booleans.

    Args:
        bad: not to be used.
        suspect: to be used with care.
        unchecked: nobody looked.
    """

    bad: xr.Variable
    suspect: xr.Variable
    unchecked: xr.Variable


def read_flags(flag: xr.Variable, of_file: Mapping[str, Any]) -> Marks | None:
    """The marks of a flag variable, by the first scheme that fits.

    Args:
        flag: the flags as stored: integers, floats, or single characters; lazy or not.
        of_file: the global attributes of the file.

    Returns:
        Booleans of the shape of `flag`, or None where no scheme can be read.
    """
    numbers = as_integers(flag)
    for scheme in (listed, assessed, mentored, tabled):
        marks = scheme(numbers, flag, of_file)
        if marks is not None:
            return marks
    return None


def listed(numbers: xr.Variable, flag: xr.Variable, of_file: Mapping[str, Any]) -> Marks | None:
    """CF 3.5: values, masks or both, each with a meaning."""
    attrs = flag.attrs
    said = attrs.get("flag_assessments", attrs.get("flag_meanings"))
    grades = [grade(word) for word in _words(said)]
    values, masks = _numbers(attrs.get("flag_values")), _numbers(attrs.get("flag_masks"))
    if not any(grades) or (not values and not masks):
        return None
    if any(given and len(given) != len(grades) for given in (values, masks)):
        return None
    there = numbers != NONE
    hits = []
    for i, named in enumerate(grades):
        if not masks:
            hits.append((named, numbers == values[i]))
        elif not values:
            hits.append((named, there & ((numbers & masks[i]) != 0)))
        else:
            hits.append((named, there & ((numbers & masks[i]) == values[i])))
    return _gathered(numbers, hits)


def assessed(numbers: xr.Variable, flag: xr.Variable, of_file: Mapping[str, Any]) -> Marks | None:
    """ARM: bit N - 1, or the integer N, has an assessment of its own."""
    own = any(k in flag.attrs for k in ("flag_values", "flag_masks")) or flag.dtype.kind in "SUO"
    for attrs in (flag.attrs, {} if own else of_file):
        bits, values = _assessments(attrs, "bit"), _assessments(attrs, "flag")
        if bits or values:
            there = (numbers != NONE) & (numbers >= 0)
            hits = [(g, there & ((numbers & (1 << (n - 1))) != 0)) for n, g in bits.items()]
            return _gathered(numbers, [*hits, *((g, numbers == n) for n, g in values.items())])
    return None


def mentored(numbers: xr.Variable, flag: xr.Variable, of_file: Mapping[str, Any]) -> Marks | None:
    """ARM before 2010: missing, below, above, and the delta check."""
    if "mentor" not in str(of_file.get("qc_method", "")).lower() or flag.dtype.kind not in "iu":
        return None
    there = (numbers != NONE) & (numbers >= 0)
    return _gathered(
        numbers, [(g, there & ((numbers & (1 << (n - 1))) != 0)) for n, g in MENTOR.items()]
    )


def tabled(numbers: xr.Variable, flag: xr.Variable, of_file: Mapping[str, Any]) -> Marks | None:
    """Digits by a table that an attribute names; characters are Argo's."""
    said = " ".join(str(v).lower() for k, v in flag.attrs.items() if k != "comment")
    if "qartod" in said:
        table = QARTOD
    elif flag.dtype.kind in "SUO" or any(w in said for w in ("argo", "imos", "oceansites")):
        table = ARGO
    else:
        return None
    hits = [(named, numbers == n) for named, members in table.items() for n in members]
    return _gathered(numbers, hits)


def tested(executed: xr.Variable, results: xr.Variable) -> Marks:
    """OOI: a test that ran (its bit in `executed`) and was not passed (its bit in `results`) is bad."""
    ran, passed = as_integers(executed), as_integers(results)
    known = (ran != NONE) & (passed != NONE)
    return _gathered(ran, [("bad", known & ((ran & ~passed) != 0)), ("unchecked", ran == 0)])


def grade(meaning: str) -> str:
    """What the words of a meaning say: 'bad', 'suspect', 'unchecked', 'good' or ''."""
    if LIMITS.search(meaning.lower()):
        return "bad"
    words = re.findall(r"[a-z]+", meaning.lower())
    if "delta" in words:
        return "suspect"
    found = set()
    for before, word in zip(["", *words], words, strict=False):
        negated = before in ("not", "no", "non", "without")
        if word in UNCHECKED and negated or word in ("unknown", "unchecked", "untested"):
            found.add("unchecked")
        elif word in BAD | SUSPECT:
            found.add("good" if negated else "bad" if word in BAD else "suspect")
        elif word in GOOD:
            found.add("bad" if negated else "good")
    return next((g for g in ("bad", "suspect", "unchecked", "good") if g in found), "")


def as_integers(flag: xr.Variable) -> xr.Variable:
    """Flags as int64: a digit is its number, another character its code, a blank Argo's 9 (missing)."""
    if flag.dtype.kind in "SUO":
        return xr.apply_ufunc(_codes, flag, dask="parallelized", output_dtypes=[np.int64])
    if flag.dtype.kind == "f":
        flag = flag.where(abs(flag) < 2**62, NONE)
    elif str(flag.attrs.get("_Unsigned", "")).lower() == "true" and flag.dtype.kind == "i":
        flag = flag.astype(f"u{flag.dtype.itemsize}")
    numbers = flag.astype(np.int64)
    wordless = "flag_values" not in flag.attrs
    for fill in _numbers(flag.attrs.get("_FillValue")) if wordless else []:
        numbers = numbers.where(numbers != fill, NONE).astype(np.int64)
    return numbers


def _codes(characters: np.ndarray) -> np.ndarray:
    known = {c: _code(c) for c in set(np.ravel(characters).tolist())}
    flat = [known[c] for c in np.ravel(characters).tolist()]
    return np.array(flat, np.int64).reshape(characters.shape)


def _code(character: Any) -> int:
    text = character.decode("latin1") if isinstance(character, bytes) else str(character)
    text = text.strip("\x00 ")
    if not text:
        return 9
    return int(text) if text.isdecimal() else ord(text[0])


def _numbers(given: Any) -> list[int]:
    """Numbers of an attribute: an array, one number, or text such as '0, 1, 2' or '0b 1b'."""
    if given is None:
        return []
    parts = (
        re.split(r"[\s,]+", given.strip()) if isinstance(given, str) else np.ravel(given).tolist()
    )
    try:
        return [_numbered(part) for part in parts]
    except (TypeError, ValueError, OverflowError):
        return []


def _numbered(part: Any) -> int:
    return _code(re.sub(r"(?<=\d)[bBsSlL]$", "", part)) if isinstance(part, str) else int(part)


def _words(given: Any) -> list[str]:
    if given is None:
        return []
    if not isinstance(given, str):
        return [str(v) for v in np.ravel(given).tolist()]
    return re.split(r"\s*,\s*", given.strip()) if "," in given else given.split()


def _assessments(attrs: Mapping[str, Any], kind: str) -> dict[int, str]:
    """The grade of each bit or value, from its assessment, else from the words of its description."""
    grades: dict[int, str] = {}
    for ending in ("description", "assessment"):
        for name, value in attrs.items():
            at = re.fullmatch(rf"(?:qc_)?{kind}_(\d+)_{ending}", str(name))
            number = int(at[1]) if at else 0
            if at and (kind == "flag" or 1 <= number <= 32) and grade(str(value)):
                grades[number] = grade(str(value))
    return grades


def _gathered(numbers: xr.Variable, hits: Iterable[tuple[str, xr.Variable]]) -> Marks:
    """The union of the hits of each grade; what is bad is not suspect too."""
    marks = {named: numbers != numbers for named in ("bad", "suspect", "unchecked")}
    for named, hit in hits:
        if named in marks:
            marks[named] = marks[named] | hit
    return Marks(marks["bad"], marks["suspect"] & ~marks["bad"], marks["unchecked"] & ~marks["bad"])
