"""From the layer study's tidy rows to growth against depth: how much the stream's norm and gradient change from end to end."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

NETWORK = ["experiment", "series", "batch_norm", "depth", "blocks", "tau", "seed", "moment"]
SERIES = ["batch_norm", "series", "moment"]
DIRECTIONS = {"forward": "norm of the stream, last block over first", "backward": "gradient of the stream, first block over last"}


def series_names(models: Mapping[str, Mapping], groups: Mapping[str, Any]) -> dict[str, str]:
    """What sets each experiment apart from the others of its group, its depth aside: `tau: 1/sqrt(L)`.

    `models` is experiment -> sections of params.yaml, `groups` experiment -> group. Alone in its group an experiment is called by
    the name of its model.
    """
    names = {}
    for group in dict.fromkeys(groups.values()):
        flat = {name: _flat(models[name]) for name in models if groups[name] == group}
        keys = [key for key in dict.fromkeys(key for row in flat.values() for key in row) if _varies(flat.values(), key)]
        for name, row in flat.items():
            parts = [f"{key.removeprefix('model.')}: {row[key]}" for key in keys if key in row]
            names[name] = ", ".join(parts) or str(row.get("model.name", name))
    return names


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    """{"model": {"tau": 1}} -> {"model.tau": 1}, without the depth."""
    if not isinstance(value, Mapping):
        return {path: value}
    pairs = ((f"{path}.{key}" if path else str(key), part) for key, part in value.items())
    return {key: part for where, inner in pairs if where != "model.depth" for key, part in _flat(inner, where).items()}


def _varies(rows: Sequence[Mapping] | Any, key: str) -> bool:
    return len({str(row.get(key)) for row in rows}) > 1


def growth(stream: pd.DataFrame) -> pd.DataFrame:
    """One row a network: `forward`, the stream's norm, last block over first; `backward`, its gradient's, first over last.

    First is what the first block takes. Where a stage changes, a part of the stream is left out (every second pixel): without a
    norm on the shortcut this is a factor in which L has no part.
    """
    rows = []
    for key, points in stream.groupby(NETWORK, sort=False, dropna=False):
        points = points.sort_values("block")
        first, last = points.iloc[0], points.iloc[-1]
        rows.append(
            dict(zip(NETWORK, key, strict=True))
            | {"forward": last["norm"] / first["norm"], "backward": first["gradient"] / last["gradient"]}
        )
    return pd.DataFrame(rows)


def slope(blocks: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """Slope of log value against log L by least squares, and its standard error; NaN with fewer than two depths."""
    if len(set(blocks)) < 2:
        return math.nan, math.nan
    fit = stats.linregress(np.log(blocks), np.log(values))
    return float(fit.slope), float(fit.stderr) if len(blocks) > 2 else math.nan


def last_slope(rows: pd.DataFrame, direction: str) -> float:
    """The same slope between the two deepest networks alone: towards 0 where growth is bounded, ever larger where it explodes."""
    deepest = sorted(rows["blocks"].unique())[-2:]
    kept = rows[rows["blocks"].isin(deepest)]
    return slope(kept["blocks"].tolist(), kept[direction].tolist())[0]


def markdown(table: pd.DataFrame) -> str:
    """Growth by L for each series and moment, with the slopes: one table for each direction."""
    parts = []
    for direction, meaning in DIRECTIONS.items():
        rows = [_row(key, rows, direction, table) for key, rows in table.groupby(SERIES, sort=False)]
        parts.append(f"**{meaning}**\n\n{pd.DataFrame(rows).fillna('').to_markdown(index=False, disable_numparse=True)}")
    parts.append(
        "Geometric mean over the seeds whose signals are finite. Slope: of its logarithm against log L, ± its standard error; last"
        " slope: between the two deepest. A power law L^s has the slope s everywhere, for exponential growth the last slope has no"
        " limit, for a bounded one it goes to 0. L is the number of residual blocks. Batch norm takes the batch's statistics;"
        " everything is computed in float64."
    )
    return "\n\n".join(parts) + "\n"


def _row(key: tuple, rows: pd.DataFrame, direction: str, table: pd.DataFrame) -> dict[str, str]:
    """One line of a table; a depth that was not measured stays empty."""
    batch_norm, series, moment = key
    finite = rows[np.isfinite(rows[direction]) & (rows[direction] > 0)]
    cells = {}
    for blocks in sorted(table["blocks"].unique()):
        measured, kept = rows[rows["blocks"] == blocks], finite[finite["blocks"] == blocks]
        cells[f"L = {blocks}"] = f"{stats.gmean(kept[direction]):.3g}" if len(kept) else "diverged" if len(measured) else ""
    value, error = slope(finite["blocks"].tolist(), finite[direction].tolist())
    last = last_slope(finite, direction)
    return {
        "batch norm": "yes" if batch_norm else "no",
        "networks": series,
        "when": moment,
        **cells,
        "slope": "" if math.isnan(value) else f"{value:.2f}" + ("" if math.isnan(error) else f" ± {error:.2f}"),
        "last slope": "" if math.isnan(last) else f"{last:.2f}",
    }
