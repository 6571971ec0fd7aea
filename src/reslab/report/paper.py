"""The figures of a study as PDF, for a paper: drawn from the same files as the SVGs, with letters that stay letters."""

from pathlib import Path

import pandas as pd

from reslab.config.study import Study
from reslab.errors import UserError, first_line
from reslab.report.axes import panels, study_settings
from reslab.report.figures.curves import plot_curves
from reslab.report.figures.errors import plot_depth_and_tau
from reslab.report.figures.growth import plot_growth
from reslab.report.figures.reliability import plot_reliability
from reslab.report.figures.style import PAGE_WIDTH
from reslab.report.predictions import digest
from reslab.report.statistics.growth import has_depths
from reslab.report.statistics.summary import histories, runs_table, summarize
from reslab.runs import table_checksums

NAMED = 3  # networks in a message


def write(study: Study, metrics: Path, predictions: Path, folder: Path) -> tuple[list[Path], list[str]]:
    """Write what there is the data for; returns the files, and what could not be drawn and why.

    Curves and errors need METRICS/runs and /history, the reliability diagram PREDICTIONS, growth METRICS/layers. Raises UserError
    for missing or damaged records.
    """
    runs, curves = runs_table(study, metrics / "runs", older=True), histories(study, metrics)
    folder.mkdir(parents=True, exist_ok=True)
    settings = panels(study_settings(study))
    plot_curves(curves, settings, folder / "curves.pdf")
    plot_depth_and_tau(study, summarize(study, runs), runs, folder / "depth_and_tau.pdf")
    written, left_out = [folder / "curves.pdf", folder / "depth_and_tau.pdf"], []
    digests, missing = digest.read(runs, predictions)
    if missing:
        some = ", ".join(missing[:NAMED]) + (", ..." if len(missing) > NAMED else "")
        left_out.append(f"reliability.pdf: no predictions of {some} in {predictions}; run `dvc pull` or `dvc repro`")
    else:
        plot_reliability(digest.pooled_reliability(digests), settings, folder / "reliability.pdf")
        written.append(folder / "reliability.pdf")
    return written + _growth(metrics / "layers", folder), left_out


def _growth(layers: Path, folder: Path) -> list[Path]:
    """The figures of the layer study, if it was made."""
    table_checksums.check_layers(layers)
    path, written = layers / table_checksums.GROWTH, []
    if not path.is_file():
        return []
    try:
        table = pd.read_csv(path, dtype={"experiment": str, "series": str}, keep_default_na=False, na_values=[""])
        if has_depths(table):
            plot_growth(table, folder / "growth.pdf", against="blocks", width=PAGE_WIDTH)
            written.append(folder / "growth.pdf")
        if table["tau"].notna().any():
            plot_growth(table, folder / "threshold.pdf", against="scaled", width=PAGE_WIDTH)
            written.append(folder / "threshold.pdf")
    except (ValueError, KeyError, TypeError, AttributeError) as error:  # in a table without checksums anything may be
        raise UserError(f"{path}: damaged ({first_line(error)}); {table_checksums.LAYERS_AGAIN}") from None
    return written
