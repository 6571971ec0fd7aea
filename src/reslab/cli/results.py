"""Commands about results that git keeps: those of this study in the README, those of other studies in results/."""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from reslab import config
from reslab.cli.app import UPKEEP, app
from reslab.cli.docs import gallery, markdown
from reslab.cli.options import Params
from reslab.config.study import Study
from reslab.errors import UserError
from reslab.runs.checksums import read_bytes, read_text
from reslab.runs.network_files import experiment_record

README_MARKS = ("<!-- results: made by `reslab readme` -->", "<!-- end of results -->")
SHORT = (
    "experiment",
    "tau",
    "n",
    "test error % (mean ± std)",
    "diverged",
    "did not train",
    "s per run",
)  # the columns that a README has room for
OF_EACH = {"runs": "json", "history": "csv"}  # a file an experiment: other studies leave theirs here as well
OF_ALL = ("tables", "plots", "summary.json", "report.html")


@app.command(rich_help_panel=UPKEEP)
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
    page = results.parent / gallery.PAGE
    page.parent.mkdir(exist_ok=True)
    page.write_text(gallery.page(results, page.parent), encoding="utf-8")
    print(f"{folder}: kept; {page} shows it")


def _check_same(study: Study, params: Path, metrics: Path) -> None:
    """Raise UserError unless the records are of this study: its experiments as params.yaml has them, its seeds."""
    different = sorted(set(_summary(metrics / "summary.json")) ^ set(study.experiments))
    for name in () if different else study.experiments:
        records = experiment_record(metrics / "runs" / f"{name}.json", older=True)["runs"]
        sections = json.loads(json.dumps(study.experiments[name].sections))
        if [record["seed"] for record in records] != study.seeds or any(record["config"] != sections for record in records):
            different.append(name)
    if different:
        raise UserError(f"{metrics} is not of the study in {params} ({', '.join(different[:3])}); run `dvc repro`")


def _summary(path: Path) -> dict:
    """The experiments of the last `aggregate`, which DVC compares as they are; raises UserError for a missing or damaged file."""
    content = read_bytes(path)
    try:
        return dict(json.loads(content))
    except (ValueError, TypeError, RecursionError):
        raise UserError(f"{path}: damaged; run `dvc repro -f aggregate`") from None


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
    from reslab.tracking.results import read_table

    return {row["experiment"].split("@")[0] for row in read_table(layers / "growth.csv", "experiment")}


@app.command(rich_help_panel=UPKEEP)
def readme(
    path: Annotated[Path, typer.Option(help="The page with the marks.")] = Path("README.md"),
    params: Params = Path("params.yaml"),
    metrics: Annotated[Path, typer.Option(help="What the pipeline made.")] = Path("metrics"),
) -> None:
    """Put a short results table of the study into README.md, between its marks."""
    around = read_text(path, mend="give a page of UTF-8 text with the marks")
    text = markdown.with_block(around, short_table(config.load(params), metrics), README_MARKS)
    path.write_text(text, encoding="utf-8")


def short_table(study: Study, metrics: Path) -> str:
    """The results table with the columns that a README has room for; metrics/tables/results.md has all of them."""
    from reslab.report.statistics.summary import runs_table, summarize
    from reslab.report.tables.results import footnote, render, results_columns

    runs = runs_table(study, metrics / "runs", older=True)
    columns = results_columns(summarize(study, runs))
    return render(
        {name: columns[name] for name in SHORT if name in columns}, title=study.report.title, note=footnote(runs, intervals=False)
    )
