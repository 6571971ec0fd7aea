"""The records as the page shows them: every number links to one."""

import math
from typing import Any

import pandas as pd

from reslab.config.settings import flatten, flow, varied
from reslab.config.study import Study
from reslab.report.axes import DIGITS, study_settings
from reslab.report.html.table import Table, table
from reslab.report.tables.cells import EMPTY, Cell, numbers

SCORES = ("train_loss", "train_error", "test_loss", "test_error", "test_top5_error", "test_ece", "validation_error")
BUDGET = ("epoch", "steps", "seconds", "images_per_second", "resumed")
NETWORK = ("parameters", "multiply_adds", "conv_layers", "batch_norm_layers", "tau")
MACHINE = ("device", "threads", "torch", "cuda", "python", "precision", "numerics", "layout", "engine", "commit", "dirty")
KEYS = ("seed", "status", *SCORES, *BUDGET, *NETWORK, "identity")


def anchor(experiment: str, seed: int | None = None) -> str:
    """The id of the record of an experiment, or of one of its networks; names consist of letters, digits, - and _."""
    return f"record-{experiment}" if seed is None else f"record-{experiment}-s{seed}"


def seeds_table(runs: pd.DataFrame, experiment: str) -> Table:
    """The records of an experiment, one row a seed."""
    group = runs[runs["experiment"] == experiment]
    columns = {key: [exact(value) for value in group[key]] for key in KEYS if key in group and group[key].notna().any()}
    return table(f"seeds-{experiment}", f"Record of {experiment}: errors as fractions", columns)


def exact(value: Any) -> Cell:
    """A value as the record has it, to six digits; empty for None and NaN."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return EMPTY
    if isinstance(value, float):
        return Cell(value, f"{value:,.0f}" if value.is_integer() and abs(value) >= 1000 else f"{value:.6g}")
    return Cell(value, f"{value:,}") if isinstance(value, int) and not isinstance(value, bool) else Cell(None, str(value))


def recipe(study: Study, experiment: str) -> dict[str, str]:
    """The settings in which an experiment differs from others."""
    every = study_settings(study)
    return {path: flow(every[experiment][path], digits=DIGITS) for path in varied(every) if path in every[experiment]}


def shared(study: Study) -> dict[str, str]:
    """The settings that all experiments share."""
    every = study_settings(study)
    different = varied(every)
    first = next(iter(every.values()))
    dataset = flatten({"dataset": study.dataset | ({"validation": study.validation} if study.validation else {})})
    return {path: flow(value, digits=DIGITS) for path, value in (dataset | first).items() if path not in different}


def environments_table(runs: pd.DataFrame) -> Table:
    """The hardware and versions that the networks were trained with, one row for each combination."""
    levels = runs["engine"].map(_level) if "engine" in runs else None
    runs = runs.assign(engine=levels)
    keys = [key for key in MACHINE if key in runs and runs[key].notna().any()]
    groups = list(runs.astype(object).fillna(dict.fromkeys(keys, "")).groupby(keys, sort=False, dropna=False))
    columns = {"networks": numbers(len(group) for _, group in groups)}
    columns |= {HEADINGS.get(key, key): [_told(key, values[position]) for values, _ in groups] for position, key in enumerate(keys)}
    return table("environments", "Hardware, versions and commits", columns)


def _level(engine: Any) -> str | None:
    """The execution level of the steps; older records have none."""
    return engine.get("level") if isinstance(engine, dict) else None


HEADINGS = {"dirty": "uncommitted changes"}


def _told(key: str, value: Any) -> Cell:
    if key == "dirty":
        return Cell(None, "yes" if value else "no")
    return Cell(None, value[:10]) if key == "commit" else exact(value)
