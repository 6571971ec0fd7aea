"""The reliability diagram of a study: the accuracy of answers against their confidence."""

import math
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes

from reslab.report.axes import Panels
from reslab.report.figures.style import COLUMN_WIDTH, LINE, SMALL, STYLE, line_style, save

LEAST = 10  # answers in a bin: with fewer its accuracy is noise
COLUMNS = 2  # of panels


def plot_reliability(tables: dict[str, pd.DataFrame], panels: Panels, path: Path) -> None:
    """One line an experiment (Guo et al. 2017, figure 1); below the diagonal a network is surer than it may be.

    `panels` have all experiments of the study, also those without a table, so that one has the same colour as among the curves.
    """
    across = min(len(panels), COLUMNS)
    down = math.ceil(len(panels) / across)
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(COLUMN_WIDTH * across, COLUMN_WIDTH * 1.2 * down))
        parts = figure.subfigures(down, across, squeeze=False).flat if len(panels) > 1 else [figure]
        for part, (title, names) in zip(parts, panels.items(), strict=False):
            axes = part.subplots()
            draw_reliability(axes, tables, names)
            about = f"calibration (bins of at least {LEAST} answers)"
            axes.set(title=f"{about}, {title}" if title else about, aspect="equal")
            look = {"loc": "outside lower center", "ncols": 2, "frameon": False, "handlelength": LINE, "fontsize": SMALL}
            part.legend(*axes.get_legend_handles_labels(), **look)
        save(figure, path)


def draw_reliability(axes: Axes, tables: dict[str, pd.DataFrame], names: list[str]) -> None:
    """The diagonal, and the accuracy by confidence of those of the experiments that have a table."""
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=1)
    for position, name in enumerate(names):
        if name in tables:
            shown = tables[name][tables[name]["images"] >= LEAST]
            axes.plot(shown["confidence"], shown["accuracy"], marker="o", markersize=3, label=name, **line_style(position))
    axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1.01), ylim=(0, 1.01))
