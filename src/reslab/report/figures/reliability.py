"""The reliability diagram of a study: how often answers are right against how sure the networks are of them."""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes

from reslab.report.figures.plots import LINE, STYLE, save, style_of

LEAST = 10  # answers in a bin: with fewer its accuracy is noise


def reliability_diagram(tables: dict[str, pd.DataFrame], path: Path, *, order: list[str]) -> None:
    """One line an experiment (Guo et al. 2017, figure 1); below the diagonal a network is surer than it may be.

    `order` gives the colours: all experiments of the study, so that one has the same here, among the curves and on the page.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(5.5, 5.5))
        draw_reliability(axes, tables, order)
        axes.set(title=f"calibration (bins of at least {LEAST} answers)", aspect="equal")
        place = {"loc": "outside lower center", "ncols": 2, "frameon": False, "handlelength": LINE}
        figure.legend(*axes.get_legend_handles_labels(), **place)
        save(figure, path)


def draw_reliability(axes: Axes, tables: dict[str, pd.DataFrame], order: list[str]) -> None:
    """The diagonal, and each experiment's accuracy against its confidence, in the style of its place in `order`."""
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=1)
    for name, table in tables.items():
        shown = table[table["images"] >= LEAST]
        axes.plot(shown["confidence"], shown["accuracy"], marker="o", markersize=3, label=name, **style_of(order.index(name)))
    axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1.01), ylim=(0, 1.01))
