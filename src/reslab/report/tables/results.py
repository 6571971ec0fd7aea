"""The tables of experiments and of single networks. CSV for programs holds the same with errors as fractions."""

import pandas as pd

from reslab.report.tables.cells import Cell, interval, mean_and_std, numbers, percents, render, words

ERROR = "test error % (mean ± std)"
SCORES = {"test_top5_error": "top-5 error %", "test_ece": "calibration error %", "validation_error": "validation error %"}
NETWORKS_NOTE = (
    "Each network after its last epoch. The interval (Wilson) is that of the error over other test images of the same kind; the "
    "spread over seeds is not part of it. Calibration error: expected gap between confidence "
    "and accuracy over 15 bins (Guo et al. 2017). A network that diverged has no scores."
)


def error_cell(mean: float, std: float, n: int, diverged: int) -> Cell:
    """The error, or that all seeds diverged."""
    return mean_and_std(mean, std) if n else Cell(None, f"diverged ({diverged} of {diverged})")


def results_columns(summary: pd.DataFrame) -> dict[str, list[Cell]]:
    """Heading -> cells of the table of experiments."""
    columns = {"experiment": words(summary["experiment"])}
    if summary["tau"].notna().any():
        columns["tau"] = numbers(summary["tau"], "{:.4g}")
    columns |= {
        "parameters": numbers(summary["parameters"], "{:,}"),
        "n": numbers(summary["n"]),
        "diverged": numbers(summary["diverged"]),
        ERROR: [error_cell(*row) for row in _rows(summary, "mean", "std", "n", "diverged")],
        "median": percents(summary["median"]),
        "95 % interval": [interval(*row) for row in _rows(summary, "ci_low", "ci_high")],
        **_scores(summary),
    }
    if summary["published"].notna().any():
        columns["published"] = [mean_and_std(*row) for row in _rows(summary, "published", "published_std")]
    columns["s per run"] = numbers(summary["seconds"], "{:.1f}")
    return columns


def _rows(table: pd.DataFrame, *keys: str) -> list[tuple]:
    return list(zip(*(table[key] for key in keys), strict=True))


def _scores(table: pd.DataFrame) -> dict[str, list[Cell]]:
    """The scores that some row has."""
    return {name: percents(table[key].astype(float)) for key, name in SCORES.items() if key in table and table[key].notna().any()}


def results_markdown(summary: pd.DataFrame, runs: pd.DataFrame, title: str) -> str:
    """The results with their title, and beneath them the hardware they were measured on."""
    return render(results_columns(summary), title=title, note=footnote(runs))


def footnote(runs: pd.DataFrame) -> str:
    """What the numbers are and what they were measured on."""
    commit = ", ".join(sorted({str(commit)[:10] for commit in runs["commit"].dropna()})) or "none"
    dirty = " with uncommitted changes" if runs["dirty"].fillna(False).astype(bool).any() else ""
    device = ", ".join(sorted(runs["device"].unique()))
    threads = ", ".join(map(str, sorted(runs["threads"].unique())))
    torch = ", ".join(sorted(runs["torch"].unique()))
    return (
        "Test error after the last epoch; all but the time is over the seeds that did not diverge, the interval is Student's t. "
        f"Measured on {device}, {threads} thread(s) per run, torch {torch}, commit {commit}{dirty}."
    )


def networks_columns(scores: pd.DataFrame) -> dict[str, list[Cell]]:
    """Heading -> cells of the table of single networks."""
    return {
        "experiment": words(scores["experiment"]),
        "seed": numbers(scores["seed"]),
        "status": words(scores["status"]),
        "test error %": percents(scores["test_error"]),
        "95 % interval over test images": [interval(*row) for row in _rows(scores, "images_low", "images_high")],
        **_scores(scores),
        "cross entropy": numbers(scores["test_loss"].astype(float), "{:.4f}"),
        "s": numbers(scores["seconds"], "{:.1f}"),
    }


def networks_markdown(scores: pd.DataFrame) -> str:
    """The table of single networks and how to read it."""
    return render(networks_columns(scores), note=NETWORKS_NOTE)
