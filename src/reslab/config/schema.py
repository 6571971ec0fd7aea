"""Checking what a user typed against a type or a function's signature; every error has its path and what is allowed."""

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, get_args

import pydantic
from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter

from reslab.errors import UserError, cut, located, shown

STRICT = ConfigDict(extra="forbid", strict=True, frozen=True)

# Types for keyword-only parameters; a value out of range is refused with its path.
Count = Annotated[int, Field(ge=1, le=10**9)]
Depth = Annotated[int, Field(ge=1, le=12_000)]  # layers: the deepest that was ever trained had 10,000 (arXiv:1806.05393)
Size = Annotated[int, Field(ge=1, le=4096)]  # channels, pixels
Finite = Annotated[float, Field(allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Shade = Annotated[float, Field(ge=-1e6, le=1e6)]  # a pixel's value, also after normalisation
Strength = Annotated[float, Field(ge=0, le=100)]
Probability = Annotated[float, Field(ge=0, lt=1)]


def _ascending(ends: Sequence[float]) -> Sequence[float]:
    if ends[0] > ends[1]:
        raise ValueError("should go from low to high")
    return ends


_Ends = (Field(min_length=2, max_length=2), AfterValidator(_ascending))
Interval = Annotated[Sequence[Positive], *_Ends]  # [low, high]
FractionInterval = Annotated[Sequence[Fraction], *_Ends]
SizeInterval = Annotated[Sequence[Size], *_Ends]


def bind(table: Mapping[str, Callable], spec: Mapping, where: str) -> Callable:
    """`{name: ..., **options}` -> TABLE[name] with its options set, to be called with the context.

    The function's keyword-only parameters are the schema. Raises UserError with the path `where` for an unknown name or
    option, a missing option or a wrong type; a UserError of the function itself gets the path too.
    """
    spec = named(spec, where)
    name = spec["name"]
    if name not in table:
        raise UserError(f"{where}.name: {unknown(name, table)}")
    function = table[name]
    options = {key: value for key, value in spec.items() if key != "name"}
    values = check(_schema(function), options, where)
    keywords = {key: getattr(values, key) for key in options}

    def construct(*context: Any) -> Any:
        with located(where):
            return function(*context, **keywords)

    return construct


@cache
def _schema(function: Callable) -> type:
    """A strict model of the function's keyword-only parameters."""
    parameters = inspect.signature(function).parameters.values()
    fields = {
        parameter.name: (parameter.annotation, ... if parameter.default is parameter.empty else parameter.default)
        for parameter in parameters
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    return pydantic.create_model(function.__name__, __config__=STRICT, **fields)


def check(kind: Any, value: Any, where: str) -> Any:
    """Validate `value` against a type; raises UserError for the first problem, with its path."""
    try:
        return TypeAdapter(kind).validate_python(value, strict=True)
    except pydantic.ValidationError as error:
        problems = sorted(error.errors(), key=_order)
        raise UserError(_say(problems[0], kind, where)) from None


def _order(problem: Mapping) -> tuple[bool, int]:
    """A misspelt key first, since it explains a missing one; of a value that fits no kind, the kind that it comes nearest to."""
    location = problem["loc"]
    return problem["type"] != "extra_forbidden", -len(location) if any(map(_is_union_branch, location)) else 0


def _say(problem: Mapping, kind: Any, where: str) -> str:
    location = [part for part in problem["loc"] if not _is_union_branch(part)]
    key = location[-1] if location else ""
    path, parent = _path(where, location), _path(where, location[:-1])
    if problem["type"] == "extra_forbidden":
        return f"{parent}: {unknown(key, _field_names(kind, location[:-1]), 'key')}"
    if problem["type"] == "missing":
        return f"{parent}: missing key {key!r}"
    return f"{path}: {shown(problem['input'])} is not allowed: {problem['msg'].removeprefix('Input ').lower()}"


def _path(where: str, location: Sequence[str | int]) -> str:
    """The path of an error: `augment` and (0, "padding") -> augment[0].padding."""
    return where + "".join(f"[{part}]" if isinstance(part, int) else f".{_word(part)}" for part in location)


def _word(key: Any) -> str:
    """A key in a message: as it is if it is a short word."""
    return cut(key) if isinstance(key, str) and key.isidentifier() else shown(key)


def _is_union_branch(part: Any) -> bool:
    return (isinstance(part, str) and not part.isidentifier()) or part in ("int", "float", "str", "bool")


def _field_names(kind: Any, location: Sequence[str | int]) -> list[str]:
    """The keys that are allowed at a place within a value of this type."""
    model = _models(kind)[0]
    for part in location:
        fields = {field.alias or name: field.annotation for name, field in model.model_fields.items()}
        model = next(iter(_models(fields.get(part))), model)  # an item of a list or a dictionary is of the same model
    return [field.alias or name for name, field in model.model_fields.items()]


def _models(kind: Any) -> list[type[pydantic.BaseModel]]:
    """The models in a type such as `dict[str, Model] | None`."""
    if isinstance(kind, type) and issubclass(kind, pydantic.BaseModel):
        return [kind]
    return [model for part in get_args(kind) for model in _models(part)]


def named(section: Any, where: str) -> dict:
    """A copy of a `{name: ..., options}` section; raises UserError if it has no name."""
    if not isinstance(section, Mapping) or not isinstance(section.get("name"), str):
        raise UserError(f"{where}: expected `{{name: ..., options}}`, found {shown(section)}")
    return dict(section)


def unknown(name: Any, allowed: Iterable, what: str = "name", *, listing: str = "") -> str:
    """The message for a misspelt name: the nearest allowed one, and all of them (or, where they are many, what lists them)."""
    allowed = list(map(str, allowed))
    near = difflib.get_close_matches(cut(str(name)), allowed, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    choices = f"allowed: {', '.join(allowed)}" if allowed else "there is none"
    return f"unknown {what} {shown(name)}{hint}; {listing or choices}"
