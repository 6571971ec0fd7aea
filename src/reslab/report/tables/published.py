"""The table of our errors beside published ones."""

import math
from dataclasses import replace

import pandas as pd

from reslab.report.tables.cells import EMPTY, Cell, mean_and_std, numbers, render, words
from reslab.report.tables.comparisons import number_of_tests, p_cell, points, span
from reslab.report.tables.results import error_cell


def published_markdown(table: pd.DataFrame) -> str:
    """Ours beside the published numbers, and how to read it."""
    rows = table.to_dict("records")
    columns = {
        "experiment": words(table["experiment"]),
        "ours % (n, mean ± std)": [ours(row) for row in rows],
        "published %": [theirs(row) for row in rows],
        **({"in paper %": [in_paper(row) for row in rows]} if table["paper"].notna().any() else {}),
        "difference, points": [points(value) for value in table["difference"]],
        "95 % interval": [span(row["ci_low"], row["ci_high"], 100) for row in rows],
        "p (Holm)": [p_cell(p) for p in table["p_holm"]],
        "p same (Holm)": [p_cell(p) for p in table["equivalence_p_holm"]],
        "margin, points": numbers(100 * table["margin"], "{:.2f}"),
        "verdict": words(table["verdict"]),
        "source": words(table["source"]),
    }
    return render(columns, note=published_note(table))


def ours(row: dict) -> Cell:
    """Such as `n = 3: 8.75 ± 0.16`; with the number of seeds that diverged, if any did."""
    cell = error_cell(row["mean"], row["std"], row["n"], row["diverged"], row["untrained"])
    counts = {"diverged": row["diverged"], "did not train": row["untrained"]}
    failed = "".join(f", {count} {what}" for what, count in counts.items() if count)
    return replace(cell, text=f"n = {row['n']}{failed}: {cell.text}") if row["n"] else cell


def theirs(row: dict) -> Cell:
    """8.75 ± 0.16 (5 runs), 6.47 (median of 3 runs), 6.43 (best of 5 runs), 8.27 (best epoch)"""
    cell, runs, statistic = mean_and_std(row["published"], row["published_std"]), row["published_runs"], row["statistic"]
    counted = "" if math.isnan(runs) else f"{runs:.0f} run{'s' if runs > 1 else ''}"
    said = {"mean": counted, "median": _of("median", counted), "best_run": _of("best", counted), "best_epoch": "best epoch"}[
        statistic
    ]
    return replace(cell, text=f"{cell.text} ({said})") if said else cell


def _of(statistic: str, counted: str) -> str:
    return f"{statistic} of {counted}" if counted else statistic


def in_paper(row: dict) -> Cell:
    """What the paper states, where the published number is a reproduction of it."""
    return mean_and_std(row["paper"], row["paper_std"])


def difference(row: dict) -> Cell:
    """-0.56 [-2.39, +0.51]: ours minus published with its interval, in points."""
    cell = points(row["difference"])
    return replace(cell, text=f"{cell.text} {span(row['ci_low'], row['ci_high'], 100).text}".strip()) if cell.text else EMPTY


def published_note(table: pd.DataFrame) -> str:
    """How differences from published numbers are to be read."""
    tests = number_of_tests(table)
    return (
        "Difference: ours minus published, with its 95 % interval: Welch's where a standard deviation and the number of runs are "
        "published. Otherwise the published number is taken for a draw (or the mean or median of several) with our spread: a soft "
        "reference. Reproduced: two one-sided tests show the difference to be within the margin; differs: it is not zero; "
        "undecided: neither is shown; it names the number of further seeds that would show equal errors to be equal (power 0.8), "
        f"and the range for what the spread may be. Verdicts are by p after Holm's correction for the {tests} row(s) tested here, "
        "each for both, so an "
        "interval may exclude 0 where the verdict is cautious. Best runs and best epochs get no verdict: the best of several is "
        "low by chance."
    )
