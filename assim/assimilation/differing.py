"""What two settings differ in, in a few words: `ETKF with size=10 in place of size=12`."""

import json
from reprlib import repr as in_short
from typing import Any


def differing(held: str | None, given: str) -> str:
    """What an earlier run was made with, and what stands in its place.

    Args:
        held: settings of the earlier run as JSON, or None where it does not tell.
        given: those of this one.
    """
    if not held:
        return f"it does not tell, and here it is {_words(json.loads(given))}"
    old, new = json.loads(held), json.loads(given)
    if not _alike(old, new):
        return f"{_named(old)} in place of {_named(new)}"
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    first, second = (", ".join(f"{n}={_words(part.get(n))}" for n in names) for part in (old, new))
    return f"{old['type']} with {first} in place of {second}"


def _alike(old: Any, new: Any) -> bool:
    """Whether both are settings of one class."""
    both = isinstance(old, dict) and isinstance(new, dict)
    return both and "type" in old and old["type"] == new.get("type")


def _named(settings: Any) -> str:
    """What is of a class by its name alone, all else in full."""
    return (
        settings["type"] if isinstance(settings, dict) and "type" in settings else _words(settings)
    )


def _words(setting: Any) -> str:
    """A setting as one writes it in Python."""
    if isinstance(setting, dict) and "type" in setting:
        inner = ", ".join(f"{k}={_words(v)}" for k, v in setting.items() if k != "type")
        return f"{setting['type']}({inner})"
    return in_short(setting)
