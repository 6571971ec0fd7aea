"""Tables, statistics and plots of the whole study: `python stages/aggregate.py metrics`."""

import json
import os
import shutil
import sys
from pathlib import Path

import pandas as pd

from reslab import config
from reslab.config.report import MARGIN
from reslab.environment import project_root
from reslab.errors import UserError, run
from reslab.report.axes import panels, study_settings
from reslab.report.figures.curves import plot_curves
from reslab.report.figures.errors import plot_depth_and_tau
from reslab.report.figures.reliability import plot_reliability
from reslab.report.html import page
from reslab.report.predictions import digest
from reslab.report.statistics.comparison import comparisons, image_by_image
from reslab.report.statistics.published import against_published
from reslab.report.statistics.summary import epoch_means, headline, network_scores, summarize
from reslab.report.statistics.summary import histories as read_histories
from reslab.report.tables.claims import claims, claims_markdown
from reslab.report.tables.classes import classes_markdown
from reslab.report.tables.comparisons import comparisons_markdown
from reslab.report.tables.latex import latex
from reslab.report.tables.published import published_markdown
from reslab.report.tables.results import (
    ERROR,
    TIMES,
    networks_markdown,
    results_columns,
    results_markdown,
    times_markdown,
    times_table,
)
from reslab.report.trained_as import runs_of
from reslab.runs import table_checksums
from reslab.runs.folders import remove_output
from reslab.storage import writes
from reslab.tracking import Store, attempt, read_results

NAMED = 6  # networks in a message
OF_EXPERIMENTS = {
    "environments": "json",
    "models": "json",
    "runs": "json",
    "history": "csv",
}  # folder of metrics/ -> its files, one an experiment
PAPER = ("experiment", "tau", "parameters", "n", "diverged", "did not train", ERROR, "95 % interval", "published")  # fit on a page
OF_PREDICTIONS = ("tables/mcnemar.csv", "tables/classes.csv", "tables/classes.md", "plots/reliability.svg")  # stay in a kept study
OTHERS = ("plots", "summary.json", "report.html")  # beside the tables, made from the same records
MATRIX = 100  # classes that a drawn confusion matrix has room for


@writes
def write_csv(table: pd.DataFrame, path: Path, *, float_format: str = "%.12g") -> None:
    """Equal tables give equal bytes; of statistics the last digits, which are a processor's rounding, are left out."""
    table.to_csv(path, index=False, lineterminator="\n", float_format=float_format)


def write_results(
    study: config.Study, runs: pd.DataFrame, summary: pd.DataFrame, scores: pd.DataFrame, folder: Path
) -> pd.DataFrame | None:
    """Write the tables of experiments, of single networks, and of published numbers, which is returned."""
    (folder / "results.md").write_text(results_markdown(summary, study.report.title), encoding="utf-8")
    columns = {name: column for name, column in results_columns(summary).items() if name in PAPER}
    paper = latex(columns, caption=study.report.title or study.name, label=study.name)
    (folder / "results.tex").write_text(paper, encoding="utf-8")
    write_csv(summary.drop(columns=[*TIMES]), folder / "results.csv")
    (folder / "times.md").write_text(times_markdown(summary, runs), encoding="utf-8")
    write_csv(times_table(summary), folder / "times.csv")
    (folder / "networks.md").write_text(networks_markdown(scores), encoding="utf-8")
    write_csv(scores.drop(columns="seconds"), folder / "networks.csv")
    if not study.report.published:
        return None
    published = against_published(study, summary)
    (folder / "published.md").write_text(published_markdown(published), encoding="utf-8")
    write_csv(published, folder / "published.csv")
    return published


