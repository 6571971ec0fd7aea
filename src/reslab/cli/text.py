"""Text for a terminal: tables, durations, paragraphs, and the options of a family."""

import inspect
import re
import sys
import textwrap
from typing import Any, Literal, get_args, get_origin

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from reslab import config
from reslab.config.settings import flow
from reslab.errors import UserError, plain
from reslab.report.tables.cells import Cell, is_numeric

NARROWEST, WIDEST = 80, 160  # columns of text
ROOM = 40  # a wide column with less gets lines of its own
GAP = 3  # between two cells
UNBOUNDED = 1000
INDENT = "    "
WHOLE_WORDS = {"break_long_words": False, "break_on_hyphens": False}
DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
TEXT_WIDTH = 100
Rows = list[dict[str, Any]]  # of a table: column -> Cell or words; of CSV: column -> value


def print_rows(rows: Rows, *, csv: bool, wide: str = "") -> None:
    """Print rows as a table that fits the terminal, or as CSV; the column `wide` takes the lines it needs.

    All other cells stay whole, so that a name can be copied. Where they leave too little room, `wide` is printed below each row.
    """
    if csv:
        import pandas as pd

        pd.DataFrame(rows, dtype=object).to_csv(sys.stdout, index=False, lineterminator="\n")
        return
    rows = [{name: cell if isinstance(cell, Cell) else Cell(None, str(cell)) for name, cell in row.items()} for row in rows]
    columns = min(max(Console().width, NARROWEST), WIDEST)
    longest = max(len(row[wide].text) for row in rows) if wide else 0
    lines = _lines([{name: value for name, value in row.items() if name != wide} for row in rows])
    if longest and (room := columns - max(map(len, lines)) - GAP) >= min(longest, ROOM):
        lines = _lines(rows, wide=wide, room=room)
    elif longest:
        lines = _with_lines_below(rows, wide=wide, columns=columns)
    print("\n".join(lines))


def _with_lines_below(rows: Rows, *, wide: str, columns: int) -> list[str]:
    """The table without `wide`, which is indented below each row."""
    first = next(iter(rows[0]))
    without = [{f"{first}, {wide}" if name == first else name: row[name] for name in row if name != wide} for row in rows]
    lines = _lines(without)
    found = lines[:2]  # header and rule
    for row, line in zip(rows, lines[2:], strict=True):
        below = textwrap.wrap(row[wide].text, columns, initial_indent=INDENT, subsequent_indent=INDENT, **WHOLE_WORDS)
        found += [line, *below]
    return found


def _lines(rows: Rows, *, wide: str = "", room: int | None = None) -> list[str]:
    """The table as text, as wide as its cells; only `wide` is wrapped, at `room`."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in rows[0]:
        numeric = is_numeric(row[name] for row in rows)
        options = {"overflow": "fold", "max_width": room} if name == wide else {"no_wrap": True}
        table.add_column(name, justify="right" if numeric else "left", **options)
    for row in rows:
        table.add_row(*(cell.text for cell in row.values()))
    console = Console(highlight=False, markup=False, color_system=None, width=UNBOUNDED)
    with console.capture() as captured:
        console.print(table)
    return [line.rstrip() for line in captured.get().splitlines()]


def parse_duration(text: str) -> float:
    """'90s', '20m', '1.5h' or '2d' in seconds; raises UserError."""
    found = DURATION.fullmatch(text.strip())
    if not found or not float(found[1]):
        raise UserError(f"{text!r} is not a time: give a number and s, m, h or d, such as 20m")
    return float(found[1]) * SECONDS[found[2]]


def readable(seconds: float) -> str:
    """Seconds in a suitable unit, to two digits: an estimate has no more."""
    for unit, name in (("d", "days"), ("h", "h"), ("m", "min")):
        if seconds >= 1.5 * SECONDS[unit]:
            return f"{_two_digits(seconds / SECONDS[unit])} {name}"
    return f"{_two_digits(seconds)} s"


def counted(number: int, noun: str) -> str:
    """1 seed, 2 seeds."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> Cell:
    """A time in a table."""
    return Cell(seconds, readable(seconds))


def _two_digits(value: float) -> str:
    return f"{value:.2g}" if value < 10 else f"{value:,.0f}"


def milestones(experiment: config.Experiment, numbers: list[int]) -> str:
    """Milestones with their unit: milestone 100, 150 (epochs)."""
    return f"milestone {', '.join(map(str, numbers))} ({experiment.schedule.get('unit', 'epochs')})"


def print_paragraph(text: str, *, indent: str = "") -> None:
    """Print a text in lines of at most TEXT_WIDTH letters, without signs that steer a terminal."""
    print(textwrap.fill(plain(text), TEXT_WIDTH, initial_indent=indent, subsequent_indent=indent + "  ", **WHOLE_WORDS))


def first_sentence(function: Any) -> str:
    """The first line of a docstring, empty without one."""
    return (inspect.getdoc(function) or "").split("\n")[0]


def options(function: Any, *, initialisation: bool = False) -> str:
    """The options of a family with defaults and choices; or those of the initialisation, whose choices are the same for all."""
    from reslab.models.parts.init import INITIALISATION

    parameters = inspect.signature(function).parameters.values()
    return ", ".join(
        _option(parameter, with_choices=not initialisation)
        for parameter in parameters
        if parameter.kind is parameter.KEYWORD_ONLY and (parameter.name in INITIALISATION) == initialisation
    )


def _option(parameter: inspect.Parameter, *, with_choices: bool) -> str:
    """shortcut=A (A, B, C)"""
    default = "" if parameter.default is parameter.empty else f"={flow(parameter.default)}"
    choices = get_args(parameter.annotation) if get_origin(parameter.annotation) is Literal else ()
    return f"{parameter.name}{default}" + (f" ({', '.join(map(str, choices))})" if choices and with_choices else "")
