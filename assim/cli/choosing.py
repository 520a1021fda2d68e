"""Names and settings on the command line become a model and a method: `--model`, `--method`, `--set name=value`.

A setting goes to the model or the method by the name of its argument; `ascent.num_steps=500` reaches one floor
down. What kind of value it takes is read off the annotation: a new argument of a class is a setting at once.
"""

import dataclasses
import difflib
import re
from collections.abc import Callable, Sequence
from importlib import import_module
from inspect import Parameter, isclass, signature
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

MODELS = {
    "autoregressive": "Autoregressive",
    "persistence": "Persistence",
    "climatology": "Climatology",
    "seasonal-naive": "SeasonalNaive",
    "var": "VAR",
}
METHODS = {
    "svi": "SVI",
    "nuts": "NUTS",
    "laplace": "Laplace",
    "ensemble-map": "EnsembleMAP",
    "stein": "Stein",
    "prior": "Prior",
}
MAY_BE_NONE_AT_ALL = {"polish", "num_warmup", "patience"}
"""Whole numbers for which 0 has a meaning."""


class _OtherKind(ValueError):
    """A text that is no value of the kind that is wanted."""


def chosen(
    model: str, method: str | None, settings: Sequence[str], controls: tuple[str, ...] = ()
) -> tuple[Any, Any]:
    """The model and the method that a command line names.

    Args:
        model: one of `MODELS`.
        method: one of `METHODS`, or None for that of `infer`.
        settings: each "name=value".
        controls: variables known in advance, for models that take them.

    Raises:
        ValueError: a name that is not there (the nearest are named), a value of another kind.
    """
    family = _named(MODELS, model, "model", "assim.models")
    backend = None if method is None else _named(METHODS, method, "method", "assim.inference")
    family_takes, backend_takes = _arguments(family), {} if backend is None else _arguments(backend)
    given: dict[str, dict[str, Any]] = {"model": {}, "method": {}}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise ValueError(f"--set {setting} has no value: write --set {setting}=VALUE.")
        top = name.partition(".")[0]
        if top in family_takes:
            _put(given["model"], name, text, family_takes[top])
        elif top in backend_takes:
            _put(given["method"], name, text, backend_takes[top])
        else:
            raise _unknown(name, model, method, (*family_takes, *backend_takes))
    if controls:
        if "controls" not in family_takes:
            raise ValueError(
                f"--controls: {model} takes none; use --model autoregressive, or leave them out."
            )
        given["model"]["controls"] = controls
    return family(**given["model"]), None if backend is None else backend(**given["method"])


def _named(names: dict[str, str], wanted: str, what: str, home: str) -> Any:
    key = wanted.strip().lower().replace("_", "-")
    key = next((k for k, v in names.items() if key in (k, v.lower())), key)
    if key not in names:
        raise ValueError(f"There is no {what} '{wanted}': choose from {', '.join(names)}.")
    return getattr(import_module(home), names[key])


def _arguments(made_by: Callable) -> dict[str, Parameter]:
    """The arguments of a class with their resolved kinds; those of VAR are Autoregressive's but one."""
    if not isclass(made_by):
        return {k: v for k, v in _arguments(_result_of(made_by)).items() if k != "hidden"}
    return dict(signature(made_by, eval_str=True).parameters)


def _result_of(function: Callable) -> type:
    return get_type_hints(function)["return"]


def _put(given: dict[str, Any], name: str, text: str, argument: Parameter) -> None:
    top, _, below = name.partition(".")
    if not below:
        given[top] = _value(name, text.strip(), argument.annotation)
        return
    base = given.get(top, argument.default)
    if not dataclasses.is_dataclass(base):
        raise ValueError(f"--set {name}: '{top}' has no settings of its own.")
    takes = _arguments(type(base))
    if below not in takes:
        raise ValueError(f"--set {name}: '{top}' has the settings {', '.join(takes)}.")
    value = _value(name, text.strip(), takes[below].annotation)
    given[top] = dataclasses.replace(base, **{below: value})  # type: ignore[type-var]


