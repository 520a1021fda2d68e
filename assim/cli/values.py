"""Text on the command line becomes the value that an argument takes: its annotation tells which."""

import dataclasses
import re
from collections.abc import Callable, Iterable
from importlib import import_module
from inspect import Parameter, isclass, signature
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

LEAST = {
    **dict.fromkeys(("polish", "num_warmup", "patience"), 0),
    **dict.fromkeys(("layers", "patterns", "memory"), 0),
    "size": 2,
}
"""Whole numbers that need not be 1 or more: 0 has a meaning, or 1 has none."""
OPEN = (Any, object)
"""Kinds that tell nothing."""
SEVERAL = (tuple, Iterable)


class _OtherKind(ValueError):
    """A text that is no value of the kind that is wanted."""


def arguments(made_by: Callable) -> dict[str, Parameter]:
    """The arguments of a class with their resolved kinds; those of VAR are Autoregressive's but one.

    One that takes anything, which a converter makes of one kind, is of the kind of its field.
    """
    if not isclass(made_by):
        return {k: v for k, v in arguments(_result_of(made_by)).items() if k != "hidden"}
    takes = signature(made_by, eval_str=True).parameters
    fields = get_type_hints(made_by) if any(p.annotation in OPEN for p in takes.values()) else {}
    return {
        k: p.replace(annotation=fields[k]) if p.annotation in OPEN else p for k, p in takes.items()
    }


def span(text: str) -> str | int:
    """A duration as it is typed, or a number of steps where that is all there is."""
    return int(text) if text.isdigit() else text


def lacking(made_by: Callable, given: dict[str, Any]) -> list[str]:
    """The arguments without a default that are not given."""
    takes = arguments(made_by)
    return [k for k, p in takes.items() if p.default is Parameter.empty and k not in given]


def put(given: dict[str, Any], name: str, text: str, argument: Parameter) -> None:
    """Put the value of a setting among those given; "ascent.num_steps" reaches one floor down.

    Args:
        given: values so far.
        name: of the setting.
        text: as typed.
        argument: what takes it.

    Raises:
        ValueError: a value of another kind, a setting that is not there.
    """
    top, _, below = name.partition(".")
    if not below:
        given[top] = _value(name, text.strip(), argument.annotation)
        return
    base = given.get(top, argument.default)
    if not dataclasses.is_dataclass(base):
        raise ValueError(f"--set {name}: '{top}' has no settings of its own.")
    takes = arguments(type(base))
    if below not in takes:
        raise ValueError(f"--set {name}: '{top}' has the settings {', '.join(takes)}.")
    value = _value(name, text.strip(), takes[below].annotation)
    given[top] = dataclasses.replace(base, **{below: value})  # type: ignore[type-var]


def _result_of(function: Callable) -> type:
    return get_type_hints(function)["return"]


def _value(name: str, text: str, kind: Any) -> Any:
    try:
        value = _read(text, kind)
    except _OtherKind as error:
        raise ValueError(f"--set {name}={text}: expected {_words(kind)}.") from error
    counts = value if isinstance(value, tuple) else (value,)
    least = LEAST.get(name.rpartition(".")[2], 1)
    if any(type(count) is int and count < least for count in counts):
        raise ValueError(f"--set {name}={text}: expected {least} or more.")
    return value


def _read(text: str, kind: Any) -> Any:
    options = get_args(kind)
    if get_origin(kind) in (Union, UnionType):
        for option in sorted(options, key=_rank):
            try:
                return _read(text, option)
            except _OtherKind:
                continue
        raise _OtherKind(text)
    if get_origin(kind) in SEVERAL:
        parts = _parts(text)
        if get_origin(kind) is tuple and ... not in options and len(parts) != len(options):
            raise _OtherKind(text)
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
    if _is_array(kind):
        return _array(text, kind)
    return _made(text, kind)


