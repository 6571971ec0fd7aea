"""Markdown: tables whose lines change alone, and blocks between marks in a page that is otherwise written by hand."""

import re
from collections.abc import Mapping, Sequence

from reslab.errors import UserError

Marks = tuple[str, str]


def table(rows: Sequence[Mapping[str, str]]) -> str:
    """A table with the first row's keys as its head; cells are not padded, so that a change touches its own line only."""
    head = list(rows[0])
    lines = [head, ["---"] * len(head), *([str(row[name]).replace("|", r"\|") for name in head] for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def with_block(page: str, block: str, marks: Marks) -> str:
    """The page with `block` between the marks; raises UserError if a mark is missing."""
    start, end = map(re.escape, marks)
    page, found = re.subn(
        f"({start}\n).*?({end})", lambda marks: f"{marks[1]}\n{block.strip()}\n\n{marks[2]}", page, flags=re.DOTALL
    )
    if not found:
        raise UserError(f"the page has no lines {marks[0]} and {marks[1]}")
    return page