def _value(name: str, text: str, kind: Any) -> Any:
    try:
        value = _read(text, kind)
    except _OtherKind as error:
        raise ValueError(f"--set {name}={text}: expected {_words(kind)}.") from error
    counts = value if isinstance(value, tuple) else (value,)
    least = 0 if name.rpartition(".")[2] in MAY_BE_NONE_AT_ALL else 1
    if any(type(count) is int and count < least for count in counts):
        raise ValueError(f"--set {name}={text}: expected {least} or more.")
    return value


def _read(text: str, kind: Any) -> Any:
    options = get_args(kind)
    if get_origin(kind) in (Union, UnionType):
        for option in sorted(options, key=lambda option: (option is str, option is not NoneType)):
            try:
                return _read(text, option)
            except _OtherKind:
                continue
        raise _OtherKind(text)
    if get_origin(kind) is tuple:
        parts = [part for part in re.split(r"[\s,]+", text.strip("()[] ")) if part]
        return tuple(_read(part, options[0]) for part in parts)
    words: dict[Any, dict[str, Any]] = {
        NoneType: {"none": None},
        bool: {"true": True, "false": False},
    }
    if kind in words:
        if text.lower() not in words[kind]:
            raise _OtherKind(text)
        return words[kind][text.lower()]
    if kind in (int, float, str):
        try:
            return kind(text)
        except ValueError as error:
            raise _OtherKind(text) from error
    return _made(text, kind)


def _made(text: str, kind: Any) -> Any:
    """An object of this package by name, as `StudentT(df=5)`; or a class, where a class is wanted."""
    parsed = re.fullmatch(r"([\w-]+)(?:\((.*)\))?", text)
    base = get_args(kind)[0] if get_origin(kind) is type else kind
    plain = "" if parsed is None else parsed[1].lower().replace("-", "")
    found = next((c for c in _subclasses(base) if c.__name__.lower() == plain), None)
    if found is None or parsed is None:
        raise _OtherKind(text)
    if get_origin(kind) is type:
        return found
    takes, values = _arguments(found), {}
    parts = [part for part in (parsed[2] or "").split(",") if part.strip()]
    if len(parts) > len(takes):
        raise ValueError(f"{found.__name__} has the settings {', '.join(takes)} and no more.")
    for part, argument in zip(parts, takes, strict=False):
        before, equals, after = part.partition("=")
        key, value = (before.strip(), after) if equals else (argument, before)
        if key not in takes:
            raise ValueError(f"{found.__name__} has no setting '{key}'; it has {', '.join(takes)}.")
        values[key] = _value(key, value.strip(), takes[key].annotation)
    lacking = [k for k, p in takes.items() if p.default is Parameter.empty and k not in values]
    if lacking:
        raise ValueError(
            f"{found.__name__} needs {', '.join(lacking)}: write {found.__name__}({lacking[0]}=VALUE)."
        )
    return found(**values)


def _subclasses(base: type) -> list[type]:
    from assim.registry import WHERE

    named = (getattr(import_module(home), name) for name, home in WHERE.items())
    return [c for c in named if isclass(c) and issubclass(c, base)]


def _words(kind: Any) -> str:
    """What a value has to be."""
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(_words(option) for option in get_args(kind))
    if get_origin(kind) is tuple:
        return "names with commas" if get_args(kind)[0] is str else "numbers with commas"
    plain = {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}
    if kind is NoneType:
        return "none"
    if kind in plain:
        return plain[kind]
    base = get_args(kind)[0] if get_origin(kind) is type else kind
    return f"one of {', '.join(c.__name__ for c in _subclasses(base))}"


def _unknown(name: str, model: str, method: str | None, known: Sequence[str]) -> ValueError:
    elsewhere = [m for m, c in METHODS.items() if name.partition(".")[0] in _of_backend(c)]
    if method is None and elsewhere:
        return ValueError(
            f"--set {name}: this is a setting of the methods {', '.join(elsewhere)}; "
            f"say which, as --method {elsewhere[0]}."
        )
    near = difflib.get_close_matches(name, known, 3, 0.5)
    meant = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)}."
    who = f"{model} has" if method is None else f"{model} and {method} have"
    return ValueError(f"--set {name}: {who} no such setting; {meant}")


def _of_backend(name: str) -> dict[str, Parameter]:
    return _arguments(getattr(import_module("assim.inference"), name))
