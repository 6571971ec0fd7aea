"""Commands about results that git keeps: those of this study in the README, those of other studies in results/."""

import json
import re
import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from tabulate import tabulate

from reslab import config
from reslab.cli.app import app
from reslab.cli.options import Params
from reslab.config.study import Study
from reslab.errors import UserError
from reslab.report.statistics.summary import runs_table
from reslab.runs.records import read_record

README_MARKS = ("<!-- results: made by `reslab readme` -->", "<!-- end of results -->")
KEPT_MARKS = ("<!-- kept results: made by `reslab readme` -->", "<!-- end of kept results -->")
OF_EACH = {"runs": "json", "history": "csv"}  # a file an experiment: other studies leave theirs here as well
OF_ALL = ("tables", "plots", "summary.json", "report.html")
INDEX = "README.md"
PAGES = {
    "report.html": "page",
    "tables/comparisons.md": "comparisons",
    "plots/curves.svg": "curves",
    "plots/depth_and_tau.svg": "error against depth and tau",
    "layers/growth.md": "growth against depth",
    "layers/threshold.svg": "where it explodes",
}


@app.command()
def keep(
    params: Params = Path("params.yaml"),
    metrics: Annotated[Path, typer.Option(help="What the pipeline made.")] = Path("metrics"),
    results: Annotated[Path, typer.Option(help="Where results of studies are kept.")] = Path("results"),
) -> None:
    """Copy the study's records, tables and plots to results/STUDY, so that another study may take its place in metrics/."""
    study = config.load(params)
    _check_same(study, params, metrics)
    results.mkdir(parents=True, exist_ok=True)
    folder = results / study.name
    with tempfile.TemporaryDirectory(dir=results, prefix=".") as name:  # what was kept before stays until all is copied
        draft = Path(name) / study.name
        _copy(study, metrics, draft)
        shutil.copy2(params, draft / "params.yaml")
        shutil.rmtree(folder, ignore_errors=True)
        draft.rename(folder)
    (results / INDEX).write_text(index(results))
    print(f"{folder}: kept; {results / INDEX} lists it")


def _check_same(study: Study, params: Path, metrics: Path) -> None:
    """Raise UserError unless the records are of this study: its experiments as params.yaml has them, its seeds."""
    different = sorted(set(read_record(metrics / "summary.json")) ^ set(study.experiments))
    for name in () if different else study.experiments:
        records = read_record(metrics / "runs" / f"{name}.json")["runs"]
        sections = json.loads(json.dumps(study.experiments[name].sections))
        if [record["seed"] for record in records] != study.seeds or any(record["config"] != sections for record in records):
            different.append(name)
    if different:
        raise UserError(f"{metrics} is not of the study in {params} ({', '.join(different[:3])}); run `dvc repro`")


def _copy(study: Study, metrics: Path, folder: Path) -> None:
    for kind, suffix in OF_EACH.items():
        (folder / kind).mkdir(parents=True)
        for name in study.experiments:
            shutil.copy2(_made(metrics / kind / f"{name}.{suffix}"), folder / kind)
    for name in OF_ALL:
        (shutil.copytree if (metrics / name).is_dir() else shutil.copy2)(_made(metrics / name), folder / name)
    if _measured(metrics / "layers") == set(study.experiments):
        shutil.copytree(metrics / "layers", folder / "layers")


def _made(path: Path) -> Path:
    """The path; raises UserError if nothing is there."""
    if not path.exists():
        raise UserError(f"{path}: no such file; run `dvc repro`")
    return path


def _measured(layers: Path) -> set[str]:
    """The experiments of the study whose layers were measured last, if any were."""
    path = layers / "growth.csv"
    return {name.split("@")[0] for name in pd.read_csv(path)["experiment"]} if path.exists() else set()


def index(results: Path) -> str:
    """A page with the results of every study that is kept, from the tables that the pipeline made."""
    parts = ["# Results of other studies\n\nMade by `reslab keep`; each folder has the study, its records, tables and plots.\n"]
    for folder in _kept(results):
        study = config.load(folder / "params.yaml")
        notes = "".join(f"\n- {note}" for note in [*study.report.differences, *study.report.notes])
        table = (folder / "tables" / "results.md").read_text()
        more = "".join(f" · [{text}]({study.name}/{path})" for path, text in PAGES.items() if (folder / path).exists())
        heading = f"## {study.name}\n\n[params.yaml]({study.name}/params.yaml){more}"
        parts.append(f"{heading}\n\n{study.report.question}\n{notes}\n\n{table}")
    return "\n".join(parts)


@app.command()
def readme(
    path: Annotated[Path, typer.Option(help="The page with the marks.")] = Path("README.md"),
    table: Annotated[Path, typer.Option(help="The table to put there.")] = Path("metrics/tables/results.md"),
    results: Annotated[Path, typer.Option(help="Where results of other studies are kept.")] = Path("results"),
) -> None:
    """Put the results table, and what is kept of other studies, into README.md, between their marks."""
    page = with_results(path.read_text(), table.read_text(), README_MARKS)
    path.write_text(with_results(page, overview(results), KEPT_MARKS))


def overview(results: Path) -> str:
    """A Markdown table with a line for every study that is kept: data, size, errors, hardware."""
    rows = []
    for folder in _kept(results):
        study = config.load(folder / "params.yaml")
        runs = runs_table(study, folder / "runs")
        errors = [row["error_percent"] for row in read_record(folder / "summary.json").values() if "error_percent" in row]
        epochs = {experiment.sections["train"].get("epochs") for experiment in study.experiments.values()}
        rows.append(
            {
                "study": f"[{study.name}]({results.name}/{INDEX}#{study.name})",
                "data": Path(study.dataset.get("source") or study.dataset["name"]).name,
                "epochs": ", ".join(sorted(map(str, epochs))),
                "networks": len(runs),
                "diverged": (runs["status"] == "diverged").sum(),
                "means of the test error %": f"{min(errors):.2f} to {max(errors):.2f}" if errors else "",
                "measured on": ", ".join(sorted({f"{run.device}, {run.threads} thread(s)" for run in runs.itertuples()})),
            }
        )
    return tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True) + "\n"


def with_results(page: str, table: str, marks: tuple[str, str]) -> str:
    """The page with `table` between the marks; raises UserError if a mark is missing."""
    start, end = map(re.escape, marks)
    page, found = re.subn(f"({start}\n).*?({end})", lambda marks: f"{marks[1]}\n{table}\n{marks[2]}", page, flags=re.DOTALL)
    if not found:
        raise UserError(f"the page has no lines {marks[0]} and {marks[1]}")
    return page


def _kept(results: Path) -> list[Path]:
    return sorted(path.parent for path in results.glob("*/params.yaml"))
