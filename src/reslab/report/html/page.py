"""The page of a study, in the order it is read."""

import re
from dataclasses import dataclass
from pathlib import Path

import jinja2
import pandas as pd
from markupsafe import Markup, escape

from reslab.config.study import Study
from reslab.report.axes import axes, panels, series, study_settings
from reslab.report.figures.curves import labelled
from reslab.report.html import figures
from reslab.report.html.claims import claims_tables
from reslab.report.html.every_seed import every_seed
from reslab.report.html.records import anchor, environments_table, recipe, seeds_table, shared
from reslab.report.html.table import Table, table
from reslab.report.statistics.failures import UNTRAINED
from reslab.report.statistics.published import against_published
from reslab.report.statistics.summary import network_scores
from reslab.report.tables.answer import answer
from reslab.report.tables.cells import EMPTY, Cell, numbers
from reslab.report.tables.classes import CLASSES_NOTE, classes_columns
from reslab.report.tables.comparisons import comparisons_columns, comparisons_note
from reslab.report.tables.published import difference, in_paper, published_note, theirs
from reslab.report.tables.results import ERROR, NETWORKS_NOTE, networks_columns, results_columns, results_note
from reslab.storage import replace_text


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Everything that the page shows of a study; None for what the study does not have."""

    study: Study
    runs: pd.DataFrame
    summary: pd.DataFrame
    histories: dict[str, pd.DataFrame]
    comparisons: pd.DataFrame | None = None
    calibration: pd.DataFrame | None = None
    classes: pd.DataFrame | None = None
    confusions: pd.DataFrame | None = None
    reliability: dict[str, pd.DataFrame] | None = None


def write(found: Findings, path: Path) -> None:
    """Write the page; its links are relative to the folder `metrics`."""
    replace_text(path, render(found))


def render(found: Findings) -> str:
    """The page as text, the same for the same findings."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("reslab.report.html", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["code"] = code
    environment.undefined = jinja2.StrictUndefined
    return (
        environment.get_template("page.jinja")
        .render(
            study=found.study,
            report=found.study.report,
            answer=answer(found.comparisons),
            counts=counts(found.runs),
            tables=tables_of(found),
            figures=figures_of(found),
            every_seed=every_seed(found.histories),
            layers=layer_files(found),
            shared=shared(found.study),
            records=[
                {"name": name, "recipe": recipe(found.study, name), "seeds": seeds_table(found.runs, name)}
                for name in found.study.experiments
            ],
            commits=sorted({str(commit) for commit in found.runs["commit"].dropna()}),
            dirty=bool(found.runs["dirty"].fillna(False).astype(bool).any()),
        )
        .rstrip("\n")
        + "\n"
    )