def _rank(option: Any) -> tuple[bool, bool, bool]:
    """Which kind is tried first: none, then numbers and names of this package, arrays, words."""
    return option is str, _is_array(option), option is not NoneType


def _parts(text: str) -> list[str]:
    return [part for part in re.split(r"[\s,]+", text.strip("()[] ")) if part]


def _outer_parts(text: str) -> list[str]:
    """The text at its commas, but not at those in brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part for part in parts if part.strip()]


def _is_array(kind: Any) -> bool:
    from jaxtyping import AbstractArray

    return isclass(kind) and issubclass(kind, AbstractArray)


def _array(text: str, kind: Any) -> Any:
    """A number, or numbers along one axis; matrices are for Python."""
    import jax.numpy as jnp

    numbers = [_read(part, float) for part in _parts(text)]
    if not numbers or len(kind.dim_str.split()) != 1:
        raise _OtherKind(text)
    return jnp.asarray(numbers)


def _made(text: str, kind: Any) -> Any:
    """An object of this package by name, as `StudentT(df=5)`; or a class, where a class is wanted.

    The word of its module may stand before it, as in Python: `errors.Given(0.1)`.
    """
    parsed = re.fullmatch(r"(?:\w+\.)?([\w-]+)(?:\((.*)\))?", text)
    base = get_args(kind)[0] if get_origin(kind) is type else kind
    plain = "" if parsed is None else parsed[1].lower().replace("-", "")
    found = next((c for c in _subclasses(base) if c.__name__.lower() == plain), None)
    if found is None or parsed is None:
        raise _OtherKind(text)
    if get_origin(kind) is type:
        return found
    takes, values = arguments(found), {}
    parts = _outer_parts(parsed[2] or "")
    many = next((p for p in takes.values() if p.kind is Parameter.VAR_POSITIONAL), None)
    if many is not None:
        return found(*(_value(many.name, part.strip(), many.annotation) for part in parts))
    only = next(iter(takes.values())) if len(takes) == 1 else None
    if only is not None and get_origin(only.annotation) is tuple and "=" not in (parsed[2] or ""):
        parts = [parsed[2]] if parsed[2] else []  # all of it is one tuple
    if len(parts) > len(takes):
        raise ValueError(f"{found.__name__} has the settings {', '.join(takes)} and no more.")
    for part, argument in zip(parts, takes, strict=False):
        before, equals, after = part.partition("=")
        key, value = (before.strip(), after) if equals else (argument, before)
        if key not in takes:
            raise ValueError(f"{found.__name__} has no setting '{key}'; it has {', '.join(takes)}.")
        values[key] = _value(key, value.strip(), takes[key].annotation)
    absent = lacking(found, values)
    if absent:
        raise ValueError(
            f"{found.__name__} needs {', '.join(absent)}: write {found.__name__}({absent[0]}=VALUE)."
        )
    return found(**values)


def _subclasses(base: type) -> list[type]:
    from assim.registry import WHERE, WITHIN

    if not isclass(base):
        return []
    homes = (WHERE | WITHIN).items()
    named = (getattr(import_module(home), name.rpartition(".")[2]) for name, home in homes)
    return [c for c in named if isclass(c) and issubclass(c, base)]


def _words(kind: Any) -> str:
    """What a value has to be."""
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(dict.fromkeys(_words(option) for option in get_args(kind)))
    if get_origin(kind) in SEVERAL:
        of, *more = get_args(kind)
        count = f"{1 + len(more)} " if more and more[-1] is not ... else ""
        return f"{count}{ {str: 'names', bool: 'both'}.get(of, 'numbers') } with commas"
    plain = {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}
    if kind is NoneType:
        return "none"
    if kind in plain:
        return plain[kind]
    if _is_array(kind):
        return "numbers with commas" if kind.dim_str else "a number"
    base = get_args(kind)[0] if get_origin(kind) is type else kind
    names = ", ".join(c.__name__ for c in _subclasses(base))
    return f"one of {names}" if names else "what Python alone can give"
