"""The results table as Markdown for people and CSV for programs."""

import math

import pandas as pd

MISSING = ""


def percent(value: float, digits: int = 2) -> str:
    """0.0123 -> 1.23; nothing for NaN."""
    return MISSING if math.isnan(value) else f"{value * 100:.{digits}f}"


def mean_and_std(mean: float, std: float) -> str:
    """1.23 ± 0.10 in percent; the mean alone where there is no spread."""
    return percent(mean) + ("" if math.isnan(std) else f" ± {percent(std)}")


def interval(low: float, high: float) -> str:
    """[1.00, 1.50] in percent."""
    return MISSING if math.isnan(low) else f"[{percent(max(low, 0))}, {percent(min(high, 1))}]"


def error_cell(row: pd.Series) -> str:
    """The error, or what happened instead."""
    if row["n"] == 0:
        return f"diverged ({row['diverged']} of {row['diverged']})"
    return mean_and_std(row["mean"], row["std"])


def markdown(summary: pd.DataFrame, runs: pd.DataFrame, title: str) -> str:
    """The table with its title and the line that says on what it was measured."""
    columns = {
        "experiment": summary["experiment"],
        "tau": summary["tau"].map(lambda tau: MISSING if math.isnan(tau) else f"{tau:.4g}"),
        "parameters": summary["parameters"].map("{:,}".format),
        "n": summary["n"],
        "diverged": summary["diverged"],
        "test error % (mean ± std)": summary.apply(error_cell, axis=1),
        "median": summary["median"].map(percent),
        "min": summary["min"].map(percent),
        "max": summary["max"].map(percent),
        "95 % interval": [interval(*pair) for pair in zip(summary["ci_low"], summary["ci_high"], strict=True)],
    }
    if summary["validation"].notna().any():
        columns["validation error %"] = summary["validation"].map(percent)
    if summary["published"].notna().any():
        pairs = zip(summary["published"], summary["published_std"], strict=True)
        columns |= {"published": [mean_and_std(*pair) for pair in pairs], "source": summary["source"]}
    columns["s per run"] = summary["seconds"].map("{:.1f}".format)
    table = pd.DataFrame(columns).to_markdown(index=False, disable_numparse=True)
    heading = f"**{title}**\n\n" if title else ""
    return f"{heading}{table}\n\n{footnote(runs)}\n"


def footnote(runs: pd.DataFrame) -> str:
    """What the numbers are and what they were measured on."""
    commit = ", ".join(sorted({str(commit)[:10] for commit in runs["commit"].dropna()})) or "none"
    dirty = " with uncommitted changes" if runs["dirty"].fillna(False).astype(bool).any() else ""
    device = ", ".join(sorted(runs["device"].unique()))
    threads = ", ".join(map(str, sorted(runs["threads"].unique())))
    torch = ", ".join(sorted(runs["torch"].unique()))
    return (
        "Test error after the last epoch; std, median and interval (t) over the seeds that did not diverge. "
        f"Measured on {device}, {threads} thread(s) per run, torch {torch}, commit {commit}{dirty}."
    )
