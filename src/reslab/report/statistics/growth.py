"""Growth against depth: the change of the stream's norm and gradient from the first block to the last."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from reslab.config.settings import flatten, varied

NETWORK = ["experiment", "series", "batch_norm", "depth", "blocks", "tau", "seed", "moment"]
SERIES = ["batch_norm", "series", "moment"]


def series_names(models: Mapping[str, Mapping], groups: Mapping[str, Any]) -> dict[str, str]:
    """The settings that set each experiment apart from the others of its group, its depth aside: `tau: 1/sqrt(L)`.

    `models` is experiment -> sections of params.yaml, `groups` experiment -> group. Alone in its group an experiment is called by
    the name of its model.
    """
    names = {}
    for group in dict.fromkeys(groups.values()):
        settings = {name: flatten(models[name]) for name in models if groups[name] == group}
        paths = [path for path in varied(settings) if path != "model.depth"]
        for name, found in settings.items():
            parts = [f"{path.removeprefix('model.')}: {found[path]}" for path in paths if path in found]
            names[name] = ", ".join(parts) or str(found.get("model.name", name))
    return names


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
    """The same slope between the two largest depths only: towards 0 where growth is bounded, ever larger where it explodes."""
    deepest = sorted(rows["blocks"].unique())[-2:]
    kept = rows[rows["blocks"].isin(deepest)]
    return slope(kept["blocks"].tolist(), kept[direction].tolist())[0]


def positive(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """The rows that have a logarithm: a network that diverged has none."""
    return table[np.isfinite(table[column]) & (table[column] > 0)]


def has_depths(table: pd.DataFrame) -> bool:
    """Whether some series was measured at two depths or more."""
    return bool((table.groupby(SERIES)["blocks"].nunique() > 1).any())
