"""Tables on a terminal or for programs."""

import sys
import textwrap
from typing import Any

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

NARROWEST, WIDEST = 80, 160  # columns of text
ROOM = 40  # a wide column with less gets lines of its own
GAP = 3  # between two cells
UNBOUNDED = 1000
INDENT = "    "
WHOLE_WORDS = {"break_long_words": False, "break_on_hyphens": False}
Rows = list[dict[str, Any]]


def print_rows(rows: Rows, *, csv: bool, wide: str = "") -> None:
    """Print rows as a table that fits the terminal, or as CSV; the column `wide` takes the lines it needs.

    All other cells stay whole, so that a name can be copied. Where they leave too little room, `wide` stands below each row.
    """
    if csv:
        pd.DataFrame(rows).to_csv(sys.stdout, index=False, lineterminator="\n")
        return
    columns = min(max(Console().width, NARROWEST), WIDEST)
    longest = max(len(str(row[wide])) for row in rows) if wide else 0
    lines = _lines([{name: value for name, value in row.items() if name != wide} for row in rows])
    if longest and (room := columns - max(map(len, lines)) - GAP) >= min(longest, ROOM):
        lines = _lines(rows, wide=wide, room=room)
    elif longest:
        lines = _with_lines_below(rows, wide=wide, columns=columns)
    print("\n".join(lines))


def _with_lines_below(rows: Rows, *, wide: str, columns: int) -> list[str]:
    """The table without `wide`, which stands indented below each row."""
    first = next(iter(rows[0]))
    without = [{f"{first}, {wide}" if name == first else name: row[name] for name in row if name != wide} for row in rows]
    lines = _lines(without)
    found = lines[:2]  # header and rule
    for row, line in zip(rows, lines[2:], strict=True):
        below = textwrap.wrap(str(row[wide]), columns, initial_indent=INDENT, subsequent_indent=INDENT, **WHOLE_WORDS)
        found += [line, *below]
    return found


def _lines(rows: Rows, *, wide: str = "", room: int | None = None) -> list[str]:
    """The table as text, as wide as its cells; only `wide` is wrapped, at `room`."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in rows[0]:
        numeric = name != wide and all(_is_amount(row[name]) for row in rows)
        options = {"overflow": "fold", "max_width": room} if name == wide else {"no_wrap": True}
        table.add_column(name, justify="right" if numeric else "left", **options)
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    console = Console(highlight=False, markup=False, color_system=None, width=UNBOUNDED)
    with console.capture() as captured:
        console.print(table)
    return [line.rstrip() for line in captured.get().splitlines()]


def _is_amount(value: Any) -> bool:
    return not value or str(value)[0].isdigit()
