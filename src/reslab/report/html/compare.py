"""The page of `reslab compare`."""

from pathlib import Path

import jinja2

from reslab.report.html.table import table
from reslab.report.tables.side_by_side import ERRORS, SideBySide
from reslab.storage import replace_text


def write(found: SideBySide, names: list[str], path: Path) -> None:
    """Write the page with the tables that have rows."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("reslab.report.html", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    tables = {
        "What it brought": table("differences", "Differences of the mean test errors", found.differences, note=found.tests),
        "What was changed": table("settings", "Settings that are not the same everywhere", found.settings),
        "All errors": table("errors", ERRORS, found.errors),
    }
    made = {heading: one for heading, one in tables.items() if one.rows}
    title = f"{', '.join(names[1:])} against {names[0]}"
    text = environment.get_template("compare.jinja").render(title=title, tables=made, notes=found.notes)
    replace_text(path, text + "\n")
