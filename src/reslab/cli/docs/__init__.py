"""The pages of docs/ that are made from the code and the kept results, and the same reference at the command line."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from reslab.cli.app import REFERENCE, UPKEEP, app
from reslab.cli.docs import glossary
from reslab.cli.text import print_paragraph, print_rows
from reslab.config.schema import unknown
from reslab.config.study import STUDY_KEYS
from reslab.errors import UserError
from reslab.runs.checksums import read_text
from reslab.storage import replace_text

SECTIONS = (*STUDY_KEYS, *glossary.SECTIONS, *glossary.NAMED)


@app.command(rich_help_panel=UPKEEP)
def docs() -> None:
    """Write the pages of docs/ that are made from the code: configuration, models, architecture, results."""
    if not Path("pyproject.toml").exists():
        raise UserError("pyproject.toml: no such file here; run from the root of the repository")
    if sys.flags.optimize > 1:
        raise UserError("PYTHONOPTIMIZE=2 or python -OO: then the code has no sentences for the pages; unset it")
    for name, text in pages(Path()).items():
        replace_text(Path(name), text)
        print(f"wrote {name}")


def pages(root: Path) -> dict[str, str]:
    """Path below `root` -> text, for every page that is made."""
    from reslab.cli.docs import architecture, configuration, drawing, gallery, markdown, models

    plan = architecture.floors(root), architecture.rooms(root), architecture.reduced(architecture.arrows(root))
    around = read_text(root / architecture.PAGE, mend=architecture.MEND)
    return {
        configuration.PAGE: configuration.page(),
        models.PAGE: models.page(),
        architecture.DRAWING: drawing.svg(*plan),
        architecture.PAGE: markdown.with_block(around, architecture.block(root), architecture.MARKS),
        gallery.PAGE: gallery.page(root / "results", root / "docs"),
    }


def section_names(incomplete: str) -> list[str]:
    """The sections of params.yaml."""
    return [name for name in dict.fromkeys(SECTIONS) if name.startswith(incomplete)]


@app.command(rich_help_panel=REFERENCE)
def options(
    path: Annotated[
        str | None,
        typer.Argument(
            help="A section, such as `train`, or an entry of one, such as `optimizer.sgd`.",
            show_default="all",
            autocompletion=section_names,
        ),
    ] = None,
) -> None:
    """List what a section of params.yaml may hold: its entries, or the options of one with types, defaults and meanings."""
    if path is None:
        print_rows([{"section": key, "meaning": line} for key, line in glossary.keys_of_a_study()], csv=False, wide="meaning")
    elif path in glossary.SECTIONS:
        _print(glossary.fields_of(path))
    elif path in glossary.NAMED:
        rows = [{"entry": name, "meaning": sentence} for name, sentence in glossary.entries(path).items()]
        print_rows(rows, csv=False, wide="meaning")
        _print(glossary.shared_options(path))
    elif path in STUDY_KEYS:
        print_paragraph(glossary.meaning("study", path))
    elif (section := path.rpartition(".")[0]) in glossary.NAMED:
        _print_entry(section, path.rpartition(".")[2])
    else:
        raise UserError(unknown(path, dict.fromkeys(SECTIONS), "section"))


def _print_entry(section: str, entry: str) -> None:
    table = glossary.table(section)
    if entry not in table:
        raise UserError(unknown(entry, table, f"entry of {section}"))
    print_paragraph(glossary.entries(section)[entry])
    _print([*glossary.options_of(section, entry), *glossary.options_of(section, entry, initialisation=True)])


def _print(options: list[glossary.Option]) -> None:
    rows = [
        {"option": option.name, "default": option.default, "meaning": f"{option.meaning} ({option.kind.replace('`', '')})"}
        for option in options
    ]
    if rows:
        print_rows(rows, csv=False, wide="meaning")
