"""Commands about results that git keeps: those of this study in the README, those of other studies in results/."""

import errno
import json
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from reslab import config, stop
from reslab.cli.app import UPKEEP, app
from reslab.cli.docs import gallery, markdown
from reslab.cli.options import Params, kept_names
from reslab.config.schema import unknown
from reslab.config.start import as_written
from reslab.config.study import Study
from reslab.errors import UserError
from reslab.runs import table_checksums
from reslab.runs.checksums import AGAIN, check_small, read_bytes, read_text
from reslab.runs.network_files import checksum_of, experiment_record
from reslab.stop import children
from reslab.storage import remove, replace_text

CLAIM_MARKS = ("<!-- claim: made by `reslab readme` -->", "<!-- end of claim -->")
README_MARKS = ("<!-- results: made by `reslab readme` -->", "<!-- end of results -->")
WIDTH = 130
SHORT = (
    "experiment",
    "tau",
    "n",
    "test error % (mean ± std)",
    "diverged",
    "did not train",
    "s per run",
)  # the columns that a README has room for
OF_EACH = {"environments": "json", "runs": "json", "history": "csv"}  # a file an experiment, beside those of other studies
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
    table_checksums.check(metrics / "tables")
    folder = results / study.name
    with _replaced(folder) as draft:
        _check_histories(study, metrics)
        _copy(study, metrics, draft)
        shutil.copy2(params, draft / "params.yaml")
    print(f"{folder}: kept")
    _write_gallery(results)


@contextmanager
def _replaced(folder: Path) -> Iterator[Path]:
    """A draft of a folder. What is there stays until the draft is whole, also if this is killed or the disk is full."""
    work = folder.parent / f".{folder.name}"
    draft, before = work / "draft", work / "before"
    _bring_back(folder, work)
    try:
        work.mkdir(parents=True)
        yield draft
        with stop.cooperating():
            if folder.exists():
                _move(folder, before)
            draft.rename(folder)
    finally:
        _bring_back(folder, work)


def _bring_back(folder: Path, work: Path) -> None:
    """Put back what was moved aside for a draft that did not take its place; remove the rest."""
    if (work / "before").exists() and (work / "draft").exists():
        remove(folder)
        (work / "before").rename(folder)
    remove(work)


def _move(folder: Path, aside: Path) -> None:
    """Move a folder aside: `aside` is whole, or not there. A folder of a container's image cannot be renamed, so it is copied."""
    try:
        folder.rename(aside)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        shutil.copytree(folder, copied := aside.with_name("copied"))
        copied.rename(aside)
        remove(folder)


def _check_same(study: Study, params: Path, metrics: Path) -> None:
    """Raise UserError unless the records are of this study: its experiments as params.yaml has them, its seeds."""
    different = sorted(set(_summary(metrics / "summary.json")) ^ set(study.experiments))
    for name in () if different else study.experiments:
        records = experiment_record(metrics / "runs" / f"{name}.json", older=True)["runs"]
        sections = as_written(study.experiments[name].sections)
        trained_with = [as_written(record["config"]) for record in records]
        if [record["seed"] for record in records] != study.seeds or any(found != sections for found in trained_with):
            different.append(name)
    if different:
        raise UserError(f"{metrics} is not of the study in {params} ({', '.join(different[:3])}); run `dvc repro`")


def _check_histories(study: Study, metrics: Path) -> None:
    """Raise UserError unless the histories are those of the records."""
    for name in study.experiments:
        path = metrics / "history" / f"{name}.csv"
        read_bytes(path, checksum_of(experiment_record(metrics / "runs" / f"{name}.json", older=True), path.name))


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


def _made(path: Path, mend: str = AGAIN) -> Path:
    """The path; raises UserError if nothing is there, or if it is or holds what copying would wait for."""
    if not path.exists():
        raise UserError(f"{path}: no such file; run `dvc repro`")
    for each in (path, *path.rglob("*")):
        check_small(each, mend=mend)
    return path


def _measured(layers: Path) -> set[str]:
    """The experiments of the study whose layers were measured last, if any were."""
    from reslab.tracking.results import read_table

    table_checksums.check_layers(layers)
    return {row["experiment"].split("@")[0] for row in read_table(layers / table_checksums.GROWTH, "experiment")}


