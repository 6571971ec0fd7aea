"""The page: what it holds, in the order it is read."""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup, escape

from reslab.config.study import Study
from reslab.report import settings
from reslab.report.html import cells, figures
from reslab.report.html.records import anchor, environments, recipe, seeds_table, shared
from reslab.report.statistics.published import against_published
from reslab.report.tables import comparisons as comparison_tables
from reslab.report.tables import results as result_tables


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What aggregate knows of a study; None where there is nothing to say of it."""

    study: Study
    runs: pd.DataFrame
    summary: pd.DataFrame
    histories: dict[str, pd.DataFrame]
    comparisons: pd.DataFrame | None = None
    classes: pd.DataFrame | None = None
    confusions: pd.DataFrame | None = None
    reliability: dict[str, pd.DataFrame] | None = None


def write(found: Findings, path: Path) -> None:
    """Write the page; its links count from the folder `metrics`, in which it lies."""
    path.write_text(render(found), encoding="utf-8")


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
            counts=counts(found.runs),
            tables=tables_of(found),
            figures=figures_of(found),
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
    """What layers/dvc.yaml writes of a study whose report sets `layers`; a figure against depth needs depths, the other tau."""
    if not found.study.report.layers.model_fields_set:
        return []
    drawn = {"layers/threshold.svg": found.summary["tau"].notna().any(), "layers/growth.svg": found.study.report.layers.depths}
    return ["layers/growth.md", *(path for path, written in drawn.items() if written)]


def counts(runs: pd.DataFrame) -> dict[str, int]:
    """How many networks there are, and how many of them diverged."""
    return {"networks": len(runs), "diverged": int((runs["status"] == "diverged").sum())}


def tables_of(found: Findings) -> dict[str, cells.Table]:
    """The tables that the study has, by name."""
    made = [results(found), networks(found), environments(found.runs)]
    if found.comparisons is not None and len(found.comparisons):
        made.append(comparisons(found.comparisons))
    if found.classes is not None:
        made.append(classes(found.classes, found.confusions))
    return {table.name: table for table in made}


def results(found: Findings) -> cells.Table:
    """The experiments, ours beside published."""
    summary = found.summary
    columns = result_tables.results_columns(summary)
    ours = "ours %" if found.study.report.published else result_tables.ERROR
    beside = {"experiment": columns.pop("experiment"), ours: columns.pop(result_tables.ERROR)}  # a phone shows no more
    if summary["depth"].notna().any():
        depth = summary["depth"].map(lambda depth: "" if pd.isna(depth) else f"{depth:.0f}")
        beside["depth"] = depth
    columns = beside | columns
    note = result_tables.footnote(found.runs)
    sources = ("tables/results.csv",)
    if found.study.report.published:
        columns = with_published(columns, found)
        note += " " + comparison_tables.published_note(against_published(found.study, summary))
        sources += ("tables/published.csv",)
    names = list(summary["experiment"])
    return cells.table(
        "results",
        "Test error after the last epoch, mean ± std",
        columns,
        lambda heading, row: "" if heading in ("verdict", "source") else f"#{anchor(names[row])}",
        note=note,
        sources=sources,
    )


def with_published(columns: dict, found: Findings) -> dict:
    """The comparison with published numbers beside our errors."""
    beside = beside_published(found)
    last = {"source": beside.pop("source"), "s per run": columns.pop("s per run")}
    columns.pop("published", None)
    first = {key: columns.pop(key) for key in ("experiment", "ours %")}
    return first | beside | columns | last


def beside_published(found: Findings) -> dict[str, list[str]]:
    """Published error, difference, verdict and source by experiment; empty where nothing is published."""
    rows = against_published(found.study, found.summary).set_index("experiment").to_dict("index")
    cell = {
        "published %": comparison_tables.theirs,
        "ours − published, points": _difference,
        "verdict": lambda row: row["verdict"],
        "source": lambda row: row["source"],
    }
    return {
        heading: [make(rows[name]) if name in rows else "" for name in found.summary["experiment"]]
        for heading, make in cell.items()
    }


def _difference(row: dict[str, Any]) -> str:
    if math.isnan(row["difference"]):
        return ""
    interval = comparison_tables.span(row["ci_low"] * 100, row["ci_high"] * 100)
    return f"{comparison_tables.points(row['difference'])} {interval}".strip()


def networks(found: Findings) -> cells.Table:
    """The single networks."""
    table = result_tables.networks(found.runs)
    keys = list(zip(table["experiment"], table["seed"], strict=True))
    return cells.table(
        "networks",
        "Networks, one a row",
        result_tables.networks_columns(table),
        lambda heading, row: f"#{anchor(*keys[row])}",
        note=result_tables.NETWORKS_NOTE,
        sources=("tables/networks.csv",),
    )


def comparisons(table: pd.DataFrame) -> cells.Table:
    """Experiments against each other; numbers lead to the first of the two."""
    names = {key: list(table[key]) for key in ("experiment", "against")}

    def link(heading: str, row: int) -> str:
        return "" if heading in ("verdict", "test") else f"#{anchor(names.get(heading, names['experiment'])[row])}"

    columns = comparison_tables.comparisons_columns(table)
    note = comparison_tables.comparison_note(table)
    return cells.table(
        "comparisons", "Experiments against each other", columns, link, note=note, sources=("tables/comparisons.csv",)
    )


def classes(table: pd.DataFrame, confused: pd.DataFrame) -> cells.Table:
    """The hardest classes."""
    columns = comparison_tables.classes_columns(table, confused)
    names = list(columns["experiment"])
    return cells.table(
        "classes",
        "Hardest classes and most frequent confusions",
        columns,
        lambda heading, row: f"#{anchor(names[row])}" if heading == "experiment" else "",
        note=comparison_tables.CLASSES_NOTE,
        sources=("tables/classes.csv",),
    )


def figures_of(found: Findings) -> dict[str, list[tuple[str, Markup]]]:
    """Captions and figures: `curves`, `errors` (one an axis that the study varies), `calibration`."""
    curves = [
        ("Training loss by epoch: mean over the seeds that did not diverge, band from the lowest to the highest.", "train_loss"),
        ("Test error by epoch: mean over the seeds that did not diverge, band from the best to the worst.", "test_error"),
    ]
    made = {"curves": [(caption, figures.curve(found.histories, key, key)) for caption, key in curves]}
    every, published = settings.of_study(found.study), found.study.report.published
    made["errors"] = []
    for number, axis in enumerate(settings.axes(found.study, found.summary, found.runs)):
        drawn = figures.error_against(axis, settings.series(axis, every), found.summary, found.runs, published, f"against{number}")
        left_out = "" if axis.path else " Experiments all of whose seeds diverged are left out."
        made["errors"].append((f"Test error against {axis.name}: a dot a seed, a bar their mean.{left_out}", drawn))
    pooled = found.reliability
    made["calibration"] = (
        [(CALIBRATION, figures.reliability(pooled, list(found.study.experiments), "reliability"))] if pooled else []
    )
    return made


CALIBRATION = "How often answers are right against how sure the networks are of them, in bins of at least 10 answers."
