"""The types of options in words, and defaults as one writes them in YAML."""

import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pydantic
from pydantic.fields import FieldInfo

from reslab.cli.text import flow

UNBOUNDED = 10**9  # a limit as high as this only keeps numbers in 64 bits
DIGITS = 4
PLAIN = {bool: "true or false", str: "text", dict: "section", Any: "section"}
NUMBERS = {int: "whole number", float: "number"}


def type_in_words(kind: Any) -> str:
    """A type as a reader says it: Annotated[int, Field(ge=1)] -> whole number from 1."""
    kind, limits = _bare(kind)
    if kind in NUMBERS:
        return NUMBERS[kind] + _range(limits)
    if kind in PLAIN or (isinstance(kind, type) and issubclass(kind, pydantic.BaseModel)):
        return PLAIN.get(kind, "section")
    return FORMS[get_origin(kind)](get_args(kind), limits)


def _bare(kind: Any) -> tuple[Any, dict[str, Any]]:
    """A type without its annotations, and the limits that these set: ge, gt, le, lt, min_length, max_length."""
    limits: dict[str, Any] = {}
    while get_origin(kind) is Annotated:
        kind, *notes = get_args(kind)
        parts = [part for note in notes for part in (note.metadata if isinstance(note, FieldInfo) else [note])]
        limits = {name: value for part in parts for name, value in _limits(part).items()} | limits
    return kind, limits


def _limits(part: Any) -> dict[str, Any]:
    names = ("ge", "gt", "le", "lt", "min_length", "max_length")
    return {name: getattr(part, name) for name in names if getattr(part, name, None) is not None}


def _range(limits: Mapping[str, Any]) -> str:
    low = next((f" {word} {limits[name]:,g}" for name, word in (("ge", "from"), ("gt", "above")) if name in limits), "")
    if "lt" in limits:
        return f"{low}, below {limits['lt']:,g}"
    if "le" not in limits or limits["le"] >= UNBOUNDED:
        return low
    joint = " to" if "ge" in limits else ", at most"
    return f"{low}{joint} {limits['le']:,g}"


def _choices(values: Sequence[Any], limits: Mapping[str, Any]) -> str:
    return _either([f"`{value}`" for value in values])


def _either(parts: Sequence[str]) -> str:
    """a, b or c"""
    last = ", or " if any("," in part for part in parts) else " or "
    return last.join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def _union(kinds: Sequence[Any], limits: Mapping[str, Any]) -> str:
    return _either([type_in_words(kind) for kind in kinds if kind is not types.NoneType])


def _list(kinds: Sequence[Any], limits: Mapping[str, Any]) -> str:
    kind, of_each = _bare(kinds[0])
    simple = f"{NUMBERS[kind]}s{_range(of_each)}" if kind in NUMBERS else "texts" if kind is str else None
    each = simple or f"entries, each {type_in_words(kinds[0])}"
    least, most = limits.get("min_length"), limits.get("max_length")
    if least == most is not None:
        return f"list of {least} {each}"
    return f"list of {each}" if most is None else f"list of {least} to {most} {each}"


def _mapping(kinds: Sequence[Any], limits: Mapping[str, Any]) -> str:
    return "section"


FORMS: dict[Any, Callable[[Sequence[Any], Mapping[str, Any]], str]] = {
    Literal: _choices,
    Union: _union,
    types.UnionType: _union,
    list: _list,
    Sequence: _list,
    tuple: _list,
    dict: _mapping,
}


def default_in_yaml(value: Any) -> str:
    """A default as params.yaml would have it; numbers to four digits."""
    if isinstance(value, float):
        value = float(f"{value:.{DIGITS}g}")
    elif isinstance(value, Iterable) and not isinstance(value, str | Mapping):
        return "[" + ", ".join(map(default_in_yaml, value)) + "]"
    return flow(value) if value != "" else '""'
