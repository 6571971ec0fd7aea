"""The key `init_from` of the section `model`: weights that training starts from."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import pydantic
from pydantic import Field

from reslab.config.schema import STRICT, check

if TYPE_CHECKING:
    from reslab.config.study import Experiment


class InitFrom(pydantic.BaseModel):
    """A folder or file of weights, and the sha256 of the file if it must be that one."""

    model_config = STRICT

    path: Annotated[str, Field(min_length=1, max_length=4096)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None


def init_from(value: Any, where: str) -> InitFrom | None:
    """What `init_from` says, as a path or as `{path: ..., sha256: ...}`; raises UserError."""
    return None if value is None else check(InitFrom, {"path": value} if isinstance(value, str) else value, where)


def describes(described: Mapping[str, Any], experiment: "Experiment") -> bool:
    """Whether a description is of an experiment as the study has it."""
    config = described.get("config")
    return isinstance(config, dict) and as_written(config) == as_written(experiment.sections)


def as_written(sections: Mapping[str, Any]) -> dict[str, Any]:
    """Sections of an experiment or of its record, to compare: as JSON, and without the checksum that was found for `init_from`."""
    found = json.loads(json.dumps(sections))
    model = found.get("model")
    if isinstance(model, dict) and isinstance(start := model.get("init_from"), dict):
        model["init_from"] = start.get("path")
    return found
