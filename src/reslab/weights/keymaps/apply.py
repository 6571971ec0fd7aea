"""Applying a key map to the tensors of a checkpoint."""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import torch
from torch import Tensor

from reslab.errors import UserError, located
from reslab.weights.keymaps import KeyMap, Rename
from reslab.weights.keymaps.naming import fill, paired


@dataclass
class Mapped:
    """The tensors under our names, and what became of the others."""

    tensors: dict[str, Tensor]
    renamed: int = 0
    dropped: list[str] = field(default_factory=list)  # the number and the reason, for each rule
    tied: list[str] = field(default_factory=list)  # the number of copies, and of which tensor


def apply(keys: KeyMap, tensors: dict[str, Tensor], targets: Collection[str]) -> Mapped:
    """Drop, tie and rename the tensors of a checkpoint; `targets` are the names in our network.

    Raises UserError naming the rule that does not fit, most of all one that matches nothing: probably the wrong map.
    """
    mapped = Mapped(dict(tensors))
    for i, drop in enumerate(keys.drop):
        taken = _take(mapped.tensors, drop.match, f"drop[{i}]")
        mapped.dropped.append(f"{_tensors(len(taken))} like {next(iter(taken))}: {drop.because}")
    for i, tied in enumerate(keys.tied):
        copies = _take(mapped.tensors, tied.match, f"tied[{i}]")
        mapped.tensors[tied.to] = _the_one(copies)
        mapped.tied.append(f"{len(copies)} equal copies of {tied.to}")
    names = _new_names(keys, mapped.tensors, targets)
    mapped.renamed = sum(before != after for before, after in names.items())
    mapped.tensors = _under(names, mapped.tensors)
    return mapped


def _tensors(count: int) -> str:
    return f"{count} tensor{'s' * (count != 1)}"


def _take(tensors: dict[str, Tensor], pattern: re.Pattern[str], where: str) -> dict[str, Tensor]:
    """Remove what a pattern matches, and return it."""
    names = [name for name in tensors if pattern.match(name)]
    if not names:
        raise _idle(where, pattern)
    return {name: tensors.pop(name) for name in names}


def _idle(where: str, pattern: re.Pattern[str]) -> UserError:
    return UserError(f"{where}: {pattern.pattern!r} matches no tensor of the checkpoint; is this its key map?")


def _the_one(copies: dict[str, Tensor]) -> Tensor:
    first, *others = copies
    for other in others:
        if not torch.equal(copies[first], copies[other]):
            raise UserError(f"{first} and {other} must be equal copies of one tensor, and differ")
    return copies[first]


def _new_names(keys: KeyMap, names: Collection[str], targets: Collection[str]) -> dict[str, str]:
    """Name in the checkpoint -> our name."""
    new = {name: name for name in names}
    for i, rule in enumerate(keys.in_order):
        with located(f"in_order[{i}]"):
            modules = paired(rule.pattern, rule.to, new.values(), targets)
        new = _renamed(new, rule, f"in_order[{i}]", lambda match, modules=modules: modules[match[0]])
    for i, rule in enumerate(keys.rename):
        new = _renamed(new, rule, f"rename[{i}]", lambda match, rule=rule: fill(rule.to, match.groupdict(), targets))
    return new


def _renamed(names: dict[str, str], rule: Rename, where: str, replace: Callable[[re.Match[str]], str]) -> dict[str, str]:
    """One rule over all names: the match replaced, the rest kept."""
    matches = {before: match for before, now in names.items() if (match := rule.pattern.match(now))}
    if not matches:
        raise _idle(f"{where}.from", rule.pattern)
    with located(f"{where}.to"):
        return names | {before: replace(match) + match.string[match.end() :] for before, match in matches.items()}


def _under(names: dict[str, str], tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under their new names; raises UserError if two get the same."""
    taken: dict[str, str] = {}
    for before, after in names.items():
        if after in taken:
            raise UserError(f"{taken[after]} and {before} would both become {after}")
        taken[after] = before
    return {after: tensors[before] for after, before in taken.items()}
