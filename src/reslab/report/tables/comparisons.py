"""The table of experiments against each other."""

import math

import pandas as pd

from reslab.report.statistics.equivalence import ALPHA, MOST_SEEDS
from reslab.report.statistics.significance import MOST_DIVERGENCE_SEEDS
from reslab.report.tables.cells import EMPTY, Cell, render, words


def points(value: float) -> Cell:
    """-0.0083 -> -0.83: a difference of errors in percentage points."""
    return EMPTY if math.isnan(value) else Cell(value, f"{value * 100:+.2f}")


def span(low: float, high: float, scale: float = 1) -> Cell:
    """[-2.26, +0.60]: an interval of a difference, times `scale`."""
    return EMPTY if math.isnan(low) else Cell(low, f"[{low * scale:+.2f}, {high * scale:+.2f}]")


def p_cell(p: float) -> Cell:
    """Three digits, or a bound."""
    if math.isnan(p):
        return EMPTY
    return Cell(p, "< 0.001" if p < 0.001 else f"{p:.3f}")


def comparisons_columns(table: pd.DataFrame) -> dict[str, list[Cell]]:
    """Heading -> cells of the table of comparisons."""
    rows = table.to_dict("records")
    columns = {
        "experiment": words(table["experiment"]),
        "against": words(table["against"]),
        "verdict": words(table["verdict"]),
        "difference, points": [points(value) for value in table["difference"]],
        "95 % interval": [span(row["ci_low"], row["ci_high"], 100) for row in rows],
        "p (Holm)": [p_cell(p) for p in table["p_holm"]],
        "p same (Holm)": [p_cell(p) for p in table["equivalence_p_holm"]],
        "effect size g": [_effect(row) for row in rows],
        "test": words(_test(row) for row in rows),
        "seeds to settle it": [_seeds(row) for row in rows],
    }
    if table["divergence_p"].notna().any():
        columns["failure p (Holm)"] = [p_cell(p) for p in table["divergence_p_holm"]]
    if "networks" in table:
        columns["networks that differ"] = [_differing(row) for row in rows]
    return columns


def comparisons_markdown(table: pd.DataFrame) -> str:
    """The table of comparisons and how to read it."""
    return render(comparisons_columns(table), note=comparisons_note(table))


def _effect(row: dict) -> Cell:
    """+0.53 [-0.20, +1.20]; the interval alone where there is no unbiased estimate."""
    bounds = span(row["g_low"], row["g_high"])
    return bounds if math.isnan(row["g"]) else Cell(row["g"], f"{row['g']:+.2f} {bounds.text}")


def _test(row: dict) -> str:
    """Welch, n = 3; of pairs also how their errors correlate."""
    if not row["method"]:
        return ""
    return f"{row['method']}, n = {row['n']}" + ("" if math.isnan(row["correlation"]) else f", r = {row['correlation']:+.2f}")


def _seeds(row: dict) -> Cell:
    """For what is not decided yet: the errors first, 9 (5 to 120), then the failures."""
    decided = min(row["p_holm"], row["equivalence_p_holm"]) < ALPHA
    errors = EMPTY if decided else _range(*(row[key] for key in ("seeds_needed", "seeds_needed_low", "seeds_needed_high")))
    failure = EMPTY if row["divergence_p_holm"] < ALPHA else _needed(row["divergence_seeds_needed"], MOST_DIVERGENCE_SEEDS)
    known = [cell for cell in (errors, failure) if cell.text]
    return Cell(known[0].value, "; ".join(cell.text for cell in known)) if known else EMPTY


def _range(seeds: float, low: float, high: float) -> Cell:
    cell, ends = _needed(seeds), [_needed(end).text for end in (low, high)]
    return Cell(cell.value, f"{cell.text} ({ends[0]} to {ends[1]})") if cell.text else EMPTY


def _needed(seeds: float, most: int = MOST_SEEDS) -> Cell:
    if math.isnan(seeds):
        return EMPTY
    return Cell(seeds, f"over {most}" if math.isinf(seeds) else f"{seeds:.0f}")


def _differing(row: dict) -> Cell:
    """3 of 5; empty where no networks were compared."""
    if math.isnan(row["networks"]):
        return EMPTY
    return Cell(row["networks_differing"], f"{row['networks_differing']:.0f} of {row['networks']:.0f}")


def number_of_tests(table: pd.DataFrame) -> int:
    """The number of tests that a table of comparisons, or of published numbers, was corrected for."""
    return int(table[[key for key in ("p", "divergence_p") if key in table]].notna().sum().sum())


def comparisons_note(table: pd.DataFrame) -> str:
    """How the table of comparisons is to be read."""
    tests = number_of_tests(table)
    margin = 100 * table["margin"].iloc[0] if len(table) else math.nan
    note = (
        "Difference of the mean test errors, experiment minus `against`, with its own 95 % interval: negative is better. "
        "Welch's test, effect size g in pooled standard deviations; paired: by seed, because the study asks for it, in standard "
        "deviations of the differences, r is the correlation of the paired errors. The same: two one-sided tests show that the "
        f"difference is within {margin:.2g} points (`report.margin`). Verdicts are by p after Holm's correction for the {tests} "
        "test(s) here (of no difference and of one beyond the margin only one can be true: they count once), so an "
        "interval may exclude 0 where the verdict is cautious. Seeds to settle it: with which equal errors would be shown to be "
        "the same with power 0.8, and in brackets the range for what the spread may be; of failures, the least at which the "
        "observed rates would differ significantly."
    )
    if table["divergence_p"].notna().any():
        note += " Failed: diverged, or did not train (no better than a guess); compared by Boschloo's exact test."
        note += " Such a seed is in no mean."
    if "networks" in table:
        note += " Networks that differ: pairs of the same seed, by McNemar's exact test on the test images, Holm-corrected."
    return note