@app.command(rich_help_panel=UPKEEP)
def refresh(
    studies: Annotated[
        list[str] | None, typer.Argument(help="Studies in results/.", show_default="all", autocompletion=kept_names)
    ] = None,
    results: Annotated[Path, typer.Option(help="Where results of studies are kept.")] = Path("results"),
) -> None:
    """Make tables, plots and pages in results/ again from their records, with the statistics of today; nothing is trained.

    What needs predictions (McNemar's tests, classes, reliability diagrams) stays as it was kept.
    """
    known = {folder.name: folder for folder in gallery.kept(results)}
    for name in studies or known:
        if name not in known:
            raise UserError(unknown(name, known, "study"))
        with _replaced(known[name]) as draft:
            shutil.copytree(_made(known[name], gallery.MEND), draft)
            _aggregate(draft, known[name])
    _write_gallery(results)


def _aggregate(draft: Path, folder: Path) -> None:
    """Make the tables of a kept study again in a draft of its folder, which the messages name."""
    check_small(script := Path("stages/aggregate.py"), mend="take it from git")
    command = [sys.executable, str(script), str(draft), "--params", str(draft / "params.yaml"), "--kept"]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True, "errors": "replace"}
    done = children.run(command, check=False, **pipes)
    print(done.stderr.replace(str(draft), str(folder)), end="", file=sys.stderr)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, [part.replace(str(draft), str(folder)) for part in command])
    shutil.rmtree(draft / table_checksums.CURVES, ignore_errors=True)  # of DVC's own plots, which show this study only


def _write_gallery(results: Path) -> None:
    page = results.parent / gallery.PAGE
    page.parent.mkdir(exist_ok=True)
    replace_text(page, gallery.page(results, page.parent))
    print(f"{page} shows {results}/")


@app.command(rich_help_panel=UPKEEP)
def readme(
    path: Annotated[Path, typer.Option(help="The page with the marks.")] = Path("README.md"),
    params: Params = Path("params.yaml"),
    metrics: Annotated[Path, typer.Option(help="What the pipeline made.")] = Path("metrics"),
) -> None:
    """Put what the study shows, as far as its statistics say so, and a short results table into README.md, between their marks."""
    study = config.load(params)
    around = read_text(path, mend="give a page of UTF-8 text with the marks")
    text = markdown.with_block(around, short_table(study, metrics), README_MARKS)
    replace_text(path, markdown.with_block(text, claim(metrics / "tables"), CLAIM_MARKS))


def claim(tables: Path) -> str:
    """What the study says of failures, with the verdict of its own test; nothing if it compares none."""
    from reslab.report.statistics.equivalence import ALPHA
    from reslab.tracking.results import read_table

    table_checksums.check(tables)
    rows = [row for row in read_table(tables / "comparisons.csv", "divergence_p_holm") if row["divergence_p_holm"]]
    if not rows:
        return ""
    row = min(rows, key=lambda row: float(row["divergence_p_holm"]))
    failed = f"{row['diverged']} of {row['seeds']}", f"{row['against_diverged']} of {row['against_seeds']}"
    p = float(row["divergence_p_holm"])
    settled = "significantly less often" if p < ALPHA else "not significantly less often"
    return textwrap.fill(
        f"Of `{row['against']}` {failed[1]} seeds fail (they diverge, or do not train), of `{row['experiment']}` {failed[0]}: "
        f"{settled} (p = {p:.2g}, Boschloo's exact test, Holm's correction). What else is settled, and what is not, is in "
        "[claims.md](metrics/tables/claims.md).",
        WIDTH,
        break_long_words=False,
        break_on_hyphens=False,
    )


def short_table(study: Study, metrics: Path) -> str:
    """The results table with the columns that a README has room for; metrics/tables/results.md has all of them."""
    from reslab.report.statistics.summary import summarize
    from reslab.report.tables.results import footnote, render, results_columns
    from reslab.report.trained_as import runs_of

    runs = runs_of(study, metrics / "runs", older=True)
    columns = results_columns(summarize(study, runs))
    return render(
        {name: columns[name] for name in SHORT if name in columns}, title=study.report.title, note=footnote(runs, intervals=False)
    )
