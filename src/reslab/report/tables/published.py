"""The table of our errors beside published ones."""

import math
from dataclasses import replace

import pandas as pd

from reslab.report.tables.cells import EMPTY, Cell, mean_and_std, render, words
from reslab.report.tables.comparisons import p_cell, points, span
from reslab.report.tables.results import error_cell


def published_markdown(table: pd.DataFrame) -> str:
    """Ours beside the published numbers, and how to read it."""
    rows = table.to_dict("records")
    columns = {
        "experiment": words(table["experiment"]),
        "ours % (n, mean ± std)": [ours(row) for row in rows],
        "published %": [theirs(row) for row in rows],
        "difference, points": [points(value) for value in table["difference"]],
        "95 % interval": [span(row["ci_low"], row["ci_high"], 100) for row in rows],
        "p (Holm)": [p_cell(p) for p in table["p_holm"]],
        "verdict": words(table["verdict"]),
        "source": words(table["source"]),
    }
    return render(columns, note=published_note(table))


def ours(row: dict) -> Cell:
    """Such as `n = 3: 8.75 ± 0.16`; with the number of seeds that diverged, if any did."""
    cell = error_cell(row["mean"], row["std"], row["n"], row["diverged"])
    diverged = f", {row['diverged']} diverged" if row["diverged"] else ""
    return replace(cell, text=f"n = {row['n']}{diverged}: {cell.text}") if row["n"] else cell


def theirs(row: dict) -> Cell:
    """8.75 ± 0.16 (5 runs)"""
    cell, runs = mean_and_std(row["published"], row["published_std"]), row["published_runs"]
    return cell if math.isnan(runs) else replace(cell, text=f"{cell.text} ({runs:.0f} run{'s' if runs > 1 else ''})")


def difference(row: dict) -> Cell:
    """-0.56 [-2.39, +0.51]: ours minus published with its interval, in points."""
    cell = points(row["difference"])
    return replace(cell, text=f"{cell.text} {span(row['ci_low'], row['ci_high'], 100).text}".strip()) if cell.text else EMPTY


def published_note(table: pd.DataFrame) -> str:
    """How differences from published numbers are to be read."""
    return (
        "Difference: ours minus published, with its 95 % interval: Welch's where a standard deviation and the number of runs are "
        "published. Otherwise the published number is taken for a draw (or a mean of so many, also where it is their median) with "
        f"our spread: a soft reference. Verdicts are by p after Holm's correction for the {table['p'].notna().sum()} test(s) here, "
        "so an interval may exclude 0 where the verdict is cautious. Not distinguishable does not imply agreement: look at the "
        "width of the interval."
    )
