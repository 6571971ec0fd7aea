"""Figures of the layer study: responses layer by layer, and growth against depth and against tau."""

import math
from pathlib import Path
from typing import Literal

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter
from scipy import stats

from reslab.report.figures.style import COLOURS, PLAIN, SMALL, STYLE, save
from reslab.report.statistics.growth import positive

COLUMNS = 4
WIDE_RATIO = 30  # largest over smallest response, from which on an axis is logarithmic
FEW_DECADES = 100  # largest over smallest value, up to which a logarithmic axis has marks at 1, 2 and 5
HIGHEST = 1e6  # where the growth axis ends: what explodes leaves it, what is bounded can still be told apart
BEYOND = {"marker": 6, "linestyle": "none", "clip_on": False, "in_layout": False}  # a caret at the upper edge
PAPER_ROW, PAPER_LEGEND = 1.7, 0.3  # inches, of a row of panels and of a legend in a paper
TINY = 6  # points, of numbers that would touch one another in a paper
MARKERS = "osD^vPX"
NORMS = {False: "without batch norm", True: "with batch norm"}
TITLES = {"forward": "norm of the stream,\nlast block / first", "backward": "gradient of the stream,\nfirst block / last"}
Against = Literal["blocks", "scaled"]  # L, or tau * sqrt(L)


def plot_responses(table: pd.DataFrame, path: Path, *, moment: str) -> None:
    """Standard deviation of each 3x3 layer's response, one panel a series, one line a depth (He et al. 2015, Fig. 7)."""
    table = table[table["moment"] == moment]
    panels = list(table.groupby(["batch_norm", "series"], sort=False))
    depths = sorted(table["depth"].fillna(0).unique())
    shades = dict(zip(depths, plt.get_cmap("viridis_r")(np.linspace(0.15, 0.95, len(depths))), strict=True))
    columns = min(COLUMNS, len(panels))
    height = math.ceil(len(panels) / columns)
    with plt.rc_context(STYLE):
        figure, grid = plt.subplots(height, columns, figsize=(3.1 * columns + 0.6, 2.7 * height + 0.9), squeeze=False)
        for position, axes in enumerate(grid.flat):
            axes.set_visible(position < len(panels))
            if position < len(panels):
                (batch_norm, series), rows = panels[position]
                draw_responses(axes, rows, shades)
                axes.set_title(f"{series}, {NORMS[batch_norm]}", fontsize=9)
            if position + columns >= len(panels):
                axes.set_xlabel("3x3 layer")
        for axes in grid[:, 0]:
            axes.set_ylabel("std of the response")
        figure.suptitle(f"Responses of the layers {moment}", fontsize=11)
        if depths != [0]:
            handles = [plt.Line2D([], [], color=shades[depth]) for depth in depths]
            names = [f"depth {depth:.0f}" for depth in depths]
            figure.legend(handles, names, loc="outside lower center", ncols=6, frameon=False)
        save(figure, path)


def draw_responses(axes: Axes, rows: pd.DataFrame, shades: dict[float, np.ndarray]) -> None:
    """One line a depth, the geometric mean over seeds; the deepest first, so that the shallow ones stay visible."""
    finite = positive(rows, "response_std")
    if len(finite) == 0:
        axes.text(0.5, 0.5, "all diverged", ha="center", va="center", transform=axes.transAxes, color="#555555")
        axes.set(xticks=[], yticks=[])
        return
    means = finite.groupby([finite["depth"].fillna(0), "layer"])["response_std"].agg(stats.gmean)
    for depth, mean in sorted(means.groupby(level=0), key=lambda pair: -pair[0]):
        axes.plot(mean.index.get_level_values("layer"), mean, color=shades[depth], linewidth=1)
    low, high = means.min(), means.max()
    if high / low > WIDE_RATIO:
        logarithmic(axes.yaxis, low, high)
    else:
        axes.set_ylim(0, 1.1 * high)


