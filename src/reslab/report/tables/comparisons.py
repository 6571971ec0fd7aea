"""The table of experiments against each other."""

import math

import pandas as pd

from reslab.report.statistics.significance import ALPHA, MOST_SEEDS
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
        "effect size g": [_effect(row) for row in rows],
        "test": words(f"{row['method']}, n = {row['n']}" if row["method"] else "" for row in rows),
        "seeds to settle it": [_seeds(row) for row in rows],
    }
    if table["divergence_p"].notna().any():
        columns["divergence p (Holm)"] = [p_cell(p) for p in table["divergence_p_holm"]]
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


def _seeds(row: dict) -> Cell:
    """For what is not decided yet: the errors first, then the divergence."""
    errors = EMPTY if row["p_holm"] < ALPHA else _needed(row["seeds_needed"])
    divergence = EMPTY if row["divergence_p_holm"] < ALPHA else _needed(row["divergence_seeds_needed"])
    known = [cell for cell in (errors, divergence) if cell.text]
    return Cell(known[0].value, "; ".join(cell.text for cell in known)) if known else EMPTY


def _needed(seeds: float) -> Cell:
    if math.isnan(seeds):
        return EMPTY
    return Cell(seeds, f"over {MOST_SEEDS}" if math.isinf(seeds) else f"{seeds:.0f}")


def _differing(row: dict) -> Cell:
    """3 of 5; empty where no networks were compared."""
    if math.isnan(row["networks"]):
        return EMPTY
    return Cell(row["networks_differing"], f"{row['networks_differing']:.0f} of {row['networks']:.0f}")


def comparisons_note(table: pd.DataFrame) -> str:
    """How the table of comparisons is to be read."""
    tests = int(table["p"].notna().sum() + table["divergence_p"].notna().sum())
    note = (
        "Difference of the mean test errors, experiment minus `against`, with its own 95 % interval (t): negative is better. "
        "Paired: by seed, over the seeds that finished in both, effect size in standard deviations of the differences; Welch: "
        f"pooled ones. Verdicts are by p after Holm's correction for the {tests} test(s) here, so an interval may exclude 0 "
        "where the verdict is cautious. Seeds to settle it: for power 0.8 if difference and spread are as observed; of divergence, "
        "the least at which the observed rates would differ significantly. With few seeds both are rough estimates."
    )
    if table["divergence_p"].notna().any():
        note += " Divergence is compared by Fisher's exact test; a diverged seed has no error and is in no mean."
    if "networks" in table:
        note += " Networks that differ: pairs of the same seed, by McNemar's exact test on the test images, Holm-corrected."
    return note
