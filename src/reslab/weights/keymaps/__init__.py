"""Key maps: rules in YAML that turn the tensor names of a published checkpoint into ours.

Patterns are regular expressions matched from the start of a name; what follows the match is kept. In this order:

- `drop: [{match, because}]`: tensors that the network never uses;
- `tied: [{match, to}]`: equal copies of one tensor, kept once under the name `to`;
- `in_order: [{from, to}]`: the modules that `from` matches take the names that `to` matches in our network, one after the other,
  both sorted by their numbers;
- `rename: [{from, to}]`, one after the other, each applied to the names that the ones before left. In `to`, `{s}` is the group
  `(?P<s>...)` of the pattern, `{s-1}` that number less one, `{last}` the highest number in our network after the text before it.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic
from pydantic import Field

from reslab.config.schema import STRICT, check, unknown
from reslab.config.yaml import read_yaml
from reslab.errors import UserError, located

SHIPPED = Path(__file__).parent


class Rename(pydantic.BaseModel):
    """A rule of `rename` or `in_order`."""

    model_config = STRICT

    pattern: re.Pattern[str] = Field(alias="from")
    to: str


class Drop(pydantic.BaseModel):
    """A rule of `drop`."""

    model_config = STRICT

    match: re.Pattern[str]
    because: str


class Tied(pydantic.BaseModel):
    """A rule of `tied`."""

    model_config = STRICT

    match: re.Pattern[str]
    to: str


class Outline(pydantic.BaseModel):
    """A key map whose single rules are not checked yet."""

    model_config = STRICT

    about: str
    drop: list[dict[str, Any]] = []
    tied: list[dict[str, Any]] = []
    in_order: list[dict[str, Any]] = []
    rename: list[dict[str, Any]] = []


@dataclass(frozen=True, kw_only=True)
class KeyMap:
    """All rules of one file."""

    about: str
    drop: list[Drop]
    tied: list[Tied]
    in_order: list[Rename]
    rename: list[Rename]


RULES = {"drop": Drop, "tied": Tied, "in_order": Rename, "rename": Rename}


def shipped() -> list[str]:
    """The key maps that come with reslab."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def read(name: str) -> KeyMap:
    """A shipped key map by name, or a user's own by path; raises UserError with file, rule and what is allowed."""
    path = SHIPPED / f"{name}.yaml" if name in shipped() else Path(name)
    if not path.is_file():
        raise UserError(f"key map: {unknown(name, shipped())}, or the path of a YAML file")
    with located(path):
        outline = check(Outline, read_yaml(path), "key map")
        rules = {
            section: [check(kind, rule, f"{section}[{i}]") for i, rule in enumerate(getattr(outline, section))]
            for section, kind in RULES.items()
        }
    return KeyMap(about=outline.about, **rules)
