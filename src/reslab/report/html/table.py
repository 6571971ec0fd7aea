"""Tables of the page: their cells link to records and sort by their values."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from reslab.report.tables.cells import Cell, Columns, is_numeric

Links = Callable[[str, int], str]  # (heading, row) -> the address a cell links to, or ""


@dataclass(frozen=True)
class Table:
    """A table of the page; the first cell of a row names it."""

    name: str
    caption: str
    headings: list[str]
    rows: list[list[Cell]]
    numeric: list[bool]  # by column: aligned to the right
    note: str = ""
    sources: tuple[str, ...] = ()  # the CSV files with the same numbers


def table(
    name: str, caption: str, columns: Columns, link: Links = lambda *_: "", *, note: str = "", sources: tuple[str, ...] = ()
) -> Table:
    """A table of these columns; a cell without text links to nothing."""
    linked = [
        [replace(cell, link=link(heading, row)) if cell.text else cell for row, cell in enumerate(column)]
        for heading, column in columns.items()
    ]
    rows = [list(row) for row in zip(*linked, strict=True)]
    return Table(name, caption, list(columns), rows, [is_numeric(column) for column in linked], note, sources)
