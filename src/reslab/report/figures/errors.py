"""Test error against a setting that a study varies, or against a cost."""

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, FixedLocator, FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import ScaledTranslation

from reslab.config.study import Study
from reslab.report.axes import Axis, Series, series, study_settings
from reslab.report.figures.style import PAGE_WIDTH, SMALL, STYLE, WIDE_RANGE, error_label, marker_style, save, scale_errors

MOST_TICKS = 8
BESIDE, JITTER = 7.0, 1.2  # points between series at the same value, and between the seeds of one
ACROSS = 28.0  # points, over which all series at a value are spread at most: they must not seem to be at the next one
NARROW = 120  # points, less than a panel is wide: what is drawn beside the outermost value stays inside
HEIGHT, FEW_ROWS = 3.2, 5  # inches of a figure, and rows of a legend for which they are enough
ROW = 1.5 * SMALL / 72  # inches, of a row of a legend
SHORT = 18  # letters of a legend that has two columns
DIVERGED = "diverged (at the top edge)"


def plot_depth_and_tau(study: Study, summary: pd.DataFrame, runs: pd.DataFrame, path: Path) -> None:
    """Test error against depth and against tau, one point a seed, the means of experiments that differ in nothing else joined.

    A diverged experiment is a cross at the top edge.
    """
    columns = summary.set_index("experiment")[["depth", "tau"]]
    found = [Axis(name, f"model.{name}", columns[name].to_dict()).known() for name in columns]
    shown = [axis for axis in found if axis.values] or found[:1]
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(1, len(shown), figsize=(PAGE_WIDTH, HEIGHT), sharey=True, squeeze=False)
        rows = 0
        for axes, axis in zip(panels[0], shown, strict=True):
            entries = draw_series(axes, axis, series(axis, study_settings(study)), summary, runs) if axis.values else []
            axes.set(xlabel=axis.name, title=f"error against {axis.name}")
            if entries:
                place = {"loc": "upper left", "bbox_to_anchor": (0, -0.2), "frameon": False, "fontsize": SMALL}
                across = 2 if max(len(text) for _, text in entries) < SHORT else 1
                axes.legend(*zip(*entries, strict=True), ncols=across, **place)
                rows = max(rows, math.ceil(len(entries) / across))
        figure.set_figheight(HEIGHT + max(rows - FEW_ROWS, 0) * ROW)  # a long legend takes nothing from the axes
        scale_errors(panels[0][0], [])
        panels[0][0].set(ylabel=error_label(panels[0][0]))
        save(figure, path)


def draw_series(axes: Axes, axis: Axis, found: list[Series], summary: pd.DataFrame, runs: pd.DataFrame) -> list:
    """Draw seeds as points and join the means within a group; return the legend's entries (handle, label)."""
    rows, entries = summary.set_index("experiment", drop=False).to_dict("index"), []
    beside = sides(axis, found)
    for one, points in zip(found, beside, strict=True):
        style, first = marker_style(one.position), len(axes.lines)
        lines = [draw_group(axes, axis, members, rows, runs, style) for members in one.groups]
        shift(axes, axes.lines[first:], points)
        entries.append((plt.Line2D([], [], linewidth=1, linestyle="-" if any(lines) else "none", **style), one.label))
    scale_x(axes, axis)
    if any(beside):
        axes.margins(x=(beside[-1] + JITTER * len(runs) / len(rows)) / NARROW)
    if any(rows[name]["diverged"] for name in axis.values):
        entries.append((plt.Line2D([], [], marker="x", linestyle="none", color=mpl.rcParams["text.color"]), DIVERGED))
    return entries


def sides(axis: Axis, found: list[Series]) -> list[float]:
    """How far each series is drawn beside its value, in points: not at all, unless several have an experiment at the same one."""
    at = [{axis.values[member] for members in one.groups for member in members} for one in found]
    crowded = sum(map(len, at)) > len(set().union(*at))
    step = min(BESIDE, ACROSS / len(found)) if crowded else 0.0
    return [(place - (len(found) - 1) / 2) * step for place in range(len(found))]


def shift(axes: Axes, lines: Sequence[plt.Line2D], points: float) -> None:
    """Draw lines so far to the right, on any scale: their data, and the limits of the axes, stay as they are."""
    for line in lines:
        line.set_transform(line.get_transform() + ScaledTranslation(points / 72, 0, axes.get_figure(root=True).dpi_scale_trans))


def draw_group(axes: Axes, axis: Axis, members: list[str], rows: dict[str, dict], runs: pd.DataFrame, style: dict) -> bool:
    """Draw the experiments of a group and the line through their means; return whether there is a line."""
    members = sorted(members, key=axis.values.get)
    finished = [member for member in members if rows[member]["n"]]
    if len(finished) > 1:
        means = [rows[member]["mean"] * 100 for member in finished]
        axes.plot([axis.values[member] for member in finished], means, color=style["color"], linewidth=1)
    for member in members:
        draw_experiment(axes, axis.values[member], rows[member], runs[runs["experiment"] == member], **style)
    return len(finished) > 1


def scale_x(axes: Axes, axis: Axis) -> None:
    """Logarithmic where values lie far apart; a tick at each value where there are few."""
    low, high = min(axis.values.values()), max(axis.values.values())
    if low > 0 and high / low >= WIDE_RANGE:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    if axis.path and len(set(axis.values.values())) <= MOST_TICKS:
        axes.xaxis.set_major_locator(FixedLocator(sorted(set(axis.values.values()))))
        axes.minorticks_off()
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: tick(x)))


def tick(x: float) -> str:
    """0.333, 64, 1,202, 1.2 G"""
    if abs(x) >= 1e5:
        return EngFormatter(places=None, sep=" ")(x)
    return f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.3g}"


def draw_experiment(axes: Axes, x: float, row: dict, runs: pd.DataFrame, *, color: str, marker: str) -> None:
    """The seeds as points and their mean as a bar, or a cross for the diverged ones."""
    finished = runs[runs["status"] != "diverged"]
    for place, error in enumerate(finished["test_error"] * 100):  # equal seeds lie beside one another
        shift(axes, axes.plot([x], [error], marker, color=color, alpha=0.6), (place - (len(finished) - 1) / 2) * JITTER)
    if len(finished):
        axes.plot([x], [row["mean"] * 100], "_", color=color, markersize=12)
    if len(finished) < len(runs):
        axes.plot([x], [1], "x", color=color, markersize=7, clip_on=False, transform=axes.get_xaxis_transform())
