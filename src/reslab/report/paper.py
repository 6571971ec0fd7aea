"""The figures of a study as PDF, for a paper: drawn from the same files as the SVGs, with letters that stay letters."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
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
from reslab.report.statistics.summary import histories, summarize
from reslab.report.trained_as import runs_of
from reslab.runs import table_checksums
from reslab.runs.checksums import read_bytes

NAMED = 3  # networks in a message
NUMBERS = ("blocks", "tau", "forward", "backward")  # columns of the layer study that are drawn


def write(study: Study, metrics: Path, predictions: Path, folder: Path) -> tuple[list[Path], list[str]]:
    """Write what there is the data for; returns the files, and what could not be drawn and why.

    Curves and errors need METRICS/runs and /history, the reliability diagram PREDICTIONS, growth METRICS/layers. Raises UserError
    for missing or damaged records.
    """
    runs, curves = runs_of(study, metrics / "runs", older=True), histories(study, metrics)
    digests, missing = digest.read(runs, predictions)
    grown = _grown(metrics / "layers")  # all that may be damaged is read before anything is drawn, which takes a while
    folder.mkdir(parents=True, exist_ok=True)
    settings = panels(study_settings(study))
    plot_curves(curves, settings, folder / "curves.pdf")
    plot_depth_and_tau(study, summarize(study, runs), runs, folder / "depth_and_tau.pdf")
    written, left_out = [folder / "curves.pdf", folder / "depth_and_tau.pdf"], []
    if missing:
        some = ", ".join(missing[:NAMED]) + (", ..." if len(missing) > NAMED else "")
        left_out.append(f"reliability.pdf: no predictions of {some} in {predictions}; run `dvc pull` or `dvc repro`")
    else:
        plot_reliability(digest.pooled_reliability(digests), settings, folder / "reliability.pdf")
        written.append(folder / "reliability.pdf")
    return written + _growth(grown, metrics / "layers", folder), left_out


def _grown(layers: Path) -> pd.DataFrame | None:
    """The table of the layer study, if it was made."""
    table_checksums.check_layers(layers)
    path = layers / table_checksums.GROWTH
    if not path.exists():
        return None
    content = read_bytes(path, mend=table_checksums.LAYERS_AGAIN)
    with _damage_named(path):
        table = pd.read_csv(io.BytesIO(content), dtype={"experiment": str, "series": str}, keep_default_na=False, na_values=[""])
        table.astype(dict.fromkeys(NUMBERS, float))
        has_depths(table)
    return table


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """Raise UserError with the path for what a damaged table makes its readers raise: one without checksums may hold anything."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: damaged ({first_line(error)}); {table_checksums.LAYERS_AGAIN}") from None


def _growth(table: pd.DataFrame | None, layers: Path, folder: Path) -> list[Path]:
    """The figures of the layer study."""
    written: list[Path] = []
    if table is None:
        return written
    with _damage_named(layers / table_checksums.GROWTH):
        if has_depths(table):
            plot_growth(table, folder / "growth.pdf", against="blocks", width=PAGE_WIDTH)
            written.append(folder / "growth.pdf")
        if table["tau"].notna().any():
            plot_growth(table, folder / "threshold.pdf", against="scaled", width=PAGE_WIDTH)
            written.append(folder / "threshold.pdf")
    return written
