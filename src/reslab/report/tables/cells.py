"""Cells of tables: a text, and the value that it shows."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from reslab.errors import plain


@dataclass(frozen=True)
class Cell:
    """The text of a cell, the number it sorts by (None for words), and the address it links to.

    The text may be a stranger's, such as the name of a class: it is kept on one line, without signs that steer a terminal.
    """

    value: float | None
    text: str
    link: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", plain(self.text))


TAGS, LINKS = re.compile(r"<(?=[A-Za-z/!?])"), re.compile(r"\]([(\[])")  # "p < 0.01" and [1.0, 2.0] stay as they are
EMPTY = Cell(None, "")
Columns = Mapping[str, list[Cell]]  # heading -> cells


def words(values: Iterable[Any]) -> list[Cell]:
    """Cells that sort by their text."""
    return [Cell(None, str(value)) for value in values]


def number(value: float, form: str = "{}") -> Cell:
    """A number in a format; empty for NaN."""
    return EMPTY if math.isnan(value) else Cell(value, form.format(value))


def numbers(values: Iterable[float], form: str = "{}") -> list[Cell]:
    """A column of numbers in a format; empty where they are NaN."""
    return [number(value, form) for value in values]


def percents(values: Iterable[float]) -> list[Cell]:
    """A column of fractions in percent; empty where they are NaN."""
    return [EMPTY if math.isnan(value) else Cell(value, percent(value)) for value in values]


def percent(value: float, digits: int = 2) -> str:
    """0.0123 -> 1.23"""
    return f"{value * 100:.{digits}f}"


def mean_and_std(mean: float, std: float) -> Cell:
    """1.23 ± 0.10 in percent; the mean alone where there is no spread, empty without a mean."""
    if math.isnan(mean):
        return EMPTY
    return Cell(mean, percent(mean) + ("" if math.isnan(std) else f" ± {percent(std)}"))


def interval(low: float, high: float) -> Cell:
    """[1.00, 1.50] in percent."""
    if math.isnan(low):
        return EMPTY
    return Cell(low, f"[{percent(low)}, {percent(high)}]")


def is_numeric(column: Iterable[Cell]) -> bool:
    """Whether a column holds numbers; some of its cells may hold words instead."""
    return any(cell.value is not None for cell in column)


def render(columns: Columns, *, title: str = "", note: str = "") -> str:
    """The columns as a Markdown table, with its title above and a note beneath."""
    from tabulate import tabulate

    table = tabulate(
        [map(_in_pipes, row) for row in _rows(columns)], map(_in_pipes, columns), tablefmt="pipe", disable_numparse=True
    )
    return "\n\n".join([*([f"**{in_markdown(title)}**"] if title else []), table, *([note] if note else [])]) + "\n"


def terminal(columns: Columns) -> str:
    """The columns as a table for a terminal, numbers to the right."""
    from tabulate import tabulate

    alignment = ["right" if is_numeric(column) else "left" for column in columns.values()]
    return tabulate(_rows(columns), list(map(plain, columns)), disable_numparse=True, colalign=alignment)


def _rows(columns: Columns) -> list[tuple[str, ...]]:
    return list(zip(*([cell.text for cell in column] for column in columns.values()), strict=True))


def in_markdown(text: str) -> str:
    """A text in which Markdown finds no tag and no link, on one line."""
    return LINKS.sub(r"]\\\1", TAGS.sub("&lt;", plain(text)))


def _in_pipes(text: str) -> str:
    """A text in a cell of a Markdown table, where | would end it."""
    return in_markdown(text).replace("|", "\\|")
