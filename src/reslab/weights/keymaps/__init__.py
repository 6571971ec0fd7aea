"""Key maps: rules in YAML that turn the tensor names of a published checkpoint into ours.

Patterns are regular expressions matched from the start of a name; what follows the match is kept. In this order:

- `drop: [{match, because}]`: tensors that the network never uses;
- `tied: [{match, to}]`: equal copies of one tensor, kept once under the name `to`;
- `in_order: [{from, to}]`: the modules that `from` matches take the names that `to` matches in our network, one after the other,
  both sorted by their numbers; what an earlier rule of `in_order` has taken is no longer there;
- `rename: [{from, to}]`, one after the other, each applied to the names that the ones before left. In `to`, `{s}` is the group
  `(?P<s>...)` of the pattern, `{s-1}` that number less one, `{last}` the highest number in our network after the text before it.

A rule that matches nothing is an error, most often the wrong map; `optional: true` in `in_order` and `rename` allows it, for the
parts that only some networks of a family have.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pydantic
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from reslab.config.schema import STRICT, check, unknown
from reslab.config.yaml import read_yaml
from reslab.errors import UserError, located
from reslab.weights.keymaps.patterns import LONGEST, Pattern

SHIPPED = Path(__file__).parent
LARGEST = 2**20  # bytes of a file; the longest that ships has 1,200


def _printable(text: str) -> str:
    if not text.isprintable():
        raise PydanticCustomError("printable", "Input should be one line of printable text")
    return text


Line = Annotated[str, Field(max_length=LONGEST), AfterValidator(_printable)]
Rules = Annotated[list[dict[str, Any]], Field(max_length=1000)]


class Rename(pydantic.BaseModel):
    """A rule of `rename`."""

    model_config = STRICT

    pattern: Pattern = Field(alias="from")
    to: Line
    optional: bool = False


class InOrder(pydantic.BaseModel):
    """A rule of `in_order`: both sides are patterns."""

    model_config = STRICT

    pattern: Pattern = Field(alias="from")
    to: Pattern
    optional: bool = False


class Drop(pydantic.BaseModel):
    """A rule of `drop`."""

    model_config = STRICT

    match: Pattern
    because: Line


class Tied(pydantic.BaseModel):
    """A rule of `tied`."""

    model_config = STRICT

    match: Pattern
    to: Line


class Outline(pydantic.BaseModel):
    """A key map whose single rules are not checked yet."""

    model_config = STRICT

    about: str
    drop: Rules = []
    tied: Rules = []
    in_order: Rules = []
    rename: Rules = []


@dataclass(frozen=True, kw_only=True)
class KeyMap:
    """All rules of one file."""

    about: str
    drop: list[Drop]
    tied: list[Tied]
    in_order: list[InOrder]
    rename: list[Rename]


RULES = {"drop": Drop, "tied": Tied, "in_order": InOrder, "rename": Rename}


def shipped() -> list[str]:
    """The key maps that come with reslab."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def read(name: str) -> KeyMap:
    """A shipped key map by name, or a user's own by path; raises UserError with file, rule and what is allowed."""
    path = SHIPPED / f"{name}.yaml" if name in shipped() else Path(name)
    if not path.is_file():
        raise UserError(f"key map: {unknown(name, shipped())}, or the path of a YAML file")
    with located(path):
        if path.stat().st_size > LARGEST:
            raise UserError(f"larger than {LARGEST:,} bytes: not a key map")
        return parse(read_yaml(path))


def parse(document: Any) -> KeyMap:
    """The key map that a YAML file holds; raises UserError with rule and what is allowed."""
    outline = check(Outline, document, "key map")
    rules = {
        section: [check(kind, rule, f"{section}[{i}]") for i, rule in enumerate(getattr(outline, section))]
        for section, kind in RULES.items()
    }
    return KeyMap(about=outline.about, **rules)
