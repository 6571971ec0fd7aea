"""Commands about results that git keeps: those of this study in the README, those of other studies in results/."""

import re
import shutil
from pathlib import Path
from typing import Annotated

import typer

from reslab import config
from reslab.cli.app import app
from reslab.cli.project import Params
from reslab.errors import UserError

README_MARKS = ("<!-- results: made by `reslab readme` -->", "<!-- end of results -->")
KEPT = ("runs", "history", "tables", "plots", "layers", "summary.json", "report.html")  # of metrics/, as far as it is there
INDEX = "README.md"


@app.command()
def keep(
    params: Params = Path("params.yaml"),
    metrics: Annotated[Path, typer.Option(help="What the pipeline made.")] = Path("metrics"),
    results: Annotated[Path, typer.Option(help="Where results of studies are kept.")] = Path("results"),
) -> None:
    """Copy the study's records, tables and plots to results/STUDY, so that another study may take its place in metrics/."""
    study = config.load(params)
    made = {path.stem for path in (metrics / "runs").glob("*.json")}
    if made != set(study.experiments):
        raise UserError(f"{metrics}/runs holds {', '.join(sorted(made)) or 'nothing'}, not the study in {params}; run `dvc repro`")
    folder = results / study.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copy2(params, folder / "params.yaml")
    for name in KEPT:
        source = metrics / name
        if source.is_dir():
            shutil.copytree(source, folder / name)
        elif source.exists():
            shutil.copy2(source, folder / name)
    (results / INDEX).write_text(index(results))
    print(f"{folder}: kept; {results / INDEX} lists it")


def index(results: Path) -> str:
    """A page with the results of every study that is kept, from the tables that the pipeline made."""
    parts = ["# Results of other studies\n\nMade by `reslab keep`; each folder has the study, its records, tables and plots.\n"]
    for folder in sorted(path.parent for path in results.glob("*/params.yaml")):
        study = config.load(folder / "params.yaml")
        notes = "".join(f"\n- {note}" for note in [*study.report.differences, *study.report.notes])
        table = (folder / "tables" / "results.md").read_text()
        parts.append(f"## [{study.name}]({study.name}/tables/results.md)\n\n{study.report.question}\n{notes}\n\n{table}")
    return "\n".join(parts)


@app.command()
def readme(
    path: Annotated[Path, typer.Option(help="The page with the marks.")] = Path("README.md"),
    table: Annotated[Path, typer.Option(help="The table to put there.")] = Path("metrics/tables/results.md"),
) -> None:
    """Put the results table into README.md, between its marks."""
    path.write_text(with_results(path.read_text(), table.read_text()))


def with_results(page: str, table: str) -> str:
    """The page with `table` between the marks; raises UserError if a mark is missing."""
    start, end = map(re.escape, README_MARKS)
    page, found = re.subn(f"({start}\n).*?({end})", lambda marks: f"{marks[1]}\n{table}\n{marks[2]}", page, flags=re.DOTALL)
    if not found:
        raise UserError(f"the page has no lines {README_MARKS[0]} and {README_MARKS[1]}")
    return page
