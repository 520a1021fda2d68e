"""Where results come from: settings, versions, key, fingerprint of the data."""

from __future__ import annotations

import json

import xarray as xr

from assim.report.pages import facts, heading

SHOWN = (
    "model",
    "method",
    "pool",
    "filter",
    "assimilated",
    "update",
    "likelihood",
    "horizon",
    "num_draws",
    "key",
    "data_fingerprint",
    "created",
    "assim_version",
    "schema",
    "versions",
)


def provenance(name: str, tree: xr.DataTree) -> str:
    """Write the root attributes of a tree that say how it was made, as HTML."""
    rows = [
        (key.replace("_", " "), settings_words(tree.attrs[key]))
        for key in SHOWN
        if key in tree.attrs
    ]
    return heading(name) + facts(rows) if rows else ""


def short_name(settings: object) -> str:
    """Take the name out of a JSON record of settings, "–" where there is none."""
    try:
        held = json.loads(str(settings))
    except ValueError:
        return str(settings) if settings else "–"
    if isinstance(held, dict):
        return str(held.get("type", held.get("name", "–")))
    return str(held)


def settings_words(value: object) -> str:
    """Write JSON settings as "name = value, ..."."""
    try:
        held = json.loads(str(value))
    except ValueError:
        return str(value)
    return _words(held)


def _words(held: object) -> str:
    """Write nested settings in one line."""
    if isinstance(held, dict):
        inner = {key: value for key, value in held.items() if key not in ("type", "name")}
        name = held.get("type", held.get("name"))
        listed = ", ".join(f"{key} = {_words(value)}" for key, value in inner.items())
        return listed if name is None else f"{name}({listed})"
    if isinstance(held, list):
        return f"[{', '.join(_words(value) for value in held)}]"
    return str(held)