def plot_growth(table: pd.DataFrame, path: Path, *, against: Against, width: float | None = None) -> None:
    """Growth of the stream's norm and gradient, log axes; rows without and with batch norm, columns before and after training.

    By L ("blocks"), one line a series, with what lies above the line of tau = 1/sqrt(L) shaded; or the points of all depths and
    taus by tau * sqrt(L) ("scaled"), with what lies above 1 shaded. A `width` in inches is that of a paper, whose letters are
    small; without one the figure has the size that suits a screen.
    """
    table = table.assign(scaled=table["tau"] * np.sqrt(table["blocks"]))
    rows = [norm for norm in NORMS if norm in set(table["batch_norm"])]
    columns = [(moment, direction) for moment in dict.fromkeys(table["moment"]) for direction in TITLES]
    looks = {
        series: {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)]}
        for i, series in enumerate(dict.fromkeys(table["series"]))
    }
    with plt.rc_context(STYLE):
        wide, high = 3.1 * len(columns) + 0.4, 3.1 * len(rows) + 0.9
        size = (wide, high) if width is None else (width, max(high * width / wide, PAPER_ROW * len(rows)) + PAPER_LEGEND)
        figure, grid = plt.subplots(len(rows), len(columns), figsize=size, squeeze=False, sharey="row", sharex="col")
        for line, norm in zip(grid, rows, strict=True):
            for axes, (moment, direction) in zip(line, columns, strict=True):
                panel = positive(table[(table["batch_norm"] == norm) & (table["moment"] == moment)], direction)
                draw_growth(axes, panel, direction, against, looks)
            values = table.loc[table["batch_norm"] == norm, list(TITLES)].to_numpy()
            values = values[np.isfinite(values) & (values > 0)]
            if len(values):
                low, high = values.min() / 1.5, min(values.max() * 1.5, HIGHEST)
                logarithmic(line[0].yaxis, low, high)
                line[0].set_ylim(low, high)
            line[0].set_ylabel(NORMS[norm], fontsize=None if width else 11)
        for axes, (moment, direction) in zip(grid[0], columns, strict=True):
            axes.set_title(f"{moment}:\n{TITLES[direction]}", fontsize=SMALL if width else 10)
        for axes in grid[-1]:
            axes.set_xlabel("L, residual blocks" if against == "blocks" else "tau · sqrt(L)")
            if width:
                axes.tick_params(axis="x", labelsize=TINY)
        entries = growth_legend(table, looks, against)
        across = min(len(entries), len(columns) if width else len(columns) + 1)
        place = {"loc": "outside lower center", "ncols": across, "frameon": False}
        figure.legend(*zip(*entries, strict=True), **place, fontsize=SMALL if width else None)
        save(figure, path)


def growth_legend(table: pd.DataFrame, looks: dict[str, dict], against: Against) -> list:
    """The legend's entries (handle, label): the series, the threshold, and the mark of what leaves the axes, if something does."""
    line = "-" if against == "blocks" else "none"
    entries = [(plt.Line2D([], [], **look, linestyle=line), name) for name, look in looks.items()]
    shaded = plt.Rectangle((0, 0), 1, 1, color="#D55E00", alpha=0.12, linewidth=0)
    entries.append((shaded, "above the threshold tau = 1/sqrt(L)"))
    if (table[list(TITLES)] > HIGHEST).any(axis=None):
        caret = plt.Line2D([], [], color=mpl.rcParams["text.color"], **BEYOND)
        entries.append((caret, f"beyond {HIGHEST:.0e}".replace("e+0", "e")))
    return entries


def draw_growth(axes: Axes, panel: pd.DataFrame, direction: str, against: Against, looks: dict[str, dict]) -> None:
    """Each network as a point; against L also a line through the geometric means over seeds."""
    axes.set(xscale="log", yscale="log")
    panel = positive(panel, against)
    for series, rows in panel.groupby("series", sort=False):
        axes.plot(rows[against], rows[direction], linestyle="none", markersize=4, alpha=0.6, **looks[series])
        if against == "blocks":
            mean = rows.groupby(against)[direction].agg(stats.gmean)
            axes.plot(mean.index, mean, color=looks[series]["color"], linewidth=1.5)
        beyond = rows.loc[rows[direction] > HIGHEST, against]
        axes.plot(beyond, [1] * len(beyond), color=looks[series]["color"], transform=axes.get_xaxis_transform(), **BEYOND)
    if against == "blocks":
        axes.xaxis.set_major_locator(FixedLocator(sorted(panel[against].unique())))
    axes.xaxis.set_major_formatter(PLAIN)
    axes.xaxis.set_minor_formatter(NullFormatter())
    shade(axes, panel, direction, against)


def shade(axes: Axes, panel: pd.DataFrame, direction: str, against: Against) -> None:
    """Shade the region above the threshold: above the line of tau = 1/sqrt(L), where the study has one, or right of 1."""
    look = {"color": "#D55E00", "alpha": 0.08, "linewidth": 0}
    if against == "scaled":
        axes.axvspan(1, max(panel[against].max(), 1) * 1.2 if len(panel) else 1, **look)
        return
    at = panel[np.isclose(panel["tau"] * np.sqrt(panel["blocks"]), 1, rtol=1e-4)]  # a learnt tau is there before training only
    mean = at.groupby("blocks")[direction].agg(stats.gmean)
    axes.fill_between(mean.index, mean, np.full(len(mean), 10 * HIGHEST), **look)


def logarithmic(axis: Axis, low: float, high: float) -> None:
    """A logarithmic axis whose numbers do not crowd."""
    axis.axes.set_yscale("log")
    axis.set_minor_formatter(NullFormatter())
    if high / low < FEW_DECADES:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(PLAIN)
