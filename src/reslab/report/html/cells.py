"""Columns of text, as the Markdown tables have them, made into tables that link and sort."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

NUMBER = r"[+-]?(?:\d[\d,]*\.?\d*|\.\d+)(?:e[+-]?\d+)?"
# 1.57, 269,530, < 0.001, 1.57 ± 0.58, -0.56 [-2.39, +0.51], [0.14, 3.01], 3 of 3, 8.75 ± 0.16 (5 runs)
AMOUNT = re.compile(rf"(?:< |\[)?({NUMBER})(?: ± {NUMBER})?(?:(?: \[{NUMBER})?, {NUMBER}\])?(?: of \d+)?(?: \(\d+ runs?\))?")
Links = Callable[[str, int], str]  # (heading, row) -> where a cell leads, or ""


@dataclass(frozen=True)
class Cell:
    """What a cell shows, the number it sorts by (None: by its text), and where it leads."""

    text: str
    amount: float | None
    link: str


@dataclass(frozen=True)
class Table:
    """A table of the page; the first cell of a row names it."""

    name: str
    caption: str
    headings: list[str]
    rows: list[list[Cell]]
    numeric: list[bool]  # by column: aligned to the right
    note: str = ""
    sources: tuple[str, ...] = ()  # the CSV files with the same


def amount(text: str) -> float | None:
    """The number a cell sorts by: its first; None where it says something else."""
    found = AMOUNT.fullmatch(text)
    return float(found[1].replace(",", "")) if found else None


def table(
    name: str,
    caption: str,
    columns: Mapping[str, Iterable[Any]],
    link: Links,
    *,
    note: str = "",
    sources: tuple[str, ...] = (),
) -> Table:
    """A table of columns of text; a cell without text leads nowhere."""
    texts = [[str(value) for value in column] for column in columns.values()]
    headings = list(columns)
    amounts = [
        [None] * len(column) if position == 0 else [amount(text) for text in column] for position, column in enumerate(texts)
    ]
    rows = [
        [
            Cell(column[row], values[row], link(heading, row) if column[row] else "")
            for heading, column, values in zip(headings, texts, amounts, strict=True)
        ]
        for row in range(len(texts[0]))
    ]
    return Table(name, caption, headings, rows, [_is_numeric(*pair) for pair in zip(texts, amounts, strict=True)], note, sources)


def _is_numeric(texts: list[str], amounts: list[float | None]) -> bool:
    """Whether a column holds numbers; a few cells may say instead what went wrong."""
    return 2 * sum(value is not None for value in amounts) > sum(bool(text) for text in texts)
