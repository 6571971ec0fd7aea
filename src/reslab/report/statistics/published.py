"""Our errors beside the published ones: difference, interval, p, equivalence within a margin, verdict."""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from reslab.config.report import MARGIN, Published
from reslab.config.study import Study
from reslab.report.statistics.equivalence import ALPHA, Spread, equivalence_p, seeds_to_settle
from reslab.report.statistics.intervals import NOTHING, Interval
from reslab.report.statistics.median import median_factor
from reslab.report.statistics.samples import SAME
from reslab.report.statistics.significance import holm, student, welch_freedom
from reslab.report.statistics.words import settled_by

BEST = {"best_run": "published is the best of its runs", "best_epoch": "published is the best epoch on the test set"}
Error = tuple[float, float, Spread]  # standard error of the difference, its degrees of freedom, the spread of a seed


def against_published(study: Study, summary: pd.DataFrame) -> pd.DataFrame:
    """One row an experiment that has a published error; errors are fractions. Verdicts are by p after Holm's correction."""
    rows, spreads = [], []
    for ours in summary.to_dict("records"):
        if (published := study.report.published.get(ours["experiment"])) is None:
            continue
        row = {key: ours[key] for key in ("experiment", "n", "mean", "std", "diverged")} | {"untrained": ours.get("untrained", 0)}
        tested, spread = _tested(ours, published, margin_of(study, published))
        rows.append(row | _stated(published) | tested | {"source": published.source})
        spreads.append(spread)
    table = pd.DataFrame(rows)
    corrected = holm([*table["p"], *table["equivalence_p"]], [*table.index, *table.index])
    table["p_holm"], table["equivalence_p_holm"] = np.split(corrected, 2)
    alpha = ALPHA / max(int(table["p"].notna().sum()), 1)
    settled = [seeds_to_settle(spread, row.margin, alpha=alpha) for spread, row in zip(spreads, table.itertuples(), strict=True)]
    table[["seeds_needed", "seeds_needed_low", "seeds_needed_high"]] = pd.DataFrame(settled, index=table.index)
    table["verdict"] = [verdict(row) for row in table.to_dict("records")]
    return table


def margin_of(study: Study, published: Published) -> float:
    """What counts as the same, a fraction: the study's margin, else one published standard deviation, else 0.3 points."""
    return (study.report.margin or published.std or MARGIN) / 100


def _stated(published: Published) -> dict:
    return {
        "published": published.error / 100,
        "published_std": math.nan if published.std is None else published.std / 100,
        "published_runs": math.nan if published.runs is None else published.runs,
        "statistic": published.statistic,
        "paper": math.nan if published.paper is None else published.paper / 100,
        "paper_std": math.nan if published.paper_std is None else published.paper_std / 100,
        "no_verdict": published.no_verdict or BEST.get(published.statistic, ""),
    }


def _tested(ours: Mapping, published: Published, margin: float) -> tuple[dict, Spread | None]:
    """Difference, interval, p and equivalence; without p where a verdict would be none."""
    difference, found = ours["mean"] - published.error / 100, difference_error(ours, published)
    row = {"difference": difference, "ci_low": math.nan, "ci_high": math.nan, "p": math.nan, "equivalence_p": math.nan}
    row["margin"] = margin
    if found is None or published.no_verdict or published.statistic in BEST:
        return row, None
    error, freedom, spread = found
    (low, high), p = difference_test(ours, published)
    equivalence = equivalence_p(difference, error, freedom, margin)
    return row | {"ci_low": low, "ci_high": high, "p": p, "equivalence_p": equivalence}, spread


def difference_test(ours: Mapping, published: Published) -> tuple[Interval, float]:
    """The 95 % interval of our mean minus the published number and its p; NaN without spread of our own."""
    if (found := difference_error(ours, published)) is None:
        return NOTHING, math.nan
    return student(ours["mean"] - published.error / 100, *found[:2])


def difference_error(ours: Mapping, published: Published) -> Error | None:
    """The standard error of our mean minus the published number, and its freedom; None without spread of our own.

    With a published standard deviation over so many runs it is Welch's. Otherwise the published number is a draw, or the mean or
    median of `runs` draws, whose spread is taken to be ours: a single run of theirs stays uncertain however many seeds we train.
    """
    n, std = ours["n"], ours["std"]
    if n < 2 or std < SAME:
        return None
    runs = published.runs or 1
    factor = median_factor(runs) if published.statistic == "median" else 1.0
    if published.std is not None and published.std > 0 and runs >= 2:
        variances, sizes = np.array([std**2, (published.std / 100) ** 2 * factor]), np.array([n, runs])
        freedom = welch_freedom(variances, sizes)
        return math.sqrt(np.sum(variances / sizes)), freedom, Spread(std, n - 1, 1, float(variances[1] / runs / std**2))
    fixed = factor / runs
    return std * math.sqrt(1 / n + fixed), n - 1, Spread(std, n - 1, 1, fixed)


def verdict(row: Mapping) -> str:
    """A row of `against_published` in plain words."""
    if row["n"] == 0:
        return "ours diverged" if not row["untrained"] else "ours did not train"
    failed = {"diverged": row["diverged"], "did not train": row["untrained"]}
    seeds = row["n"] + sum(failed.values())
    return _on_errors(row) + "".join(f"; {number} of {seeds} {what}" for what, number in failed.items() if number)


def _on_errors(row: Mapping) -> str:
    if row["no_verdict"]:
        return f"no verdict: {row['no_verdict']}"
    if row["n"] == 1:
        return "n too small"
    if math.isnan(row["p"]):
        return "no spread among ours"
    if row["equivalence_p_holm"] < ALPHA:
        return f"reproduced within {100 * row['margin']:.2g} points"
    if row["p_holm"] < ALPHA:
        return f"differs: ours {'lower' if row['difference'] < 0 else 'higher'}"
    return f"undecided at n = {row['n']}{settled_by(row)}"
