"""The records as the page shows them: what every number leads to."""

import math
from typing import Any

import pandas as pd

from reslab.config.settings import flat, short, varied
from reslab.config.study import Study
from reslab.report import settings
from reslab.report.html import cells

SCORES = ("train_loss", "train_error", "test_loss", "test_error", "test_top5_error", "test_ece", "validation_error")
BUDGET = ("epoch", "steps", "seconds", "images_per_second", "resumed")
NETWORK = ("parameters", "multiply_adds", "conv_layers", "batch_norm_layers", "tau")
MACHINE = ("device", "threads", "torch", "cuda", "python", "precision", "layout", "engine", "commit", "dirty")
KEYS = ("seed", "status", *SCORES, *BUDGET, *NETWORK, "identity")


def anchor(experiment: str, seed: int | None = None) -> str:
    """Where the page has the record of an experiment, or of one of its networks; a name has letters, digits, - and _ only."""
    return f"record-{experiment}" if seed is None else f"record-{experiment}-s{seed}"


def seeds_table(runs: pd.DataFrame, experiment: str) -> cells.Table:
    """A row a seed: what its record says, numbers as they stand there."""
    group = runs[runs["experiment"] == experiment]
    columns = {key: [exact(value) for value in group[key]] for key in KEYS if key in group and group[key].notna().any()}
    caption = f"Record of {experiment}: errors as fractions"
    return cells.table(f"seeds-{experiment}", caption, columns, lambda *_: "")


def exact(value: Any) -> str:
    """A value as the record has it, to six digits."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if value.is_integer() and abs(value) >= 1000 else f"{value:.6g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def recipe(study: Study, experiment: str) -> dict[str, str]:
    """The settings in which an experiment differs from others."""
    every = settings.of_study(study)
    return {path: short(every[experiment][path]) for path in varied(every) if path in every[experiment]}


def shared(study: Study) -> dict[str, str]:
    """The settings that all experiments share."""
    every = settings.of_study(study)
    different = varied(every)
    first = next(iter(every.values()))
    dataset = flat({"dataset": study.dataset | ({"validation": study.validation} if study.validation else {})})
    return {path: short(value) for path, value in (dataset | first).items() if path not in different}


def environments(runs: pd.DataFrame) -> cells.Table:
    """What the networks were trained on and with, one row for all that had the same."""
    levels = runs["engine"].map(_level) if "engine" in runs else None
    runs = runs.assign(engine=levels)
    keys = [key for key in MACHINE if key in runs and runs[key].notna().any()]
    groups = runs.astype(object).fillna(dict.fromkeys(keys, "")).groupby(keys, sort=False, dropna=False)
    rows = [dict(zip(keys, values, strict=True)) | {"networks": len(group)} for values, group in groups]
    columns = {"networks": [str(row["networks"]) for row in rows]}
    columns |= {HEADINGS.get(key, key): [_told(key, row[key]) for row in rows] for key in keys}
    return cells.table("environments", "Hardware, versions and commits", columns, lambda *_: "")


def _level(engine: Any) -> str | None:
    """How steps were executed; older records do not say."""
    return engine.get("level") if isinstance(engine, dict) else None


HEADINGS = {"dirty": "uncommitted changes"}


def _told(key: str, value: Any) -> str:
    if key == "dirty":
        return "yes" if value else "no"
    return str(value)[:10] if key == "commit" else str(value)
