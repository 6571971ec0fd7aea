"""Plots of the layer study: responses layer by layer, and growth against depth and against tau."""

import math
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullFormatter
from scipy import stats

from reslab.report.layers import SERIES
from reslab.report.plots import COLOURS, PLAIN, STYLE, save

COLUMNS = 4
WIDE_RATIO = 30  # largest over smallest response, from which on an axis is logarithmic
HIGHEST = 1e6  # where the growth axis ends: what explodes leaves it, what is bounded can still be told apart
MARKERS = "osD^vPX"
NORMS = {False: "without batch norm", True: "with batch norm"}
TITLES = {"forward": "norm of the stream, last / first", "backward": "gradient, first / last"}


def responses(table: pd.DataFrame, path: Path, *, moment: str) -> None:
    """Standard deviation of each 3x3 layer's response, one panel a series, one line a depth (He et al. 2015, Fig. 7)."""
    table = table[table["moment"] == moment]
    panels = list(table.groupby(["batch_norm", "series"], sort=False))
    depths = sorted(table["depth"].dropna().unique()) or [math.nan]
    shades = dict(zip(depths, plt.get_cmap("viridis_r")(np.linspace(0.15, 0.95, len(depths))), strict=True))
    columns = min(COLUMNS, len(panels))
    height = math.ceil(len(panels) / columns)
    with plt.rc_context(STYLE):
        figure, grid = plt.subplots(height, columns, figsize=(3.1 * columns + 0.8, 2.6 * height + 1.1), squeeze=False)
        for axes, ((batch_norm, series), rows) in zip(grid.flat, panels, strict=False):
            draw_responses(axes, rows, shades)
            axes.set_title(f"{series}\n{NORMS[batch_norm]}", fontsize=10)
        for axes in grid.flat[len(panels) :]:
            axes.set_visible(False)
        figure.supxlabel("3x3 layer, in the order of computation", fontsize=11)
        figure.supylabel("standard deviation of the response", fontsize=11)
        names = ["all" if math.isnan(depth) else f"depth {depth:.0f}" for depth in depths]
        handles = [plt.Line2D([], [], color=shades[depth]) for depth in depths]
        figure.suptitle(f"Layer responses, {moment}")
        figure.legend(handles, names, loc="outside lower center", ncols=6, frameon=False)
        save(figure, path)


def draw_responses(axes: Axes, rows: pd.DataFrame, shades: dict) -> None:
    """The deepest first, so that the shallow ones stay visible; over seeds the geometric mean."""
    finite = rows[np.isfinite(rows["response_std"]) & (rows["response_std"] > 0)]
    for depth, group in sorted(finite.groupby("depth", dropna=False), key=lambda pair: -pair[0]):
        mean = group.groupby("layer")["response_std"].agg(stats.gmean)
        axes.plot(mean.index, mean, color=shades[depth], linewidth=1.2)
    if len(finite) == 0:
        axes.text(0.5, 0.5, "diverged", ha="center", va="center", transform=axes.transAxes, color="#555555")
        return
    if finite["response_std"].max() / finite["response_std"].min() > WIDE_RATIO:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)


def growth(table: pd.DataFrame, path: Path, *, against: str) -> None:
    """Growth of the stream's norm and gradient, log axes, one line a series.

    `against` "depth": by L, with everything above the line of tau = 1/sqrt(L) shaded; "threshold": by tau * sqrt(L), the points of
    all depths and taus together, with a line at 1.
    """
    table = table.assign(scaled=table["tau"] * np.sqrt(table["blocks"]))
    rows = [norm for norm in NORMS if norm in set(table["batch_norm"])]
    columns = [(moment, direction) for moment in dict.fromkeys(table["moment"]) for direction in TITLES]
    colours = {series: COLOURS[i % len(COLOURS)] for i, series in enumerate(dict.fromkeys(table["series"]))}
    markers = {series: MARKERS[i % len(MARKERS)] for i, series in enumerate(colours)}
    with plt.rc_context(STYLE):
        size = (3.6 * len(columns), 3.3 * len(rows) + 0.7)
        figure, grid = plt.subplots(len(rows), len(columns), figsize=size, squeeze=False, sharey="row", sharex="col")
        for line, norm in zip(grid, rows, strict=True):
            for axes, (moment, direction) in zip(line, columns, strict=True):
                panel = table[(table["batch_norm"] == norm) & (table["moment"] == moment)]
                draw_growth(axes, panel, direction, "blocks" if against == "depth" else "scaled", colours, markers)
                axes.set_title(f"{moment}: {TITLES[direction]}", fontsize=10)
                mark_threshold(axes, panel, direction, against)
            line[0].set_ylabel(NORMS[norm])
        for axes in grid[-1]:
            axes.set_xlabel("L, residual blocks" if against == "depth" else "tau · sqrt(L)")
        handles = [plt.Line2D([], [], color=colours[name], marker=markers[name]) for name in colours]
        figure.legend(handles, colours, loc="outside lower center", ncols=min(len(colours), 4), frameon=False)
        save(figure, path)


def draw_growth(axes: Axes, panel: pd.DataFrame, direction: str, x: str, colours: dict, markers: dict) -> None:
    """A line through the geometric means over seeds (none through points of all depths), and each seed as a point."""
    panel = panel[np.isfinite(panel[direction]) & (panel[direction] > 0) & np.isfinite(panel[x]) & (panel[x] > 0)]
    for series, rows in panel.groupby("series", sort=False):
        style = {"color": colours[series], "marker": markers[series]}
        axes.plot(rows[x], rows[direction], linestyle="none", markersize=4, alpha=0.6, **style)
        if x == "blocks":
            mean = rows.groupby(x)[direction].agg(stats.gmean)
            axes.plot(mean.index, mean, color=style["color"], linewidth=1.5)
    axes.set(xscale="log", yscale="log")
    if len(panel) and panel[direction].max() > HIGHEST:
        axes.set_ylim(top=HIGHEST)
    if x == "blocks" and len(panel):
        axes.xaxis.set_major_locator(FixedLocator(sorted(panel[x].unique())))
        axes.xaxis.set_major_formatter(PLAIN)
        axes.xaxis.set_minor_formatter(NullFormatter())


def mark_threshold(axes: Axes, panel: pd.DataFrame, direction: str, against: str) -> None:
    """The boundary: the line of tau = 1/sqrt(L), where the study has it, or tau * sqrt(L) = 1."""
    if against == "threshold":
        axes.axvline(1, color="#333333", linewidth=1, linestyle="--")
        return
    at = panel[np.isclose(panel["scaled"], 1, rtol=1e-4) & np.isfinite(panel[direction])]
    if at["blocks"].nunique() < 2:
        return
    mean = at.groupby("blocks")[direction].agg(stats.gmean)
    axes.fill_between(mean.index, mean, axes.get_ylim()[1], color="#D55E00", alpha=0.07, linewidth=0)
    axes.set_ylim(axes.get_ylim())


def has_depths(table: pd.DataFrame) -> bool:
    """Whether some series was measured at two depths or more."""
    return bool((table.groupby(SERIES)["blocks"].nunique() > 1).any())