def summarized(study: config.Study, runs: pd.DataFrame, digests: digest.Digests, calibration: pd.DataFrame | None) -> pd.DataFrame:
    """The statistics of each experiment; warns of those whose seeds were trained in different environments."""
    measured = runs if calibration is None else runs.merge(calibration, how="left", on=["experiment", "seed"])
    summary = summarize(study, measured, {key: found.wrong for key, found in digests.items()})
    for row in summary[summary["mixed"] != ""].itertuples():
        print(f"warning: {row.experiment}: its seeds differ in {row.mixed}; their times are not averaged", file=sys.stderr)
    return summary


def write_claims(compared: pd.DataFrame | None, published: pd.DataFrame | None, folder: Path) -> None:
    """Write the table of all claims."""
    found = claims(compared, published)
    (folder / "claims.md").write_text(claims_markdown(found), encoding="utf-8")
    write_csv(found, folder / "claims.csv")


def by_images(study: config.Study, digests: digest.Digests, table: Path, *, kept: bool) -> pd.DataFrame:
    """McNemar's tests of the single networks; the stored `table` of them for a `kept` study, whose predictions are gone."""
    if kept and table.exists():
        names = dict.fromkeys(("experiment", "against"), str)
        return pd.read_csv(table, dtype=names, keep_default_na=False, na_values={"p": "", "p_holm": ""})
    return image_by_image({key: found.wrong for key, found in digests.items()}, study.report.compare)