def code(text: str) -> Markup:
    """Escaped text in which `this` is code, as in Markdown."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def layer_files(found: Findings) -> list[str]:
    """The files that layers/dvc.yaml writes, if the report sets `layers`; one figure needs further depths, the other tau."""
    if not found.study.report.layers.model_fields_set:
        return []
    drawn = {"layers/threshold.svg": found.summary["tau"].notna().any(), "layers/growth.svg": found.study.report.layers.depths}
    return ["layers/growth.md", *(path for path, written in drawn.items() if written)]


def counts(runs: pd.DataFrame) -> dict[str, int]:
    """The number of networks, of those that diverged and of those that did not train."""
    status = runs["status"]
    return {"networks": len(runs), "diverged": int((status == "diverged").sum()), "untrained": int((status == UNTRAINED).sum())}


def tables_of(found: Findings) -> dict[str, Table]:
    """The tables that the study has, by name."""
    published = against_published(found.study, found.summary) if found.study.report.published else None
    made = [
        results_table(found, published),
        networks_table(found.runs, network_scores(found.runs, found.calibration)),
        environments_table(found.runs),
    ]
    if found.comparisons is not None and len(found.comparisons):
        made.append(comparisons_table(found.comparisons))
    made += claims_tables(found.comparisons, published)
    if found.classes is not None:
        made.append(classes_table(found.classes, found.confusions))
    return {table.name: table for table in made}


def results_table(found: Findings, published: pd.DataFrame | None) -> Table:
    """The experiments, ours beside published."""
    summary = found.summary
    columns = results_columns(summary)
    ours = ERROR if published is None else "ours %"
    beside = {"experiment": columns.pop("experiment"), ours: columns.pop(ERROR)}  # a phone shows no more
    if summary["depth"].notna().any():
        beside["depth"] = numbers(summary["depth"], "{:.0f}")
    columns = beside | columns
    note, sources = results_note(summary, found.runs), ("tables/results.csv",)
    if published is not None:
        columns = with_published(columns, published)
        note += " " + published_note(published)
        sources += ("tables/published.csv",)
    names = list(summary["experiment"])
    return table(
        "results",
        "Test error after the last epoch, mean ± std",
        columns,
        lambda heading, row: "" if heading in ("verdict", "source") else f"#{anchor(names[row])}",
        note=note,
        sources=sources,
    )


def with_published(columns: dict[str, list[Cell]], against: pd.DataFrame) -> dict[str, list[Cell]]:
    """The comparison with published numbers beside our errors; its cells are empty where nothing is published."""
    rows = {row["experiment"]: row for row in against.to_dict("records")}
    cells = {
        "published %": theirs,
        **({"in paper %": in_paper} if against["paper"].notna().any() else {}),
        "ours − published, points": difference,
        "verdict": lambda row: Cell(None, row["verdict"]),
        "source": lambda row: Cell(None, row["source"]),
    }
    names = [cell.text for cell in columns["experiment"]]
    beside = {heading: [make(rows[name]) if name in rows else EMPTY for name in names] for heading, make in cells.items()}
    last = {"source": beside.pop("source"), "s per run": columns["s per run"]}
    first = {key: columns[key] for key in ("experiment", "ours %")}
    rest = {key: column for key, column in columns.items() if key not in ("published", *first, *last)}
    return first | beside | rest | last


def networks_table(runs: pd.DataFrame, scores: pd.DataFrame) -> Table:
    """The single networks."""
    keys = list(zip(runs["experiment"], runs["seed"], strict=True))
    return table(
        "networks",
        "Networks, one a row",
        networks_columns(scores),
        lambda heading, row: f"#{anchor(*keys[row])}",
        note=NETWORKS_NOTE,
        sources=("tables/networks.csv",),
    )


def comparisons_table(compared: pd.DataFrame) -> Table:
    """Experiments against each other; numbers link to the first of the two."""
    names = {key: list(compared[key]) for key in ("experiment", "against")}

    def link(heading: str, row: int) -> str:
        return "" if heading in ("verdict", "test") else f"#{anchor(names.get(heading, names['experiment'])[row])}"

    columns, note = comparisons_columns(compared), comparisons_note(compared)
    return table("comparisons", "Experiments against each other", columns, link, note=note, sources=("tables/comparisons.csv",))


def classes_table(errors: pd.DataFrame, confused: pd.DataFrame) -> Table:
    """The hardest classes."""
    columns = classes_columns(errors, confused)
    return table(
        "classes",
        "Hardest classes and most frequent confusions",
        columns,
        lambda heading, row: f"#{anchor(columns[heading][row].text)}" if heading == "experiment" else "",
        note=CLASSES_NOTE,
        sources=("tables/classes.csv",),
    )


CURVES = {
    "train_loss": "Training loss by epoch{}: mean over the seeds that did not diverge, band from the lowest to the highest.",
    "test_error": "Test error by epoch{}: mean over the seeds that did not diverge, band from the best to the worst. "
    "Seeds that did not train are among them, other than in the tables.",
}
RELIABILITY = "Accuracy against confidence{}, in bins of at least 10 images."
Captioned = list[tuple[str, Markup]]


def figures_of(found: Findings) -> dict[str, Captioned]:
    """Captions and figures: `curves`, `errors` (of each axis that the study varies), `reliability`."""
    return {"curves": curve_figures(found), "errors": error_figures(found), "reliability": reliability_figures(found)}


def curve_figures(found: Findings) -> Captioned:
    """The curves, a figure for each panel of the study."""
    every, made = labelled(found.histories), []
    for column, caption in CURVES.items():
        for number, (title, names) in enumerate(panels(study_settings(found.study)).items()):
            shown = labelled({name: found.histories[name] for name in names})
            drawn = figures.curves(shown, every, column, f"{column}{number or ''}")
            made.append((captioned(caption, title), drawn))
    return made


def error_figures(found: Findings) -> Captioned:
    """Test error against each quantity that the study varies, and against its costs."""
    settings, published, made = study_settings(found.study), found.study.report.published, []
    for number, axis in enumerate(axes(found.study, found.summary, found.runs)):
        drawn = figures.error_against(axis, series(axis, settings), found.summary, found.runs, published, f"against{number}")
        left_out = "" if axis.path else " Experiments all of whose seeds diverged are left out."
        made.append((f"Test error against {axis.name}: a dot a seed, a bar the mean of those that trained.{left_out}", drawn))
    return made


def reliability_figures(found: Findings) -> Captioned:
    """Accuracy against confidence; none without predictions."""
    made = []
    for number, (title, names) in enumerate(panels(study_settings(found.study)).items() if found.reliability else ()):
        drawn = figures.reliability(found.reliability, names, f"reliability{number or ''}")
        made.append((captioned(RELIABILITY, title), drawn))
    return made


def captioned(caption: str, title: str) -> str:
    """A caption with the title of a panel in its place."""
    return caption.format(f" ({title})" if title else "")
