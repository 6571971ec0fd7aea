"""The tables of experiments and of single networks. CSV for programs holds the same with errors as fractions."""

import pandas as pd

from reslab.report.tables.cells import EMPTY, Cell, interval, mean_and_std, number, numbers, percents, render, words

INTERVALS = "The interval is over seeds, on these test images (Student's t, logit scale). "
ERROR = "test error % (mean ± std)"
SCORES = {
    "test_top5_error": "top-5 error %",
    "test_ece": "calibration error %",
    "test_ece_debiased": "debiased %",
    "test_ece_perfect": "if perfect %",
    "validation_error": "validation error %",
}
NETWORKS_NOTE = (
    "Each network after its last epoch. The interval (Wilson) is that of the error over other test images of the same kind; the "
    "spread over seeds is not part of it. Calibration error: expected gap between confidence "
    "and accuracy over 15 bins (Guo et al. 2017); debiased: without what chance adds in so many images; if perfect: what a "
    "perfectly calibrated network would show on average. A network that diverged has no scores; one that did not train is no "
    "better than always answering the commonest class."
)


def error_cell(mean: float, std: float, n: int, diverged: int, untrained: int) -> Cell:
    """The error, or that all seeds diverged or did not train."""
    if n:
        return mean_and_std(mean, std)
    failed = {"diverged": diverged, "did not train": untrained}
    return Cell(None, ", ".join(f"{what} ({count} of {diverged + untrained})" for what, count in failed.items() if count))


def results_columns(summary: pd.DataFrame) -> dict[str, list[Cell]]:
    """Heading -> cells of the table of experiments."""
    columns = {"experiment": words(summary["experiment"])}
    if summary["tau"].notna().any():
        columns["tau"] = numbers(summary["tau"], "{:.4g}")
    columns |= {
        "parameters": numbers(summary["parameters"], "{:,}"),
        "n": numbers(summary["n"]),
        "diverged": numbers(summary["diverged"]),
    }
    if summary["untrained"].any():
        columns["did not train"] = numbers(summary["untrained"])
    columns |= {
        ERROR: [error_cell(*row) for row in _rows(summary, "mean", "std", "n", "diverged", "untrained")],
        "median": percents(summary["median"]),
        "95 % interval": [interval(*row) for row in _rows(summary, "ci_low", "ci_high")],
    }
    if summary["seeds_images_low"].notna().any():
        columns["and over images"] = [interval(*row) for row in _rows(summary, "seeds_images_low", "seeds_images_high")]
    if summary["untrained"].any():
        every = _rows(summary, "mean_all", "std_all", "untrained")
        columns["with those at chance"] = [mean_and_std(mean, std) if untrained else EMPTY for mean, std, untrained in every]
    columns |= _scores(summary)
    if summary["published"].notna().any():
        columns["published"] = [mean_and_std(*row) for row in _rows(summary, "published", "published_std")]
    columns["s per run"] = [
        Cell(None, f"mixed ({what})") if what else number(seconds, "{:.1f}") for seconds, what in _rows(summary, "seconds", "mixed")
    ]
    return columns


def _rows(table: pd.DataFrame, *keys: str) -> list[tuple]:
    return list(zip(*(table[key] for key in keys), strict=True))


def _scores(table: pd.DataFrame) -> dict[str, list[Cell]]:
    """The scores that some row has."""
    return {name: percents(table[key].astype(float)) for key, name in SCORES.items() if key in table and table[key].notna().any()}


def results_markdown(summary: pd.DataFrame, runs: pd.DataFrame, title: str) -> str:
    """The results with their title, and beneath them the hardware they were measured on."""
    return render(results_columns(summary), title=title, note=results_note(summary, runs))


def results_note(summary: pd.DataFrame, runs: pd.DataFrame) -> str:
    """How the table of experiments is to be read, and what it was measured on."""
    note = footnote(runs)
    if summary["seeds_images_low"].notna().any():
        note += " `and over images`: the same mean over other seeds and other test images of the same kind (two-way random effects"
        note += "; from records alone: an upper bound of the width)." if (summary["seeds_images_from"] == "records").any() else ")."
    if (summary["mixed"] != "").any():
        note += (
            " mixed: the runs of one experiment differ in this, so their times are not averaged and their errors may differ by it."
        )
    return note


def footnote(runs: pd.DataFrame, *, intervals: bool = True) -> str:
    """What the numbers are and what they were measured on; `intervals` are not explained where the table has none."""
    commit = ", ".join(sorted({str(commit)[:10] for commit in runs["commit"].dropna()})) or "none"
    dirty = " with uncommitted changes" if runs["dirty"].fillna(False).astype(bool).any() else ""
    device = ", ".join(sorted(runs["device"].unique()))
    threads = ", ".join(map(str, sorted(runs["threads"].unique())))
    torch = ", ".join(sorted(runs["torch"].unique()))
    meaning = INTERVALS if intervals else ""
    return (
        "Test error after the last epoch; all but the time is over the seeds that neither diverged nor stayed at a guess (did not "
        f"train). {meaning}Measured on {device}, {threads} thread(s) per run, torch {torch}, commit {commit}{dirty}."
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
