"""Which output of an imported network is which class: nothing in a file of weights says it."""

import re
from collections.abc import Sequence
from pathlib import Path

from reslab.errors import UserError, cut, located
from reslab.weights.check import some
from reslab.weights.keymaps.naming import counted

NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
LARGEST = 10 * 2**20  # bytes of a list of classes
LISTED = 12  # outputs that are printed


def read_classes(path: Path) -> list[str]:
    """The names in a text file, one a line in the order of the outputs; raises UserError if some repeat or cannot be printed."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; --classes takes a text file with one class a line, in the order of the outputs")
    with located(path):
        if path.stat().st_size > LARGEST:
            raise UserError(f"larger than {LARGEST:,} bytes: not a list of classes")
        try:
            names = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
        except UnicodeDecodeError as error:
            raise UserError(f"not UTF-8 text (byte {error.start})") from error
        names = [name for name in names if name]
        if len(names) < 2:
            raise UserError("at least two classes are needed, one a line in the order of the outputs")
        if (odd := [name for name in names if not name.isprintable() or len(name) > 1000]) or len(set(names)) < len(names):
            raise UserError(f"names that cannot be printed: {some(odd)}" if odd else f"repeated: {some(_repeated(names))}")
    return names


def _repeated(names: Sequence[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1}) if len(names) < 10_000 else ["(a long list)"]


def order_of_outputs(given: list[str] | None, known: list[str] | None) -> list[str]:
    """The classes in the order of the outputs: as given, or as the dataset has them where its order leaves no doubt.

    Raises UserError where the given classes are not the dataset's, and where the dataset's names are numbers in the order of text.
    """
    if given is None:
        _refuse_doubt(known)
        return known
    if known is not None and set(given) != set(known):
        odd = {"not in the dataset": set(given) - set(known), "missing": set(known) - set(given)}
        said = [f"{what}: {some(sorted(names))}" for what, names in odd.items() if names]
        raise UserError(f"--classes has other classes than the dataset; {'; '.join(said)}")
    return given


def _refuse_doubt(names: Sequence[str]) -> None:
    """Raise UserError if names with numbers stand as text is sorted (0, 1, 10, 2): others count (0, 1, 2, 10)."""
    counted = sorted(names, key=_by_number)
    numbers = all(NUMBER.fullmatch(name) for name in names)
    if list(names) != counted and (numbers or list(names) == sorted(names)):
        raise UserError(
            f"the dataset has its classes in the order {some(names)}, and a network trained elsewhere may count {some(counted)}:"
            " give --classes FILE, one name a line in the order of the network's outputs"
        )


def _by_number(name: str) -> list[str | float | tuple[int, str]]:
    """A key in which digits count as numbers."""
    if NUMBER.fullmatch(name):
        return ["", float(name)]
    return [counted(part) if i % 2 else part for i, part in enumerate(re.split(r"([0-9]+)", name))]


def lines(names: Sequence[str]) -> list[str]:
    """What is printed: `output k is class NAME`; of many the first and the last."""
    said = [f"output {number} is class {cut(name)}" for number, name in enumerate(names)]
    return said if len(said) <= LISTED else [*said[: LISTED - 2], f"... {len(said) - LISTED + 1} more ...", said[-1]]


def columns(theirs: Sequence[str], wanted: Sequence[str]) -> list[int] | None:
    """Where each wanted class stands among the outputs, None if the order is the same; raises KeyError for other classes."""
    places = {name: place for place, name in enumerate(theirs)}
    return None if list(theirs) == list(wanted) else [places[name] for name in wanted]
