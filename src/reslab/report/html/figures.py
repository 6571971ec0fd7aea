"""Figures of the page: matplotlib's SVG with the page's own colours, so that it follows light and dark."""

import io
import math
import re
from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reslab.config import Published
from reslab.errors import plain
from reslab.report.axes import Axis, Series
from reslab.report.figures.curves import TITLES, Curves, draw_curves, ends, title_of
from reslab.report.figures.errors import draw_series
from reslab.report.figures.labels import label_ends
from reslab.report.figures.reliability import draw_reliability
from reslab.report.figures.style import COLOURS, LINE, STYLE, error_label, make_plain, marker_style, scale_errors

INK, GRID, PAPER = "#010203", "#040506", "#070809"  # placeholders for the page's colours; nothing else is drawn in them
VARIABLES = {INK: "--ink", GRID: "--line", PAPER: "--paper"} | {colour: f"--c{i}" for i, colour in enumerate(COLOURS)}
PAGE_STYLE = STYLE | {
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
    "grid.color": GRID,
    "font.size": 10,  # larger than in a paper: a phone makes it smaller
    "lines.linewidth": 1.5,
    "lines.markersize": 6,
    "grid.alpha": 1.0,
    "path.simplify_threshold": 0.5,
}
SIZE = (5.2, 3.4)  # inches: at a phone's width letters stay readable
LABEL, LEGEND_ROW = 9, 0.2  # points of a label's letters, inches of a legend's row
MOST_POINTS = 1000  # of all curves of a figure together: more cannot be seen


def svg(draw: Callable[[Axes], list], name: str, *, label: str) -> Markup:
    """A figure as an SVG element whose ids begin with `name`; `draw` draws into the axes and returns the legend's entries."""
    with plt.rc_context(PAGE_STYLE):
        figure, axes = plt.subplots(figsize=SIZE)
        entries = draw(axes)
        columns = 2 if max((len(text) for _, text in entries), default=0) < 30 else 1
        figure.set_size_inches(SIZE[0], SIZE[1] + LEGEND_ROW * math.ceil(len(entries) / columns))
        if entries:
            place = {"loc": "outside lower left", "ncols": columns, "frameon": False, "fontsize": LABEL, "handlelength": LINE}
            figure.legend(*zip(*entries, strict=True), **place)
        return Markup(embedded(_text(figure), name, label))


def _text(figure: Figure) -> str:
    buffer = io.StringIO()
    make_plain(figure)
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    plt.close(figure)
    return buffer.getvalue()


def embedded(text: str, name: str, label: str) -> str:
    """An SVG file as part of a page: ids of its own, no fixed size or font, colours by variable, one decimal."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub("<defs>\\s*<style.*?</style>\\s*</defs>", "", text, flags=re.DOTALL)  # the page has it
    text = re.sub(r'\b(id="|xlink:href="#|url\(#)', rf"\1{name}-", text)
    text = re.sub("<[^>]*>", lambda tag: _tag(tag[0]), text)
    view = re.search(r'viewBox="[^"]*"', text)[0]
    opening = f'<svg {view} role="img" aria-label="{escape(plain(label))}" xmlns:xlink="http://www.w3.org/1999/xlink">'
    return re.sub(r"\n\s*", "\n", opening + text[text.index(">") + 1 :]).strip()


def _tag(tag: str) -> str:
    """A tag with shorter coordinates and variable colours; text between tags stays as it is."""
    tag = re.sub('font-family: [^;"]*;? ?', "", tag)
    tag = re.sub(r"(?<![\w#-])-?\d+\.\d{2,}", lambda number: f"{float(number[0]):.1f}".rstrip("0").rstrip("."), tag)
    return re.sub("#[0-9a-f]{6}", lambda colour: _variable(colour[0]), tag, flags=re.IGNORECASE)


def _variable(colour: str) -> str:
    known = {name.lower(): variable for name, variable in VARIABLES.items()}
    return f"var({known[colour.lower()]})" if colour.lower() in known else colour


def curves(shown: Curves, every: Curves, column: str, name: str) -> Markup:
    """A column of histories by epoch: mean and seed band of the `shown` curves, in axes that fit `every` curve of the study."""
    most = max(MOST_POINTS // len(every), 20)

    def draw(axes: Axes) -> list:
        draw_curves(axes, {label: thinned(history, most) for label, history in shown.items()}, column, every)
        axes.set_ylabel(title_of(axes, column))
        return [] if label_ends(axes, ends(shown, column), size=LABEL) else legend_of(axes)

    return svg(draw, name, label=f"{TITLES[column]} by epoch")


def legend_of(axes: Axes) -> list:
    """(handle, label) of all that was drawn with a label."""
    return list(zip(*axes.get_legend_handles_labels(), strict=True))


def thinned(history: pd.DataFrame, most: int) -> pd.DataFrame:
    """At most `most` epochs of a history, with the first and the last."""
    epochs = history["epoch"].unique()
    if len(epochs) <= most:
        return history
    return history[history["epoch"].isin(epochs[np.linspace(0, len(epochs) - 1, most).round().astype(int)])]


def error_against(
    axis: Axis, found: list[Series], summary: pd.DataFrame, runs: pd.DataFrame, published: dict[str, Published], name: str
) -> Markup:
    """Test error against a quantity: seeds, their means joined within a group, published points."""

    def draw(axes: Axes) -> list:
        entries = draw_series(axes, axis, found, summary, runs)
        for one in found:
            colour = marker_style(one.position)["color"]
            for member in (member for members in one.groups for member in members if member in published):
                draw_published(axes, published_at(axis, axis.values[member], published[member]), published[member], colour)
        if published.keys() & axis.values.keys():
            entries.append((plt.Line2D([], [], marker="D", linestyle="none", color=INK, markerfacecolor=PAPER), "published"))
        scale_errors(axes, all_errors(summary, published))
        axes.set(xlabel=axis.name, ylabel=error_label(axes))
        return entries

    return svg(draw, name, label=f"test error against {axis.name}")


def published_at(axis: Axis, x: float, published: Published) -> float | None:
    """The place of a published error: at its own minutes on the axis of seconds (None without them), else at ours."""
    if axis.path or not axis.name.startswith("seconds"):
        return x
    return None if published.minutes is None else published.minutes * 60


def draw_published(axes: Axes, x: float | None, published: Published, colour: str) -> None:
    """A hollow diamond, with a bar of one standard deviation where that is published."""
    if x is not None:
        style = {"fmt": "D", "color": colour, "markerfacecolor": PAPER, "markersize": 7, "zorder": 3}
        axes.errorbar([x], [published.error], yerr=published.std, **style)


def all_errors(summary: pd.DataFrame, published: dict[str, Published]) -> list[float]:
    """The lowest and highest errors of the study in percent, and the published ones."""
    extremes = [100 * error for error in (*summary["min"].dropna(), *summary["max"].dropna())]
    return extremes + [row.error for row in published.values()]


def reliability(tables: dict[str, pd.DataFrame], order: list[str], name: str) -> Markup:
    """Accuracy against confidence, one line an experiment; `order` gives the colours."""

    def draw(axes: Axes) -> list:
        draw_reliability(axes, tables, order)
        return legend_of(axes)

    return svg(draw, name, label="accuracy of answers against their confidence")
