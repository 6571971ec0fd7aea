"""The results as Markdown for people; CSV for programs holds the same with errors as fractions."""

import math

import pandas as pd

from reslab.report.statistics.samples import wilson_interval

MISSING = ""
ERROR = "test error % (mean ± std)"
NETWORKS_NOTE = (
    "Each network after its last epoch. The interval (Wilson) says how far the error would move with other test images of the "
    "same kind; the spread over seeds is another matter and comes on top. Calibration error: expected gap between confidence "
    "and accuracy over 15 bins (Guo et al. 2017). A network that diverged has no scores."
)


def percent(value: float, digits: int = 2) -> str:
    """0.0123 -> 1.23; nothing for NaN."""
    return MISSING if math.isnan(value) else f"{value * 100:.{digits}f}"


def mean_and_std(mean: float, std: float) -> str:
    """1.23 ± 0.10 in percent; the mean alone where there is no spread."""
    return percent(mean) + ("" if math.isnan(std) else f" ± {percent(std)}")


def interval(low: float, high: float) -> str:
    """[1.00, 1.50] in percent; an error does not leave 0 to 100."""
    return MISSING if math.isnan(low) else f"[{percent(max(low, 0))}, {percent(min(high, 1))}]"


def error_cell(row: pd.Series) -> str:
    """The error, or what happened instead."""
    if row["n"] == 0:
        return f"diverged ({row['diverged']} of {row['diverged']})"
    return mean_and_std(row["mean"], row["std"])


def render(columns: dict, *, title: str = "", note: str = "") -> str:
    """A Markdown table with its title above and a note beneath."""
    table = pd.DataFrame(columns).to_markdown(index=False, disable_numparse=True)
    heading = f"**{title}**\n\n" if title else ""
    return f"{heading}{table}\n\n{note}\n" if note else f"{heading}{table}\n"


def results_columns(summary: pd.DataFrame) -> dict:
    """Heading -> cells of the table of experiments."""
    columns = {
        "experiment": summary["experiment"],
        "tau": summary["tau"].map(lambda tau: MISSING if math.isnan(tau) else f"{tau:.4g}"),
        "parameters": summary["parameters"].map("{:,}".format),
        "n": summary["n"],
        "diverged": summary["diverged"],
        ERROR: summary.apply(error_cell, axis=1),
        "median": summary["median"].map(percent),
        "95 % interval": [interval(*pair) for pair in zip(summary["ci_low"], summary["ci_high"], strict=True)],
    }
    optional = {"test_top5_error": "top-5 error %", "test_ece": "calibration error %", "validation_error": "validation error %"}
    columns |= {name: summary[key].map(percent) for key, name in optional.items() if summary[key].notna().any()}
    if summary["published"].notna().any():
        pairs = zip(summary["published"], summary["published_std"], strict=True)
        columns |= {"published": [mean_and_std(*pair) for pair in pairs]}
    columns["s per run"] = summary["seconds"].map("{:.1f}".format)
    if summary["tau"].isna().all():
        del columns["tau"]
    return columns


def markdown(summary: pd.DataFrame, runs: pd.DataFrame, title: str) -> str:
    """The results with their title and the line that says on what they were measured."""
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


def networks(runs: pd.DataFrame) -> pd.DataFrame:
    """One row a trained network: its numbers, and Wilson's interval of its error over the draw of the test images.

    One that diverged has no scores here: the error of 1 in its record only marks it.
    """
    scores = ["test_error", "test_top5_error", "test_loss", "test_ece"]
    validation = ["validation_error"] if "validation_error" in runs else []
    measured = runs.reindex(columns=[*scores, *validation]).astype(float).where(runs["status"] != "diverged")
    table = runs.reindex(columns=["experiment", "seed", "status", "test_images"]).assign(**measured[scores])
    bounds = [
        (math.nan, math.nan)
        if math.isnan(row.test_images) or math.isnan(row.test_error)
        else wilson_interval(round(row.test_error * row.test_images), int(row.test_images))
        for row in table.astype({"test_images": float}).itertuples()
    ]
    table[["images_low", "images_high"]] = pd.DataFrame(bounds, columns=["low", "high"], index=table.index)
    return table.assign(**measured[validation], seconds=runs["seconds"])


def networks_columns(table: pd.DataFrame) -> dict:
    """Heading -> cells of the table of single networks."""
    bounds = zip(table["images_low"], table["images_high"], strict=True)
    columns = {
        "experiment": table["experiment"],
        "seed": table["seed"],
        "status": table["status"],
        "test error %": table["test_error"].map(percent),
        "95 % interval over test images": [interval(*pair) for pair in bounds],
    }
    optional = {"test_top5_error": "top-5 error %", "test_ece": "calibration error %", "validation_error": "validation error %"}
    columns |= {
        name: table[key].astype(float).map(percent) for key, name in optional.items() if key in table and table[key].notna().any()
    }
    columns["cross entropy"] = table["test_loss"].astype(float).map(lambda loss: MISSING if math.isnan(loss) else f"{loss:.4f}")
    columns["s"] = table["seconds"].map("{:.1f}".format)
    return columns


def networks_markdown(table: pd.DataFrame) -> str:
    """The table of single networks."""
    return render(networks_columns(table), note=NETWORKS_NOTE)
