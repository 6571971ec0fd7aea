"""Settings of experiments: the sections of params.yaml as one level of paths and values."""

import json
from collections.abc import Mapping
from typing import Any

Settings = dict[str, Any]  # "model.depth" -> 20


def flatten(value: Any, path: str = "") -> Settings:
    """Nested sections as one level: {"model": {"depth": 20}} -> {"model.depth": 20}; a list is one value."""
    if not isinstance(value, Mapping):
        return {path: value}
    inner = ((f"{path}.{name}" if path else str(name), item) for name, item in value.items())
    return {key: leaf for where, item in inner for key, leaf in flatten(item, where).items()}


def varied(settings: Mapping[str, Settings]) -> list[str]:
    """The settings that are not the same in all experiments, in the order they are written."""
    paths = dict.fromkeys(path for found in settings.values() for path in found)
    return [path for path in paths if len({repr(found.get(path)) for found in settings.values()}) > 1]


def flow(value: Any, *, digits: int | None = None) -> str:
    """A value in YAML's one-line form: {name: sgd, lr: 0.1}; floats to `digits` significant digits, if given."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {flow(item, digits=digits)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(flow(item, digits=digits) for item in value) + "]"
    if isinstance(value, float) and digits is not None:
        return f"{value:.{digits}g}"
    return value if isinstance(value, str) else json.dumps(value)
