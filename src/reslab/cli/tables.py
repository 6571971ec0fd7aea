"""Tables on a terminal or for programs."""

import sys
from typing import Any

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

NARROWEST, WIDEST = 80, 160  # columns of text


def print_rows(rows: list[dict[str, Any]], *, csv: bool, wide: str = "") -> None:
    """Print rows as a table that fits the terminal, or as CSV; the column `wide` takes the lines it needs."""
    if csv:
        pd.DataFrame(rows).to_csv(sys.stdout, index=False, lineterminator="\n")
        return
    console = Console(highlight=False)
    console.width = min(max(console.width, NARROWEST), WIDEST)
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in rows[0]:
        numeric = name != wide and all(_is_amount(row[name]) for row in rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold", no_wrap=False)
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    console.print(table)


def _is_amount(value: Any) -> bool:
    return not value or str(value)[0].isdigit()