def write_comparisons(study: config.Study, runs: pd.DataFrame, by_image: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Write the table of comparisons, and McNemar's of the single networks."""
    compared = comparisons(runs, study.report.compare, by_image, margin=(study.report.margin or MARGIN) / 100)
    (folder / "comparisons.md").write_text(comparisons_markdown(compared), encoding="utf-8")
    write_csv(compared, folder / "comparisons.csv")
    write_csv(by_image, folder / "mcnemar.csv")
    return compared


def write_classes(study: config.Study, digests: digest.Digests, metrics: Path) -> dict:
    """Write the table of classes and the reliability diagram; return them for the page."""
    if not digests:
        return {}
    pooled = digest.pooled_reliability(digests)
    classes, confused = digest.by_class(digests), digest.confusions(digests)
    (metrics / "tables" / "classes.md").write_text(classes_markdown(classes, confused), encoding="utf-8")
    write_csv(classes, metrics / "tables" / "classes.csv", float_format="%.6g")
    plot_reliability(pooled, panels(study_settings(study)), metrics / "plots" / "reliability.svg")
    return {"classes": classes, "confusions": confused, "reliability": pooled}


def say_left_out(study: config.Study, metrics: Path) -> None:
    """Name the files of experiments that params.yaml does not have: DVC leaves them when an experiment is dropped."""
    for folder, suffix in OF_EXPERIMENTS.items():
        left = sorted(path.name for path in (metrics / folder).glob(f"*.{suffix}") if path.stem not in study.experiments)
        if left:
            print(f"note: {metrics / folder}: left out, of no experiment in params.yaml: {some(left)}; delete what you do not need")


def some(names: list[str]) -> str:
    """The first names, and how many more there are."""
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def read_predictions(runs: pd.DataFrame, folder: Path) -> digest.Digests:
    """The digests of all predictions.

    Raises UserError if some are missing: half of them would pass for the study. Outside DVC tables of the records alone can be
    made where none are, which results from elsewhere need; a warning says so.
    """
    digests, missing = digest.read(runs, folder)
    if missing and (digests or "DVC_STAGE" in os.environ):
        raise UserError(
            f"{folder}: no predictions of {some(missing)}; run `dvc pull` to fetch them, or `dvc repro evaluate` to make them"
        )
    if missing:
        print(f"warning: {folder}: no predictions of {some(missing)}; `dvc repro evaluate` makes them", file=sys.stderr)
    return digests


def without_predictions(tables: Path) -> digest.Digests:
    """The digests of a kept study, which are none; raises UserError if a table that was made of them was changed since."""
    table_checksums.check_those(tables, OF_PREDICTIONS, mend="take it from git")
    return {}


def curves(histories: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The means of each epoch over the seeds, of all experiments."""
    means = pd.concat([epoch_means(history).assign(experiment=name) for name, history in histories.items()])
    return means.assign(test_error_percent=means["test_error"] * 100)


def write_for_dvc(digests: digest.Digests, predictions: Path, study: config.Study, metrics: Path, sheets: Path) -> None:
    """Write what only DVC's own plots show: the confusion matrices as rows, the sheets of mistakes in one folder."""
    few = {key: found for key, found in digests.items() if len(found.confusion) <= MATRIX}
    write_csv(digest.confusions(few, mistakes=False), metrics / "curves" / "confusion.csv", float_format="%.6g")
    remove_output(sheets, "*.png")
    sheets.mkdir(parents=True)
    for name in study.experiments:
        if (sheet := predictions / name / "mistakes.png").is_file():
            shutil.copyfile(sheet, sheets / f"{name}.png")


def log_to_mlflow(study: config.Study, metrics: Path) -> None:
    """Log tables and plots, statistics of each experiment, scores of each network."""
    opened = Store(project_root(), study.name)
    opened.log_report([metrics / "tables", metrics / "plots"])
    opened.log_results(read_results(study, metrics))


def print_tables(tables: Path) -> None:
    """Print the tables that most readers want."""
    for name in ("results", "published", "comparisons"):
        if (path := tables / f"{name}.md").exists():
            print(path.read_text(encoding="utf-8"))


def main(
    metrics: Path,
    params: Path = Path("params.yaml"),
    predictions: Path = Path("data/predictions"),
    sheets: Path = Path("data/mistakes"),
    *,
    kept: bool = False,
) -> None:
    """Read METRICS/runs, /history and PREDICTIONS; write METRICS/summary.json, report.html, tables/, curves/, plots/ and SHEETS.

    Of a `kept` study (`reslab refresh`) there are no predictions: what was computed from them stays, and MLflow has it already.
    """
    study = config.load(params)
    say_left_out(study, metrics)
    runs = runs_of(study, metrics / "runs", older=kept)
    histories = read_histories(study, metrics)
    digests = without_predictions(metrics / "tables") if kept else read_predictions(runs, predictions)
    for folder in ("tables", "curves", "plots"):
        (metrics / folder).mkdir(exist_ok=True)
    calibration = digest.calibration(digests) if digests else None
    summary = summarized(study, runs, digests, calibration)
    (metrics / "summary.json").write_text(json.dumps(headline(summary), indent=1) + "\n", encoding="utf-8")
    published = write_results(study, runs, summary, network_scores(runs, calibration), metrics / "tables")
    compared = None
    if study.report.compare:
        by_image = by_images(study, digests, metrics / "tables" / "mcnemar.csv", kept=kept)
        compared = write_comparisons(study, runs, by_image, metrics / "tables")
    write_claims(compared, published, metrics / "tables")
    by_class = write_classes(study, digests, metrics)
    write_csv(curves(histories), metrics / "curves" / "curves.csv", float_format="%.6g")
    plot_curves(histories, panels(study_settings(study)), metrics / "plots" / "curves.svg")
    plot_depth_and_tau(study, summary, runs, metrics / "plots" / "depth_and_tau.svg")
    found = page.Findings(
        study=study, runs=runs, summary=summary, histories=histories, comparisons=compared, calibration=calibration, **by_class
    )
    page.write(found, metrics / "report.html")
    if kept:
        table_checksums.write(metrics / "tables", *OTHERS)
    else:
        write_for_dvc(digests, predictions, study, metrics, sheets)
        table_checksums.write(metrics / "tables", *OTHERS, table_checksums.CURVES)
        attempt(lambda: log_to_mlflow(study, metrics), "the results")
        config.check_still(params, study, lambda now: now)
    print_tables(metrics / "tables")


if __name__ == "__main__":
    run(main)
