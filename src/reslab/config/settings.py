"""Which settings a study varies, and between which values."""

from collections.abc import Mapping
from typing import Any

Settings = dict[str, Any]  # "model.depth" -> 20


def flat(value: Any, path: str = "") -> Settings:
    """Nested sections as one level: {"model": {"depth": 20}} -> {"model.depth": 20}; a list is one value."""
    if isinstance(value, Mapping):
        return {key: leaf for name, item in value.items() for key, leaf in flat(item, f"{path}.{name}" if path else name).items()}
    return {path: value}


def varied(settings: dict[str, Settings]) -> list[str]:
    """The settings that are not the same in all experiments, in the order they are written."""
    paths = dict.fromkeys(path for found in settings.values() for path in found)
    return [path for path in paths if len({repr(found.get(path)) for found in settings.values()}) > 1]


def short(value: Any) -> str:
    """A value as one reads it in params.yaml."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {short(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(short, value)) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)
