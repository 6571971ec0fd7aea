"""The tables of experiments and of single networks. CSV for programs holds the same with errors as fractions."""

import pandas as pd

from reslab.report.tables.cells import EMPTY, Cell, interval, mean_and_std, number, numbers, percents, render, words

MEANING = (
    "Test error after the last epoch; all but the time is over the seeds that neither diverged nor ended at a guess "
    "(did not train). "
)
INTERVALS = "The interval is over seeds, on these test images (Student's t, logit scale). "
TIMES = ("seconds", "images_per_second", "mixed")
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
    "and accuracy over 15 bins (Guo et al. 2017); debiased: without what chance adds in a test set of this size; if perfect: "
    "what a perfectly calibrated network would show on average. A network that diverged has no scores; one that did not train is "
    "no better than always answering the commonest class."
)


def error_cell(mean: float, std: float, n: int, diverged: int, untrained: int) -> Cell:
    """The error, or that all seeds diverged or did not train."""
    if n:
        return mean_and_std(mean, std)
    return Cell(None, ", ".join(f"{what} ({count} of {diverged + untrained})" for what, count in failures(diverged, untrained)))


def failures(diverged: int, untrained: int) -> list[tuple[str, int]]:
    """What happened to seeds that are in no mean, and to how many."""
    return [(what, count) for what, count in (("diverged", diverged), ("did not train", untrained)) if count]


def results_columns(summary: pd.DataFrame, *, times: bool = True) -> dict[str, list[Cell]]:
    """Heading -> cells of the table of experiments; without `times` those that another machine leaves as they are."""
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
    if times:
        columns["s per run"] = seconds_per_run(summary)
    elif (summary["mixed"] != "").any():
        columns["mixed"] = words(summary["mixed"])
    return columns


def seconds_per_run(summary: pd.DataFrame) -> list[Cell]:
    """The mean, or in what the runs of the experiment differ."""
    rows = _rows(summary, "seconds", "mixed")
    return [Cell(None, f"mixed ({what})") if what else number(seconds, "{:.1f}") for seconds, what in rows]


def _rows(table: pd.DataFrame, *keys: str) -> list[tuple]:
    return list(zip(*(table[key] for key in keys), strict=True))


def _scores(table: pd.DataFrame) -> dict[str, list[Cell]]:
    """The scores that some row has."""
    return {name: percents(table[key].astype(float)) for key, name in SCORES.items() if key in table and table[key].notna().any()}


def results_markdown(summary: pd.DataFrame, title: str) -> str:
    """The results with their title; what differs between machines is in the table of times, so that a diff shows numbers."""
    return render(results_columns(summary, times=False), title=title, note=results_note(summary))


def times_table(summary: pd.DataFrame) -> pd.DataFrame:
    """The columns of the summary that differ between machines."""
    return summary[["experiment", *TIMES]]


def times_markdown(summary: pd.DataFrame, runs: pd.DataFrame) -> str:
    """The times of the experiments, and what they were measured on."""
    columns = {"experiment": words(summary["experiment"]), "s per run": seconds_per_run(summary)}
    columns["images per s"] = numbers(summary["images_per_second"], "{:,.0f}")
    return render(columns, note=measured_on(runs))


def results_note(summary: pd.DataFrame, runs: pd.DataFrame | None = None) -> str:
    """How the table of experiments is to be read, and what it was measured on, if its `runs` are given."""
    note = MEANING + INTERVALS + ("" if runs is None else measured_on(runs) + " ")
    note = note.strip()
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
    return MEANING + (INTERVALS if intervals else "") + measured_on(runs)


def measured_on(runs: pd.DataFrame) -> str:
    """The device, threads, numerics, torch and commit of runs."""
    commit = ", ".join(sorted({str(commit)[:10] for commit in runs["commit"].dropna()})) or "none"
    dirty = " with uncommitted changes" if runs["dirty"].fillna(False).astype(bool).any() else ""
    device = ", ".join(sorted(runs["device"].unique()))
    threads = ", ".join(map(str, sorted(runs["threads"].unique())))
    torch = ", ".join(sorted(runs["torch"].unique()))
    told = sorted(set(runs["numerics"].dropna()) - {"native"}) if "numerics" in runs else []
    numerics = "".join(f", {name} numerics" for name in told)
    return f"Measured on {device}, {threads} thread(s) per run{numerics}, torch {torch}, commit {commit}{dirty}."


def networks_columns(scores: pd.DataFrame, *, times: bool = True) -> dict[str, list[Cell]]:
    """Heading -> cells of the table of single networks."""
    columns = {
        "experiment": words(scores["experiment"]),
        "seed": numbers(scores["seed"]),
        "status": words(scores["status"]),
        "test error %": percents(scores["test_error"]),
        "95 % interval over test images": [interval(*row) for row in _rows(scores, "images_low", "images_high")],
        **_scores(scores),
        "cross entropy": numbers(scores["test_loss"].astype(float), "{:.4f}"),
    }
    return columns | ({"s": numbers(scores["seconds"], "{:.1f}")} if times else {})


def networks_markdown(scores: pd.DataFrame) -> str:
    """The table of single networks and how to read it."""
    return render(networks_columns(scores, times=False), note=NETWORKS_NOTE)
