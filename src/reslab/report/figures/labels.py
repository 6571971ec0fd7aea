"""Labels beside the ends of curves, in the place of a legend, where there is room for them."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import ConnectionPatch
from matplotlib.text import Text
from matplotlib.textpath import text_to_path
from matplotlib.transforms import Affine2D, ScaledTranslation, Transform, blended_transform_factory
from scipy.optimize import isotonic_regression

LEAD, KEY, GAP = 9, 18, 3  # points right of the axes: the line to a label, a piece of its curve, and the space before its text
LINE_HEIGHT = 1.2  # of a text, in its size
WIDEST = 0.3  # of the figure, that the texts may take
Point = tuple[float, float]


class End(NamedTuple):
    """A curve's label, how it is drawn, and its last point in data (None: no curve, its label stands at the top)."""

    label: str
    style: dict
    last: Point | None


def label_ends(axes: Axes, ends: Sequence[End], *, size: float) -> bool:
    """Draw the labels right of the axes, each at the height of its curve's end as far as they do not touch; a mark of the curve
    before each makes them a key for other axes, too. Draws nothing and returns False where they do not fit.

    The limits of the axes must be final.
    """
    texts = [Text(text=in_lines(end.label), fontsize=size) for end in ends]
    heights = [size * LINE_HEIGHT * (text.get_text().count("\n") + 1) for text in texts]
    figure = axes.get_figure(root=True)
    figure.draw_without_rendering()  # makes the layout, which says how high the axes are
    height = axes.bbox.height * 72 / figure.dpi
    if not ends or sum(heights) > height or max(map(_width, texts)) > WIDEST * axes.figure.bbox.width * 72 / figure.dpi:
        return False
    anchors = [height if end.last is None else _share(axes, end.last) * height for end in ends]
    across = Affine2D().scale(1 / 72) + figure.dpi_scale_trans + ScaledTranslation(1, 0, axes.transAxes)
    beside = blended_transform_factory(across, axes.transAxes)
    for end, place, text in zip(ends, spread(anchors, heights, top=height), texts, strict=True):
        _draw(axes, end, place / height, text, beside)
    return True


def in_lines(label: str) -> str:
    """A label with what stands in brackets on a line of its own."""
    return label.replace(" (", "\n(")


def spread(wanted: Sequence[float], heights: Sequence[float], *, top: float) -> list[float]:
    """Centres of labels from 0 to `top`, in the order wanted and as near to it as they can be (least squares) without touching."""
    order = np.argsort(wanted, kind="stable")
    high = np.asarray(heights)[order]
    below = np.cumsum(high) - high / 2  # the centres, were the labels stacked from 0
    found = isotonic_regression(np.asarray(wanted)[order] - below).x
    places = np.empty(len(order))
    places[order] = np.clip(found, 0, top - high.sum()) + below
    return places.tolist()


def _width(text: Text) -> float:
    """The width of a text that is not drawn yet, in points."""
    font = text.get_fontproperties()
    return max(text_to_path.get_text_width_height_descent(line, font, ismath=False)[0] for line in text.get_text().split("\n"))


def _share(axes: Axes, point: Point) -> float:
    """How far up the axes a point is, from 0 to 1."""
    up = axes.transAxes.inverted().transform(axes.transData.transform(point))[1]
    return float(min(max(up, 0), 1)) if math.isfinite(up) else 1.0


def _draw(axes: Axes, end: End, place: float, text: Text, beside: Transform) -> None:
    """A label with its mark at a height (0 to 1 of the axes), and a thin line to it from the end of its curve."""
    colour = end.style["color"]
    outside = {"transform": beside, "clip_on": False}
    if end.last is not None:
        where = {"xyA": end.last, "coordsA": axes.transData, "xyB": (LEAD, place), "coordsB": beside}
        axes.add_artist(ConnectionPatch(**where, color=colour, linewidth=0.5, clip_on=False, in_layout=False))
        axes.add_artist(Line2D([LEAD, LEAD + KEY], [place, place], **end.style, **outside))
    else:
        axes.add_artist(Line2D([LEAD + KEY / 2], [place], color=colour, marker="x", linestyle="none", **outside))
    look = {"fontsize": text.get_fontsize(), "va": "center", "linespacing": LINE_HEIGHT}
    axes.text(LEAD + KEY + GAP, place, text.get_text(), **look, **outside)
