"""The page of `reslab compare`."""

from pathlib import Path

import jinja2

from reslab.report.html.table import table
from reslab.report.tables.side_by_side import SideBySide
from reslab.storage import replace_text

CAPTIONS = {"differences": "What it brought", "settings": "What was changed", "errors": "All errors"}


def write(found: SideBySide, names: list[str], path: Path) -> None:
    """Write the page with the tables that have rows."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("reslab.report.html", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    columns = {name: getattr(found, name) for name in CAPTIONS}
    made = [table(name, caption, columns[name]) for name, caption in CAPTIONS.items() if any(columns[name].values())]
    title = f"{', '.join(names[1:])} against {names[0]}"
    text = environment.get_template("compare.jinja").render(title=title, tables=made, notes=found.notes)
    replace_text(path, text + "\n")
