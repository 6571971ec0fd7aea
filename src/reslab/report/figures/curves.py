"""Training loss and test error by epoch."""

import math
from collections.abc import Mapping
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from reslab.report.axes import Panels
from reslab.report.figures.labels import End, label_ends
from reslab.report.figures.style import (
    LINE,
    PAGE_WIDTH,
    PLAIN,
    SMALL,
    STYLE,
    WIDE_RANGE,
    error_label,
    include,
    line_style,
    save,
    scale_errors,
)
from reslab.report.statistics.summary import converged, diverged_seeds

WIDTH, HANDLE = 120, 9  # of a figure, and of a line in its legend with the gaps about it: in letters
Curves = Mapping[str, pd.DataFrame]  # label -> history
TITLES = {"train_loss": "training loss", "test_error": "test error (%)"}
UNITS = {"train_loss": 1, "test_error": 100}


def plot_curves(histories: Mapping[str, pd.DataFrame], panels: Panels, path: Path) -> None:
    """Both by epoch, a row of axes for each panel: the mean over the seeds that did not diverge, a band from best to worst."""
    every = labelled(histories)
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(PAGE_WIDTH, 2.8 * len(panels)))
        parts = figure.subfigures(len(panels)) if len(panels) > 1 else [figure]
        for part, (title, names) in zip(parts, panels.items(), strict=True):
            _draw_row(part, title, labelled({name: histories[name] for name in names}), every)
        save(figure, path)


def _draw_row(figure: FigureBase, title: str, curves: Curves, every: Curves) -> None:
    axes = figure.subplots(1, 2)
    for place, column in zip(axes, TITLES, strict=True):
        draw_curves(place, curves, column, every)
        about = title_of(place, column)
        place.set_title(f"{about}, {title}" if title else about)
    if label_ends(axes[-1], ends(curves, column), size=SMALL):
        return
    look = {
        "loc": "outside lower center",
        "ncols": legend_columns(list(curves)),
        "frameon": False,
        "handlelength": LINE,
        "fontsize": SMALL,
    }
    figure.legend(*axes[-1].get_legend_handles_labels(), **look)


def ends(curves: Curves, column: str) -> list[End]:
    """Where the curves of a column end, for their labels; none if they are points of one epoch."""
    if is_single(curves):
        return []
    found = []
    for position, (label, history) in enumerate(curves.items()):
        means = history.groupby("epoch")[column].mean().dropna() * UNITS[column]
        drawn = has_curve(history) and len(means)
        found.append(End(label, line_style(position), (means.index[-1], means.iloc[-1]) if drawn else None))
    return found


def is_single(curves: Curves) -> bool:
    """Whether all curves are of one epoch."""
    return all(history["epoch"].nunique() == 1 for history in curves.values())


def has_curve(history: pd.DataFrame) -> bool:
    """Whether there is anything to draw: some loss is finite."""
    return bool(history["train_loss"].map(math.isfinite).any())


def title_of(axes: Axes, column: str) -> str:
    """What drawn axes show of a column, with its unit and what is unusual of their scale."""
    return error_label(axes) if column == "test_error" else TITLES[column]


def legend_columns(labels: list[str]) -> int:
    """The number of columns, 4 at most, in which a legend of these labels is no wider than its figure."""
    for columns in range(min(len(labels), 4), 1, -1):
        parts = np.array_split(np.array(labels), columns)
        if sum(max(map(len, part)) + HANDLE for part in parts) <= WIDTH:
            return columns
    return 1


def labelled(histories: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The histories without the seeds that diverged; their labels give the number of those."""
    return {curve_label(name, history): converged(history) for name, history in histories.items()}


def curve_label(name: str, history: pd.DataFrame) -> str:
    """An experiment's name, with the number of its seeds that diverged: those are not in its curve unless all did."""
    diverged, seeds = len(diverged_seeds(history)), history["seed"].nunique()
    if not diverged:
        return name
    return f"{name} (diverged)" if diverged == seeds else f"{name} ({diverged} of {seeds} diverged)"


def draw_curves(axes: Axes, curves: Curves, column: str, every: Curves) -> None:
    """Draw a column of histories by epoch; `every` are the curves of all panels, which set the axes' scale."""
    single = is_single(every)
    for position, (label, history) in enumerate(curves.items()):
        if not has_curve(history):
            axes.plot([], [], "x", label=label, color=line_style(position)["color"])  # a key alone: no line is drawn
        elif single:
            draw_point(axes, position, history[column] * UNITS[column], label)
        else:
            draw_band(axes, history, column, label, line_style(position))
    if single:
        axes.set(xlabel="after one epoch", xticks=[], xlim=(-0.5, len(curves) - 0.5))
    else:
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _scale(axes, column, every, shared=len(curves) < len(every))


def draw_band(axes: Axes, history: pd.DataFrame, column: str, label: str, style: dict) -> None:
    """Mean line and seed band of one column."""
    epochs = (history.set_index("epoch")[column] * UNITS[column]).groupby("epoch")
    mean, low, high = epochs.mean(), epochs.min(), epochs.max()
    axes.plot(mean.index, mean, label=label, marker="o" if len(mean) == 1 else None, **style)
    axes.fill_between(mean.index, low, high, color=style["color"], alpha=0.15, linewidth=0)


def draw_point(axes: Axes, position: int, values: pd.Series, label: str) -> None:
    """The mean over the seeds as a point and their range as a bar: a curve of one epoch, beside those of other experiments."""
    colour = line_style(position)["color"]
    axes.vlines(position, values.min(), values.max(), color=colour, alpha=0.4, linewidth=4)
    axes.plot([position], [values.mean()], "o", color=colour, label=label)


def _scale(axes: Axes, column: str, every: Curves, *, shared: bool) -> None:
    """The scale of the values' axis; `shared` with the panels that show the other curves."""
    history = pd.concat(every.values())
    history = history[history["train_loss"].map(math.isfinite)]
    values = (history[column] * UNITS[column]).tolist()
    if column == "train_loss":
        values = [value for value in values if value > 0]
        scale_losses(axes, values)
    if shared and values:
        include(axes, history["epoch"].tolist(), values)
    if column == "test_error":
        scale_errors(axes, values)


def scale_losses(axes: Axes, losses: list[float]) -> None:
    """A logarithmic axis with numbers on it, or a linear one where the losses are close to one another."""
    if losses and max(losses) >= WIDE_RANGE * min(losses):
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(NullFormatter())
        if math.floor(math.log10(max(losses))) <= math.ceil(math.log10(min(losses))):  # fewer than two powers of ten
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(PLAIN)
