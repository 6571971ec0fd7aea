"""docs/results.md: every kept study with its table, its curves and a link to its page."""

import os
from pathlib import Path

from reslab import config
from reslab.cli.docs import markdown
from reslab.config.study import Study
from reslab.runs import table_checksums
from reslab.runs.checksums import read_text

PAGE = "docs/results.md"
INTRODUCTION = """\
# Results

Made by `reslab keep` and `reslab docs`; do not edit. One section for each study whose results are kept in `results/`: its records,
tables and plots, and the params.yaml that made them. The study that ships has its table in the README and
[its page](../metrics/report.html) in `metrics/`."""
MEND = "take it from git, or run `reslab keep` again"
CURVES = "plots/curves.svg"
LINKS = {
    "report.html": "page",
    "params.yaml": "params.yaml",
    "tables/comparisons.md": "comparisons",
    "tables/published.md": "against the published numbers",
    "plots/depth_and_tau.svg": "error against depth and tau",
    "layers/growth.md": "growth against depth",
    "layers/threshold.svg": "where it explodes",
}


def page(results: Path, docs: Path) -> str:
    """The whole page, to be put into `docs`, for the studies kept in `results`."""
    place = Path(os.path.relpath(results, docs)).as_posix()  # as they are named: either may be a link to another disk
    studies = {folder: config.load(folder / "params.yaml") for folder in kept(results)}
    parts = [INTRODUCTION]
    if studies:
        parts.append(markdown.table([_row(folder, study) for folder, study in studies.items()]))
    return "\n\n".join([*parts, *(_section(folder, study, f"{place}/{folder.name}") for folder, study in studies.items())]) + "\n"


def kept(results: Path) -> list[Path]:
    """The folders of the kept studies."""
    return sorted(path.parent for path in results.glob("*/params.yaml"))


def _row(folder: Path, study: Study) -> dict[str, str]:
    # pandas and scipy take longer to load than most commands take
    from reslab.report.statistics.summary import headline, summarize
    from reslab.report.trained_as import runs_of

    runs = runs_of(study, folder / "runs", older=True)
    errors = [row["error_percent"] for row in headline(summarize(study, runs)).values() if "error_percent" in row]
    epochs = {experiment.sections["train"].get("epochs") for experiment in study.experiments.values()}
    return {
        "study": f"[{study.name}](#{study.name})",
        "data": Path(study.dataset.get("source") or study.dataset["name"]).name,
        "epochs": ", ".join(sorted(map(str, epochs))),
        "networks": str(len(runs)),
        "diverged": str((runs["status"] == "diverged").sum()),
        "means of the test error %": f"{min(errors):.2f} to {max(errors):.2f}" if errors else "",
        "measured on": ", ".join(sorted({f"{run.device}, {run.threads} thread(s)" for run in runs.itertuples()})),
    }


def _section(folder: Path, study: Study, place: str) -> str:
    links = " · ".join(f"[{text}]({place}/{path})" for path, text in LINKS.items() if (folder / path).exists())
    notes = "\n".join(f"- {note}" for note in [*study.report.differences, *study.report.notes])
    figure = f"![loss and error by epoch of {study.name}]({place}/{CURVES})" if (folder / CURVES).exists() else ""
    table_checksums.check(folder / "tables", mend=MEND)
    table = read_text(folder / "tables" / "results.md", mend=MEND).strip()
    return "\n\n".join(filter(None, [f"## {study.name}", study.report.question, links, notes, table, figure]))
