"""Results as MLflow logs them after evaluate and aggregate: scores, statistics over seeds, verdicts."""

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reslab.config.study import Study
from reslab.errors import UserError, first_line, shown
from reslab.runs import table_checksums
from reslab.runs.checksums import read_text
from reslab.runs.network_files import experiment_record
from reslab.tracking.networks import COUNTS, params

# Column of results.csv -> metric of an experiment's run; its own prefix keeps means out of the networks' charts.
STATISTICS = {
    "n": "n",
    "diverged": "diverged",
    "untrained": "did_not_train",
    "mean": "error_mean",
    "std": "error_std",
    "median": "error_median",
    "test_top5_error": "top5_error_mean",
    "test_ece": "ece_mean",
    "validation_error": "validation_error_mean",
    "published": "published_error",
    "seconds": "seconds_mean",
}


@dataclass(frozen=True)
class ExperimentResult:
    """One experiment of the study as evaluate and aggregate left it."""

    experiment: str
    runs: list[dict[str, Any]]  # records with evaluate's scores, one a seed
    statistics: dict[str, float]  # metric -> value
    verdicts: dict[str, str]  # tag -> verdict

    @property
    def params(self) -> dict[str, str]:
        """Its configuration, flattened."""
        return params(self.runs[0])

    @property
    def tags(self) -> dict[str, str]:
        """The tags that results add to the experiment's run: its seeds and verdicts."""
        return {"seeds": ", ".join(str(record["seed"]) for record in self.runs), **self.verdicts}


def read_results(study: Study, metrics: Path) -> list[ExperimentResult]:
    """Read METRICS/runs and METRICS/tables; experiments that have no record yet are left out."""
    table_checksums.check(metrics / "tables")
    statistics = {row["experiment"]: row for row in read_table(metrics / "tables" / "results.csv", "experiment")}
    for row in read_table(metrics / "tables" / "times.csv", "experiment"):  # results kept by older versions have it in one table
        statistics.get(row["experiment"], {}).update(row)
    verdicts = read_verdicts(metrics / "tables")
    found = []
    for name in study.experiments:
        if (path := metrics / "runs" / f"{name}.json").exists() and name in statistics:
            runs = [record for record in experiment_record(path, older=True)["runs"] if record["seed"] in study.seeds]
            if runs:
                numbers = seed_statistics(statistics[name]) | {key: float(runs[0][key]) for key in COUNTS}
                found.append(ExperimentResult(name, runs, numbers, verdicts.get(name, {})))
    return found


def seed_statistics(row: dict[str, str]) -> dict[str, float]:
    """A row of results.csv as metrics: mean is seeds/error_mean; without what is not known."""
    found = {f"seeds/{name}": number(row.get(column, "")) for column, name in STATISTICS.items()}
    return {name: value for name, value in found.items() if math.isfinite(value)}


def number(text: str) -> float:
    """A number of a table; NaN where there is none."""
    try:
        return float(text or "nan")
    except ValueError:
        raise UserError(f"results.csv: {shown(text)} is not a number; run `dvc repro -f aggregate`") from None


def read_verdicts(tables: Path) -> dict[str, dict[str, str]]:
    """Experiment -> tag -> verdict, from published.csv and comparisons.csv."""
    found: dict[str, dict[str, str]] = {}
    for row in read_table(tables / "published.csv", "experiment", "verdict"):
        found.setdefault(row["experiment"], {})["verdict.published"] = row["verdict"]
    for row in read_table(tables / "comparisons.csv", "experiment", "against", "verdict"):
        found.setdefault(row["experiment"], {})[f"verdict.against.{row['against']}"] = row["verdict"]
    return found


def read_table(path: Path, *columns: str) -> list[dict[str, str]]:
    """The rows of a table that the study may have or not, each value as it is written: NA, 020 and true are names here.

    Raises UserError for a damaged table, or one without these columns.
    """
    if not path.exists():
        return []
    try:
        header, *rows = csv.reader(io.StringIO(read_text(path, mend="run `dvc repro -f aggregate`"), newline=""), strict=True)
        found = [dict(zip(header, row, strict=True)) for row in rows]
    except UserError:
        raise
    except (ValueError, csv.Error) as error:
        raise UserError(f"{path}: damaged table ({first_line(error)}); run `dvc repro -f aggregate`") from None
    if missing := [column for column in columns if column not in header]:
        raise UserError(f"{path}: damaged table (no column {', '.join(missing)}); run `dvc repro -f aggregate`")
    return found
