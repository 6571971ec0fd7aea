"""`reslab compare`: what was changed, and what it brought."""

from pathlib import Path
from typing import Annotated

import typer

from reslab.cli.app import USE, app
from reslab.cli.options import side_names
from reslab.errors import UserError, check_output

FORMATS = (".html", ".htm")


@app.command(rich_help_panel=USE)
def compare(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="Experiments of DVC, branches, tags, commits, folders such as results/STUDY, or `workspace`.",
            autocompletion=side_names,
            show_default="HEAD, the workspace if it differs, and all experiments of DVC at this commit",
        ),
    ] = None,
    output: Annotated[Path, typer.Option(help="The same as a page.")] = Path("compare.html"),
) -> None:
    """Print what differs in settings and in results, with verdicts; the first is what the others are compared with."""
    from reslab.cli.text import print_rows
    from reslab.report.html import compare as page
    from reslab.report.sides import read_sides
    from reslab.report.tables.cells import terminal
    from reslab.report.tables.side_by_side import ERRORS, side_by_side, verdict_heading

    check_output(output)
    if output.suffix not in FORMATS and not (output.exists() and not output.is_file()):  # params.yaml is no place for a page
        raise UserError(f"{output}: unknown format; give a {FORMATS[0]}")
    sides = read_sides(names or [])
    found = side_by_side(sides)
    beside = "" in found.errors  # the settings are beside the errors
    for columns in ({} if beside else found.settings, found.errors):
        if any(columns.values()):
            print(terminal(columns), end="\n\n")
    if found.differences:
        rows = [dict(zip(found.differences, cells, strict=True)) for cells in zip(*found.differences.values(), strict=True)]
        print_rows(rows, csv=False, wide=verdict_heading(sides[0].name))
        print()
    said = [f"{ERRORS}. {found.tests}".strip()] if found.errors else []
    print(*said, *found.notes, sep="\n")
    page.write(found, [side.name for side in sides], output)
    print(f"{output}: the same as a page")
