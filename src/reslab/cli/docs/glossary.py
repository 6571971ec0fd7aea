"""Every section of params.yaml with its options: names, types and defaults from the code, meanings from options.yaml.

The meanings are in one file and not beside the parameters, because most options are shared by many entries, and a family's file
should stay close to its paper. The file is here and not in `config`, so that a reworded line runs no stage again.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, get_type_hints

import pydantic
from pydantic import Field

from reslab.cli.docs.words import default_in_yaml, type_in_words
from reslab.cli.text import first_sentence
from reslab.config.report import Compare, Layers, Published, Report
from reslab.config.study import STUDY_KEYS
from reslab.config.train import BatchNorm, Evaluation, Train
from reslab.config.yaml import parse_yaml
from reslab.errors import UserError

LINES = "options.yaml"
NEEDED = "needed"
SECTIONS: dict[str, type[pydantic.BaseModel]] = {
    "train": Train,
    "train.batch_norm": BatchNorm,
    "train.evaluation": Evaluation,
    "report": Report,
    "report.published": Published,
    "report.layers": Layers,
    "report.compare": Compare,
}
NAMED = ("dataset", "normalize", "model", "model.shortcut", "augment", "loss", "optimizer", "schedule", "schedule.warmup")


@dataclass(frozen=True)
class Option:
    """One option: its name, its type in words, its default as in YAML (`needed` if there is none), its line of meaning."""

    name: str
    kind: str
    default: str
    meaning: str


EXPRESSIONS = {("optimizer", "lr")}  # a text is worked out before the entry is called, which takes numbers only

# Options that are taken out of a section before its entry is called: section -> name -> type and default.
SHARED: dict[str, dict[str, tuple[Any, Any]]] = {
    "dataset": {"validation": (Annotated[int, Field(ge=0)], 0)},
    "model": {"init_from": (str | dict, None)},
    "schedule": {"warmup": (dict, None)},
}


def table(section: str) -> Mapping[str, Callable]:
    """The entries that the section's `name` chooses from; this imports torch."""
    from reslab.experiment.bound import TABLES
    from reslab.models.shortcuts import SHORTCUTS

    return SHORTCUTS if section == "model.shortcut" else TABLES[section]


@cache
def lines() -> dict[str, dict[str, str]]:
    """Section -> option, or `entry.option`, -> its line of meaning."""
    return parse_yaml(files(__package__).joinpath(LINES).read_text(encoding="utf-8"))


def meaning(section: str, option: str, entry: str = "") -> str:
    """The line of an option, of this entry if it has one of its own; raises UserError if there is none."""
    known = lines().get(section, {})
    if not (line := known.get(f"{entry}.{option}") or known.get(option)):
        path = ".".join(filter(None, (section, entry, option)))
        raise UserError(f"src/reslab/cli/docs/{LINES}: no line for {path}; add `{option}: ...` below `{section}:`")
    return line


def entries(section: str) -> dict[str, str]:
    """The entries of a table, each with the first sentence of its docstring."""
    return {name: first_sentence(function) for name, function in table(section).items()}


def options_of(section: str, entry: str, *, initialisation: bool = False) -> list[Option]:
    """The options of one entry of a table; or those of its initialisation, which all families share."""
    return [
        _option(section, parameter.name, parameter.annotation, parameter.default, entry)
        for parameter in inspect.signature(table(section)[entry]).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY and _is_initialisation(section, parameter.name) == initialisation
    ]


def _is_initialisation(section: str, name: str) -> bool:
    from reslab.models.parts.init import INITIALISATION

    return section == "model" and name in INITIALISATION


def shared_options(section: str) -> list[Option]:
    """The options that every entry of a table takes besides its own."""
    return [_option(section, name, kind, default) for name, (kind, default) in SHARED.get(section, {}).items()]


def fields_of(section: str) -> list[Option]:
    """The options of a section that is no table."""
    kinds = get_type_hints(SECTIONS[section], include_extras=True)
    found = []
    for name, field in SECTIONS[section].model_fields.items():
        default = inspect.Parameter.empty if field.is_required() else field.get_default(call_default_factory=True)
        found.append(_option(section, name, kinds[name], default))
    return found


def keys_of_a_study() -> list[tuple[str, str]]:
    """The keys of params.yaml with their meanings."""
    return [(key, meaning("study", key)) for key in STUDY_KEYS]


def environment() -> dict[str, str]:
    """The environment variables with their meanings."""
    return lines()["environment"]


def _option(section: str, name: str, kind: Any, default: Any, entry: str = "") -> Option:
    kind = kind | str if (section, name) in EXPRESSIONS else kind
    given = NEEDED if default is inspect.Parameter.empty else default_in_yaml(default)
    return Option(name, type_in_words(kind), given, meaning(section, name, entry))


def used() -> Iterator[tuple[str, str]]:
    """Section and key of every line that some option has; a line that is not among them has lost its option."""
    for section in NAMED:
        for entry, function in table(section).items():
            parameters = inspect.signature(function).parameters.values()
            for name in [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]:
                own = f"{entry}.{name}"
                yield section, own if own in lines()[section] else name
        yield from ((section, name) for name in SHARED.get(section, {}))
    for section, fields in SECTIONS.items():
        yield from ((section, name) for name in fields.model_fields)
    yield from (("study", key) for key in STUDY_KEYS)
