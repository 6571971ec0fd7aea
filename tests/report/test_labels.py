"""Labels beside the ends of curves: they touch neither one another nor the axes; where they do not fit there are none."""

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes
from scipy.optimize import minimize

from reslab.report.figures.labels import End, label_ends, spread
from reslab.report.figures.style import STYLE, line_style

HEIGHTS = [8.0, 16.0, 8.0, 8.0]


@pytest.mark.parametrize("wanted", [[10, 12, 14, 90], [90, 10, 50, 30], [0, 0, 0, 0], [100, 99, 100, 98]], ids=str)
def test_labels_lie_as_near_to_their_places_as_they_can(wanted):
    """Against a general optimizer, under the same bounds."""
    places = np.array(spread(wanted, HEIGHTS, top=100))
    order, half = np.argsort(wanted, kind="stable"), np.array(HEIGHTS) / 2
    gaps = [
        {"type": "ineq", "fun": lambda x, low=low, high=high: x[high] - x[low] - half[low] - half[high]}
        for low, high in pairwise(order)
    ]
    assert all(gap["fun"](places) > -1e-9 for gap in gaps)
    assert (places >= half - 1e-9).all() and (places <= 100 - half + 1e-9).all()
    start, bounds = np.linspace(10, 90, 4)[np.argsort(order)], [(each, 100 - each) for each in half]
    best = minimize(lambda x: ((x - wanted) ** 2).sum(), start, bounds=bounds, constraints=gaps)
    assert ((places - wanted) ** 2).sum() == pytest.approx(best.fun, abs=1e-3)


def test_labels_that_have_room_stay_where_they_are():
    assert spread([20, 90, 60], [8, 8, 8], top=100) == pytest.approx([20, 90, 60])


@pytest.fixture
def axes():
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(6, 3))
        yield axes
        plt.close(figure)


def labelled(axes: Axes, ends: dict[str, float | None]) -> bool:
    """Curves that end at these values after ten epochs (None: no curve), with their labels."""
    for error in filter(None, ends.values()):
        axes.plot([1, 10], [100, error])
    shown = [End(label, line_style(n), None if error is None else (10, error)) for n, (label, error) in enumerate(ends.items())]
    return label_ends(axes, shown, size=7)


def test_labels_touch_neither_one_another_nor_the_axes_nor_the_edge(axes):
    """Eight labels, most of whose curves end at the same value, two without a curve."""
    axes.set_yscale("log")
    errors = {
        "a": 1.0,
        "b": 1.0,
        "c": 1.0,
        "d": 1.01,
        "e (1 of 3 diverged)": 50,
        "f": 1.0,
        "g (diverged)": None,
        "h (diverged)": None,
    }
    assert labelled(axes, errors)
    axes.figure.draw_without_rendering()
    boxes = sorted((text.get_window_extent() for text in axes.texts), key=lambda box: box.y0)
    assert len(boxes) == len(errors)
    assert all(low.y1 <= high.y0 + 1 for low, high in pairwise(boxes))
    assert all(box.x0 > axes.bbox.x1 and box.x1 <= axes.figure.bbox.x1 for box in boxes)
    assert boxes[0].y0 > axes.bbox.y0 - 3 and boxes[-1].y1 < axes.bbox.y1 + 3


def test_labels_are_in_the_order_of_the_ends_and_each_has_the_look_of_its_curve(axes):
    assert labelled(axes, {"low": 3.0, "high": 60.0, "middle": 20.0})
    heights = {text.get_text(): text.get_position()[1] for text in axes.texts}
    assert sorted(heights, key=heights.get) == ["low", "middle", "high"]
    marks = [line for line in axes.lines if len(set(line.get_ydata())) == 1]
    assert [(line.get_color(), line.get_linestyle()) for line in marks] == [tuple(line_style(n).values()) for n in range(3)]


@pytest.mark.parametrize("names", [["x" * 60], [f"n{number}" for number in range(40)], []], ids=["wide", "many", "none"])
def test_labels_that_do_not_fit_are_not_drawn(axes, names):
    assert not labelled(axes, dict.fromkeys(names, 5.0))
    assert not axes.texts
