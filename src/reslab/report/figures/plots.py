"""Plots for the report, as SVG that is the same for the same numbers."""

import math
from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from reslab.config.study import Study
from reslab.report.axes import Axis, series, study_settings
from reslab.report.statistics.summary import converged, diverged_seeds

mpl.use("agg")
STYLE = {
    "svg.hashsalt": "reslab",  # otherwise ids are random and every run changes the file
    "svg.fonttype": "none",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "figure.constrained_layout.use": True,
}
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito: safe for colour-blind eyes
PLAIN = StrMethodFormatter("{x:.3g}")  # 0.333 and 100, not powers of ten
DASHES = ("-", "--", ":", "-.")
MARKERS = "os^v"  # for each turn of the colours
LINE = 3  # handle length of a legend, in letters: shorter, a dash and a dot look like a line
MOST_TICKS = 8
WIDE_RANGE = 5  # largest by smallest value from which an axis is logarithmic
DIVERGED = "diverged (at the top edge)"


def save(figure: Figure, path: Path) -> None:
    """Write a figure without a date."""
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def show_errors(axes: Axes) -> None:
    """An axis for errors in percent: linear below 1, so that an error of zero has a place, and logarithmic above."""
    axes.set_yscale("symlog", linthresh=1.0)
    axes.set_ylim(0, 100)
    axes.set_yticks([0, 1, 2, 5, 10, 20, 50, 100])
    axes.yaxis.set_major_formatter(PLAIN)


def style_of(position: int) -> dict:
    """Colour and dash of the n-th line: all different up to 28."""
    return {"color": COLOURS[position % len(COLOURS)], "linestyle": DASHES[position // len(COLOURS) % len(DASHES)]}


def curves(histories: dict[str, pd.DataFrame], path: Path) -> None:
    """Training loss and test error by epoch: the mean over the seeds that did not diverge, a band from best to worst."""
    with plt.rc_context(STYLE):
        figure, (loss, error) = plt.subplots(1, 2, figsize=(11, 4.2))
        for position, (name, history) in enumerate(histories.items()):
            label, kept = curve_label(name, history), converged(history)
            draw_band(loss, kept, "train_loss", 1, label, style_of(position))
            draw_band(error, kept, "test_error", 100, label, style_of(position))
        loss.set(title="training loss", xlabel="epoch", yscale="log")
        error.set(title="test error (%)", xlabel="epoch")
        show_errors(error)
        loss.yaxis.set_major_formatter(PLAIN)
        for axes in (loss, error):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        place = {"loc": "outside lower center", "ncols": min(len(histories), 4), "frameon": False, "handlelength": LINE}
        figure.legend(*error.get_legend_handles_labels(), **place)
        save(figure, path)


def curve_label(name: str, history: pd.DataFrame) -> str:
    """An experiment's name with how many of its seeds diverged: those are not in its curve unless all did."""
    diverged, seeds = len(diverged_seeds(history)), history["seed"].nunique()
    if not diverged:
        return name
    return f"{name} (diverged)" if diverged == seeds else f"{name} ({diverged} of {seeds} diverged)"


def draw_band(axes: Axes, history: pd.DataFrame, column: str, scale: float, label: str, style: dict) -> None:
    """Mean line and seed band of one column; an experiment that diverged at once leaves only its label."""
    epochs = (history.set_index("epoch")[column] * scale).groupby("epoch")
    mean, low, high = epochs.mean(), epochs.min(), epochs.max()
    if not history["train_loss"].map(math.isfinite).any():
        axes.plot([], [], label=label, linestyle="none")  # no handle: there is nothing of that look to be found
        return
    axes.plot(mean.index, mean, label=label, marker="o" if len(mean) == 1 else None, **style)
    axes.fill_between(mean.index, low, high, color=style["color"], alpha=0.15, linewidth=0)


def depth_and_tau(study: Study, summary: pd.DataFrame, runs: pd.DataFrame, path: Path) -> None:
    """Test error against depth and against tau, one point a seed, the means of experiments that differ in nothing else joined.

    A diverged experiment is a cross at the top edge.
    """
    columns = summary.set_index("experiment")[["depth", "tau"]]
    found = [Axis(name, f"model.{name}", columns[name].to_dict()).known() for name in columns]
    shown = [axis for axis in found if axis.values] or found[:1]
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(1, len(shown), figsize=(11, 4.6), sharey=True, squeeze=False)
        for axes, axis in zip(panels[0], shown, strict=True):
            entries = draw_series(axes, axis, series(axis, study_settings(study)), summary, runs) if axis.values else []
            axes.set(xlabel=axis.name, title=f"error against {axis.name}")
            if entries:
                place = {"loc": "upper left", "bbox_to_anchor": (0, -0.14), "frameon": False, "fontsize": 9}
                axes.legend(*zip(*entries, strict=True), ncols=2 if max(len(text) for _, text in entries) < 34 else 1, **place)
        panels[0][0].set(ylabel="test error (%)")
        show_errors(panels[0][0])
        save(figure, path)


def draw_series(axes: Axes, axis: Axis, groups: Mapping[str, list[str]], summary: pd.DataFrame, runs: pd.DataFrame) -> list:
    """Seeds as points and the means joined within a group; gives the legend's entries (handle, label)."""
    rows, entries = summary.set_index("experiment", drop=False).to_dict("index"), []
    for number, (label, members) in enumerate(groups.items()):
        style = series_style(label, number, list(rows))
        members = sorted(members, key=axis.values.get)
        if len(finished := [member for member in members if rows[member]["n"]]) > 1:
            means = [rows[member]["mean"] * 100 for member in finished]
            axes.plot([axis.values[member] for member in finished], means, color=style["color"], linewidth=1)
        for member in members:
            draw_experiment(axes, axis.values[member], rows[member], runs[runs["experiment"] == member], **style)
        line = "-" if len(finished) > 1 else "none"
        entries.append((plt.Line2D([], [], linewidth=1, linestyle=line, **style), label))
    scale_x(axes, axis)
    if any(rows[name]["diverged"] for name in axis.values):
        entries.append((plt.Line2D([], [], marker="x", linestyle="none", color=mpl.rcParams["text.color"]), DIVERGED))
    return entries


def series_style(label: str, number: int, experiments: list[str]) -> dict:
    """Colour and marker of a group; one that is called as an experiment has its colour from the curves."""
    position = experiments.index(label) if label in experiments else number
    return {"color": COLOURS[position % len(COLOURS)], "marker": MARKERS[position // len(COLOURS) % len(MARKERS)]}


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
    converged = runs[runs["status"] != "diverged"]
    axes.plot([x] * len(converged), converged["test_error"] * 100, marker, color=color, alpha=0.6)
    if len(converged):
        axes.plot([x], [row["mean"] * 100], "_", color=color, markersize=16)
    if len(converged) < len(runs):
        axes.plot([x], [1], "x", color=color, markersize=9, clip_on=False, transform=axes.get_xaxis_transform())
