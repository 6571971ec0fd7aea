"""The numbers of the plots of every seed, which the page draws with uPlot (uplot/: MIT, 51 kB, no network)."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from reslab.report.figures.curves import TITLES, UNITS
from reslab.report.html.figures import thinned
from reslab.report.html.records import anchor

MOST_POINTS = 6000  # of all seeds together
LEAST = 20  # of a seed
DIGITS = 4


def every_seed(histories: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """Titles of the plots, the epochs, and of each seed its experiment, its record and its values; None where it has none."""
    seeds = sum(history["seed"].nunique() for history in histories.values())
    shown = {name: thinned(history, max(MOST_POINTS // max(seeds, 1), LEAST)) for name, history in histories.items()}
    epochs = sorted({int(epoch) for history in shown.values() for epoch in history["epoch"]})
    return {
        "titles": TITLES,
        "epochs": epochs,
        "experiments": list(shown),
        "seeds": [
            {"experiment": name, "seed": int(seed), "record": anchor(name, int(seed)), "values": _values(rows, epochs)}
            for name, history in shown.items()
            for seed, rows in history.groupby("seed")
        ],
    }


def _values(rows: pd.DataFrame, epochs: list[int]) -> dict[str, list[float | None]]:
    found = rows.set_index("epoch")
    return {column: [_rounded(found[column].get(epoch, math.nan) * UNITS[column]) for epoch in epochs] for column in TITLES}


def _rounded(value: float) -> float | None:
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
