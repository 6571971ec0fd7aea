"""The look of the report's figures: SVG that is the same for the same numbers."""

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogFormatterMathtext, NullFormatter, StrMethodFormatter

from reslab.errors import cut, plain
from reslab.storage import replacing, writes

mpl.use("agg")
COLUMN_WIDTH, PAGE_WIDTH = 3.25, 6.75  # inches of a paper of two columns: a figure's letters are as large as the text's
SMALL = 7  # points, of legends
STYLE = {
    "svg.hashsalt": "reslab",  # otherwise ids are random and every run changes the file
    "svg.fonttype": "none",
    "pdf.fonttype": 42,  # TrueType: publishers refuse matplotlib's own kind
    "text.parse_math": False,
    "font.size": 8,
    "axes.titlesize": 8,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "figure.constrained_layout.use": True,
}
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito: safe for colour-blind eyes
PLAIN = StrMethodFormatter("{x:.3g}")  # 0.333 and 100, not powers of ten
DASHES = ("-", "--", ":", "-.")
MARKERS = "os^v"
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
MOST_LINES = 4  # of a text
LINE = 3  # handle length of a legend, in letters: shorter, a dash and a dot look like a line
LINEAR = 1.0  # percent, below which a wide axis of errors is linear
WIDE_RANGE = 5  # largest by smallest value from which an axis is logarithmic


def power(x: float, _: int | None = None) -> str:
    """0.01, 100, 10⁶: a number of a logarithmic axis, without a formula."""
    if 1e-3 <= x < 1e5:
        return f"{x:.3g}" if x < 1000 else f"{x:,.0f}"
    digits, exponent = f"{x:.0e}".split("e")
    raised = f"10{str(int(exponent)).translate(RAISED)}"
    return raised if digits == "1" else f"{digits}·{raised}"


POWERS = FuncFormatter(power)


def make_plain(figure: Figure) -> None:
    """Keep the texts of a figure, some of which come from outside, to a few lines without formulas or control signs."""
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if isinstance(axis.get_major_formatter(), LogFormatterMathtext):
                axis.set_major_formatter(POWERS)
            if isinstance(axis.get_minor_formatter(), LogFormatterMathtext):
                axis.set_minor_formatter(NullFormatter())
    for text in figure.findobj(Text):
        text.set_text("\n".join(cut(plain(line)) for line in text.get_text().split("\n")[:MOST_LINES]))


@writes
def save(figure: Figure, path: Path) -> None:
    """Write a figure without a date, whole or not at all."""
    make_plain(figure)
    kind = path.suffix.removeprefix(".")
    with replacing(path) as draft:
        figure.savefig(draft, format=kind, metadata={"CreationDate" if kind == "pdf" else "Date": None})
    plt.close(figure)


def line_style(position: int) -> dict:
    """Colour and dash of the n-th line: all different up to 28, and neighbours differ in both, so that they do in grey."""
    return {"color": COLOURS[position % len(COLOURS)], "linestyle": DASHES[position % len(DASHES)]}


def marker_style(position: int) -> dict:
    """Colour and marker of the n-th group of points: all different up to 28, neighbours in both."""
    return {"color": COLOURS[position % len(COLOURS)], "marker": MARKERS[position % len(MARKERS)]}


def scale_errors(axes: Axes, errors: list[float]) -> None:
    """The axis of errors in percent: from 0 to 100 where they are far apart, else only as far as they go.

    The wide axis is linear below LINEAR, so that an error of zero has a place, and logarithmic above.
    """
    if errors and max(errors) < WIDE_RANGE * max(min(errors), 1.0):
        axes.set_ylim(bottom=max(axes.get_ylim()[0], 0))
        return
    axes.set_yscale("symlog", linthresh=LINEAR)
    axes.set_ylim(0, 100)
    axes.set_yticks([0, 1, 2, 5, 10, 20, 50, 100])
    axes.yaxis.set_major_formatter(PLAIN)


def error_label(axes: Axes) -> str:
    """What the axis of errors is, with its linear part where it has one."""
    return f"test error (%), linear below {LINEAR:g}" if axes.get_yscale() == "symlog" else "test error (%)"


def include(axes: Axes, x: list[float], y: list[float]) -> None:
    """Let the axes reach as far as these points, drawn or not: panels of one figure then have the same axes."""
    axes.update_datalim([(min(x), min(y)), (max(x), max(y))])
    axes.autoscale_view()
