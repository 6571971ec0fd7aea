"""Our errors beside the published ones: difference, interval, p, verdict."""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from reslab.config.report import Published
from reslab.config.study import Study
from reslab.report.statistics.samples import NOTHING, SAME, Interval
from reslab.report.statistics.significance import ALPHA, holm, student, welch_freedom


def against_published(study: Study, summary: pd.DataFrame) -> pd.DataFrame:
    """One row an experiment that has a published error; errors are fractions. Verdicts are by p after Holm's correction."""
    rows = []
    for ours in summary.to_dict("records"):
        if (published := study.report.published.get(ours["experiment"])) is None:
            continue
        interval, p = difference_test(ours, published)
        row = {key: ours[key] for key in ("experiment", "n", "mean", "std", "diverged")}
        rows.append(
            row
            | {
                "published": published.error / 100,
                "published_std": math.nan if published.std is None else published.std / 100,
                "published_runs": math.nan if published.runs is None else published.runs,
                "difference": ours["mean"] - published.error / 100,
                "ci_low": interval[0],
                "ci_high": interval[1],
                "p": p,
                "source": published.source,
            }
        )
    table = pd.DataFrame(rows)
    table["p_holm"] = holm(table["p"])
    table["verdict"] = [verdict(row) for row in table.to_dict("records")]
    return table


def difference_test(ours: Mapping, published: Published) -> tuple[Interval, float]:
    """The 95 % interval of our mean minus the published one and its p; NaN without spread of our own.

    With a published standard deviation over so many runs it is Welch's. Otherwise the published number is a draw, or the mean of
    `runs` draws, whose spread is taken to be ours: a single run of theirs stays uncertain however many seeds we train.
    """
    n, std, difference = ours["n"], ours["std"], ours["mean"] - published.error / 100
    if n < 2 or std < SAME:
        return NOTHING, math.nan
    runs = published.runs or 1
    if published.std is not None and runs >= 2:
        variances, sizes = np.array([std**2, (published.std / 100) ** 2]), np.array([n, runs])
        return student(difference, math.sqrt(np.sum(variances / sizes)), welch_freedom(variances, sizes))
    return student(difference, std * math.sqrt(1 / n + 1 / runs), n - 1)


def verdict(row: Mapping) -> str:
    """A row of `against_published` in plain words."""
    if row["n"] == 0:
        return "ours diverged"
    diverged = f"; {row['diverged']} of {row['n'] + row['diverged']} diverged" if row["diverged"] else ""
    return _on_errors(row) + diverged


def _on_errors(row: Mapping) -> str:
    if row["n"] == 1:
        return "n too small"
    if math.isnan(row["p"]):
        return "no spread among ours"
    if row["p_holm"] >= ALPHA:
        return f"not distinguishable at n = {row['n']}"
    return "ours lower" if row["difference"] < 0 else "ours higher"
