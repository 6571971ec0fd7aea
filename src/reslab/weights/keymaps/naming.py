"""New names from old: filling a rule's `to`, and pairing modules by their order."""

import re
from collections.abc import Collection, Iterable, Mapping

from reslab.errors import UserError, cut, shown

MOST_DIGITS = 18
PLACEHOLDER = re.compile(r"\{(?P<name>\w+)(?:-(?P<less>\d+))?\}")


def fill(template: str, groups: Mapping[str, str | None], targets: Iterable[str]) -> str:
    """The text of `to` for one match of its pattern; `targets` are the names in our network.

    Raises UserError for a placeholder that means nothing.
    """
    filled, end = "", 0
    for placeholder in PLACEHOLDER.finditer(template):
        filled += template[end : placeholder.start()]
        filled += last_number(filled, targets) if placeholder["name"] == "last" else _group(placeholder, groups)
        end = placeholder.end()
    return filled + template[end:]


def _group(placeholder: re.Match[str], groups: Mapping[str, str | None]) -> str:
    name, less = placeholder["name"], placeholder["less"]
    text = groups.get(name)
    if text is None:
        raise UserError(f"{cut(placeholder[0])} is no group of the pattern; write (?P<{cut(name)}>...) there")
    if less is None:
        return text
    if not text.isdecimal() or max(len(text), len(less)) > MOST_DIGITS or int(text) < int(less):
        raise UserError(f"{cut(placeholder[0])}: {shown(text)} is not a number from {cut(less)} on")
    return str(int(text) - int(less))


def last_number(before: str, targets: Iterable[str]) -> str:
    """The highest number that follows `before` in a name of our network: the last block of a stage."""
    found = re.compile(re.escape(before) + r"(\d+)\.")
    numbers = [match[1] for match in map(found.match, targets) if match]
    if not numbers:
        raise UserError(f"{{last}}: the network has nothing numbered after {shown(before)}")
    return max(numbers, key=counted)


def paired(
    theirs: re.Pattern[str], ours: re.Pattern[str], sources: Collection[str], targets: Collection[str], *, optional: bool = False
) -> dict[str, str]:
    """Module in the checkpoint -> module in our network, in order; raises UserError unless there are equally many.

    `optional`: nothing is paired if the checkpoint has none.
    """
    before, after = numbered(theirs, sources), numbered(ours, targets)
    if optional and not before:
        return {}
    if len(before) != len(after):
        raise UserError(
            f"{shown(theirs.pattern)} matches {len(before)} modules of the checkpoint, {shown(ours.pattern)} {len(after)} of the"
            " network"
        )
    return dict(zip(before, after, strict=True))


def numbered(pattern: re.Pattern[str], names: Iterable[str]) -> list[str]:
    """The texts that a pattern matches, once each, sorted by the numbers in them (a safetensors file has lost their order)."""
    found = {match[0] for match in map(pattern.match, names) if match}
    return sorted(found, key=lambda text: ([counted(number) for number in re.findall(r"\d+", text)], text))


def counted(digits: str) -> tuple[int, str]:
    """A key that puts numbers in order however many digits they have: Python converts no more than 4,300."""
    known = digits.lstrip("0")
    return len(known), known
