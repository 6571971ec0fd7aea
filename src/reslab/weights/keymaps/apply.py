"""Applying a key map to the tensors of a checkpoint."""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import torch
from torch import Tensor

from reslab.errors import UserError, cut, located, shown
from reslab.weights.keymaps import InOrder, KeyMap, Rename
from reslab.weights.keymaps.naming import fill, paired
from reslab.weights.keymaps.patterns import LONGEST, Limit


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
    mapped, limit = Mapped(dict(tensors)), Limit()
    for i, drop in enumerate(keys.drop):
        taken = _take(mapped.tensors, drop.match, f"drop[{i}]", limit)
        mapped.dropped.append(f"{_tensors(len(taken))} like {next(iter(taken))}: {drop.because}")
    for i, tied in enumerate(keys.tied):
        copies = _take(mapped.tensors, tied.match, f"tied[{i}]", limit)
        mapped.tensors[tied.to] = _the_one(copies)
        mapped.tied.append(f"{len(copies)} equal copies of {tied.to}")
    names = _new_names(keys, mapped.tensors, targets, limit)
    mapped.renamed = sum(before != after for before, after in names.items())
    mapped.tensors = _under(names, mapped.tensors)
    return mapped


def _tensors(count: int) -> str:
    return f"{count} tensor{'s' * (count != 1)}"


def _take(tensors: dict[str, Tensor], pattern: re.Pattern[str], where: str, limit: Limit) -> dict[str, Tensor]:
    """Remove what a pattern matches, and return it."""
    with located(where), limit():
        names = [name for name in tensors if pattern.match(name)]
    if not names:
        raise _idle(where, pattern)
    return {name: tensors.pop(name) for name in names}


def _idle(where: str, pattern: re.Pattern[str]) -> UserError:
    return UserError(f"{where}: {shown(pattern.pattern)} matches no tensor of the checkpoint; is this its key map?")


def _the_one(copies: dict[str, Tensor]) -> Tensor:
    first, *others = copies
    for other in others:
        if not torch.equal(copies[first], copies[other]):
            raise UserError(f"{cut(first)} and {cut(other)} must be equal copies of one tensor, and differ")
    return copies[first]


def _new_names(keys: KeyMap, names: Collection[str], targets: Collection[str], limit: Limit) -> dict[str, str]:
    """Name in the checkpoint -> our name."""
    new, free = {name: name for name in names}, list(targets)
    for i, rule in enumerate(keys.in_order):
        with located(f"in_order[{i}]"), limit():
            modules = paired(rule.pattern, rule.to, new.values(), free, optional=rule.optional)
            free = [name for name in free if not name.startswith(tuple(modules.values()))]
        new = _renamed(new, rule, f"in_order[{i}]", lambda match, modules=modules: modules[match[0]], limit)
    for i, rule in enumerate(keys.rename):
        new = _renamed(new, rule, f"rename[{i}]", lambda match, rule=rule: fill(rule.to, match.groupdict(), targets), limit)
    return new


def _renamed(
    names: dict[str, str], rule: Rename | InOrder, where: str, replace: Callable[[re.Match[str]], str], limit: Limit
) -> dict[str, str]:
    """One rule over all names: the match replaced, the rest kept."""
    with located(f"{where}.from"), limit():
        matches = {before: match for before, now in names.items() if (match := rule.pattern.match(now))}
    if not matches and not rule.optional:
        raise _idle(f"{where}.from", rule.pattern)
    with located(f"{where}.to"), limit():
        found = {before: replace(match) + match.string[match.end() :] for before, match in matches.items()}
        if any(len(name) > LONGEST for name in found.values()):
            raise UserError(f"gives a name of more than {LONGEST} characters")
    return names | found


def _under(names: dict[str, str], tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under their new names; raises UserError if two get the same."""
    taken: dict[str, str] = {}
    for before, after in names.items():
        if after in taken:
            raise UserError(f"{cut(taken[after])} and {cut(before)} would both become {cut(after)}")
        taken[after] = before
    return {after: tensors[before] for after, before in taken.items()}
