"""Comparisons among experiments, with published numbers and between classes, as Markdown."""

import math

import pandas as pd

from reslab.report.statistics.significance import ALPHA, MOST_SEEDS
from reslab.report.tables.results import MISSING, mean_and_std, percent, render

CLASSES_NOTE = "Over all test images and all seeds that did not diverge; every class is in classes.csv."


def points(value: float) -> str:
    """-0.0083 -> -0.83: a difference of errors in percentage points."""
    return MISSING if math.isnan(value) else f"{value * 100:+.2f}"


def span(low: float, high: float, form: str = "{:+.2f}") -> str:
    """[-2.26, +0.60]"""
    return MISSING if math.isnan(low) else f"[{form.format(low)}, {form.format(high)}]"


def p_cell(p: float) -> str:
    """Three digits, or a bound."""
    if math.isnan(p):
        return MISSING
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def comparisons_columns(table: pd.DataFrame) -> dict:
    """Heading -> cells of the table of comparisons."""
    rows = table.to_dict("records")
    columns = {
        "experiment": table["experiment"],
        "against": table["against"],
        "verdict": table["verdict"],
        "difference, points": table["difference"].map(points),
        "95 % interval": [span(row["ci_low"] * 100, row["ci_high"] * 100) for row in rows],
        "p (Holm)": table["p_holm"].map(p_cell),
        "effect size g": [_effect(row) for row in rows],
        "test": [f"{row['method']}, n = {row['n']}" if row["method"] else MISSING for row in rows],
        "seeds to settle it": [_seeds(row) for row in rows],
    }
    if table["divergence_p"].notna().any():
        columns["divergence p (Holm)"] = table["divergence_p_holm"].map(p_cell)
    if "networks" in table:
        columns["networks that differ"] = [
            MISSING if math.isnan(row["networks"]) else f"{row['networks_differing']:.0f} of {row['networks']:.0f}" for row in rows
        ]
    return columns


def comparisons_markdown(table: pd.DataFrame) -> str:
    """The table of comparisons and how to read it."""
    return render(comparisons_columns(table), note=comparison_note(table))


def _effect(row: dict) -> str:
    if math.isnan(row["g_low"]):
        return MISSING
    g = MISSING if math.isnan(row["g"]) else f"{row['g']:+.2f} "
    return g + span(row["g_low"], row["g_high"])


def _seeds(row: dict) -> str:
    """For what is not decided yet: the errors first, then the divergence."""
    errors = MISSING if row["p_holm"] < ALPHA else _count(row["seeds_needed"])
    divergence = MISSING if row["divergence_p_holm"] < ALPHA else _count(row["divergence_seeds_needed"])
    return "; ".join(part for part in (errors, divergence) if part)


def _count(seeds: float) -> str:
    if math.isnan(seeds):
        return MISSING
    return f"over {MOST_SEEDS}" if math.isinf(seeds) else f"{seeds:.0f}"


def comparison_note(table: pd.DataFrame) -> str:
    """How the table of comparisons is to be read."""
    tests = int(table["p"].notna().sum() + table["divergence_p"].notna().sum())
    note = (
        "Difference of the mean test errors, experiment minus `against`, with its own 95 % interval (t): negative is better. "
        "Paired: by seed, over the seeds that finished in both, effect size in standard deviations of the differences; Welch: "
        f"pooled ones. Verdicts are by p after Holm's correction for the {tests} test(s) here, so an interval may exclude 0 "
        "where the verdict is cautious. Seeds to settle it: for power 0.8 if difference and spread are as observed; of divergence, "
        "the least at which the observed rates would differ significantly. Few seeds say both only roughly."
    )
    if table["divergence_p"].notna().any():
        note += " Divergence is compared by Fisher's exact test; a diverged seed has no error and is in no mean."
    if "networks" in table:
        note += " Networks that differ: pairs of the same seed, by McNemar's exact test on the test images, Holm-corrected."
    return note


def published_markdown(table: pd.DataFrame) -> str:
    """Ours beside the published numbers."""
    rows = table.to_dict("records")
    columns = {
        "experiment": table["experiment"],
        "ours % (n, mean ± std)": [_ours(row) for row in rows],
        "published %": [theirs(row) for row in rows],
        "difference, points": table["difference"].map(points),
        "95 % interval": [span(row["ci_low"] * 100, row["ci_high"] * 100) for row in rows],
        "p (Holm)": table["p_holm"].map(p_cell),
        "verdict": table["verdict"],
        "source": table["source"],
    }
    return render(columns, note=published_note(table))


def published_note(table: pd.DataFrame) -> str:
    """How differences from published numbers are to be read."""
    return (
        "Difference: ours minus published, with its 95 % interval: Welch's where a standard deviation and the number of runs are "
        "published. Otherwise the published number is taken for a draw (or a mean of so many, also where it is their median) with "
        f"our spread: a soft reference. Verdicts are by p after Holm's correction for the {table['p'].notna().sum()} test(s) here, "
        "so an interval may exclude 0 where the verdict is cautious. Not to be distinguishable is not to agree: see how wide the "
        "interval is."
    )


def _ours(row: dict) -> str:
    if row["n"] == 0:
        return f"diverged ({row['diverged']} of {row['diverged']})"
    diverged = f", {row['diverged']} diverged" if row["diverged"] else ""
    return f"n = {row['n']}{diverged}: {mean_and_std(row['mean'], row['std'])}"


def theirs(row: dict) -> str:
    """8.75 ± 0.16 (5 runs)"""
    runs = (
        "" if math.isnan(row["published_runs"]) else f" ({row['published_runs']:.0f} run{'s' if row['published_runs'] > 1 else ''})"
    )
    return mean_and_std(row["published"], row["published_std"]) + runs


def classes_columns(table: pd.DataFrame, confused: pd.DataFrame, most: int = 3) -> dict:
    """Heading -> cells: the hardest classes of each experiment, and what was most often taken for what."""
    columns = {"experiment": table["experiment"].unique()}
    columns["hardest classes (error %)"] = [
        _listed(group[group["error"] > 0].sort_values("error", ascending=False, kind="stable").head(most), "{class} ({error})")
        for _, group in table.groupby("experiment", sort=False)
    ]
    columns["most frequent confusions (% of the class)"] = [
        _listed(confused[confused["experiment"] == name].head(most), "{true} as {predicted} ({share})")
        for name in columns["experiment"]
    ]
    return columns


def classes_markdown(table: pd.DataFrame, confused: pd.DataFrame) -> str:
    """The table of the hardest classes."""
    return render(classes_columns(table, confused), note=CLASSES_NOTE)


def _listed(rows: pd.DataFrame, form: str) -> str:
    shown = rows.assign(**{key: rows[key].map(lambda value: percent(value, 1)) for key in ("error", "share") if key in rows})
    return ", ".join(form.format(**row) for row in shown.to_dict("records"))
