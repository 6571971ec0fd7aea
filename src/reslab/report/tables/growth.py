"""The tables of the layer study: growth by L, the number of residual blocks."""

import math

import pandas as pd
from scipy import stats

from reslab.report.statistics.growth import SERIES, last_slope, positive, slope
from reslab.report.tables.cells import EMPTY, Cell, number, render, words

DIRECTIONS = {"forward": "norm of the stream, last block over first", "backward": "gradient of the stream, first block over last"}
GROWTH_NOTE = (
    "Geometric mean over the seeds whose signals are finite. Slope: of its logarithm against log L, ± its standard error; last"
    " slope: between the two deepest. A power law L^s has the slope s everywhere, for exponential growth the last slope has no"
    " limit, for a bounded one it goes to 0. L is the number of residual blocks. Batch norm takes the batch's statistics;"
    " everything is computed in float64."
)


def growth_markdown(table: pd.DataFrame) -> str:
    """Growth by L for each series and moment, with the slopes: one table for each direction."""
    tables = [render(growth_columns(table, direction), title=meaning) for direction, meaning in DIRECTIONS.items()]
    return "\n".join([*tables, f"{GROWTH_NOTE}\n"])


def growth_columns(table: pd.DataFrame, direction: str) -> dict[str, list[Cell]]:
    """Heading -> cells, one row a series and moment."""
    groups = [(key, rows, positive(rows, direction)) for key, rows in table.groupby(SERIES, sort=False)]
    columns = {
        "batch norm": words("yes" if batch_norm else "no" for (batch_norm, _, _), _, _ in groups),
        "networks": words(series for (_, series, _), _, _ in groups),
        "when": words(moment for (_, _, moment), _, _ in groups),
    }
    for blocks in sorted(table["blocks"].unique()):
        columns[f"L = {blocks}"] = [_mean(rows, kept, direction, blocks) for _, rows, kept in groups]
    columns["slope"] = [_slope(kept, direction) for _, _, kept in groups]
    columns["last slope"] = [number(last_slope(kept, direction), "{:.2f}") for _, _, kept in groups]
    return columns


def _mean(rows: pd.DataFrame, kept: pd.DataFrame, direction: str, blocks: int) -> Cell:
    """The geometric mean at a depth; empty where it was not measured."""
    found = kept.loc[kept["blocks"] == blocks, direction]
    if len(found):
        return number(float(stats.gmean(found)), "{:.3g}")
    return Cell(None, "diverged") if (rows["blocks"] == blocks).any() else EMPTY


def _slope(kept: pd.DataFrame, direction: str) -> Cell:
    """0.50 ± 0.02; without a standard error where there are but two depths."""
    value, error = slope(kept["blocks"].tolist(), kept[direction].tolist())
    return EMPTY if math.isnan(value) else Cell(value, f"{value:.2f}" + ("" if math.isnan(error) else f" ± {error:.2f}"))
