"""Our errors beside the published ones: difference, interval, verdict."""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from reslab.config import Study
from reslab.report.samples import SAME, Interval
from reslab.report.significance import student, welch_freedom
from reslab.sections import Published


def against_published(study: Study, summary: pd.DataFrame) -> pd.DataFrame:
    """One row an experiment that has a published error; errors are fractions."""
    rows = []
    for ours in summary.to_dict("records"):
        if (published := study.report.published.get(ours["experiment"])) is None:
            continue
        interval = difference_interval(ours, published)
        row = {key: ours[key] for key in ("experiment", "n", "mean", "std", "diverged")}
        row |= {
            "published": published.error / 100,
            "published_std": math.nan if published.std is None else published.std / 100,
            "published_runs": math.nan if published.runs is None else published.runs,
            "difference": ours["mean"] - published.error / 100,
            "ci_low": interval[0],
            "ci_high": interval[1],
            "source": published.source,
        }
        rows.append(row | {"verdict": verdict(row)})
    return pd.DataFrame(rows)


def difference_interval(ours: Mapping, published: Published) -> Interval:
    """The 95 % interval of our mean minus the published one; NaN without spread of our own.

    With a published standard deviation over so many runs it is Welch's. Otherwise the published number is a draw, or the mean of
    `runs` draws, whose spread is taken to be ours: even infinitely many seeds of ours cannot say more of a single run of theirs.
    """
    n, std, difference = ours["n"], ours["std"], ours["mean"] - published.error / 100
    if n < 2 or std < SAME:
        return math.nan, math.nan
    runs = published.runs or 1
    if published.std is not None and runs >= 2:
        variances, sizes = np.array([std**2, (published.std / 100) ** 2]), np.array([n, runs])
        return student(difference, math.sqrt(np.sum(variances / sizes)), welch_freedom(variances, sizes))[0]
    return student(difference, std * math.sqrt(1 / n + 1 / runs), n - 1)[0]


def verdict(row: Mapping) -> str:
    """A row of `against_published` in plain words."""
    if row["n"] == 0:
        return "ours diverged"
    if row["n"] == 1:
        return "n too small"
    if math.isnan(row["ci_low"]):
        return "no spread among ours"
    if row["ci_high"] < 0:
        return "ours lower"
    return "ours higher" if row["ci_low"] > 0 else "agrees"
