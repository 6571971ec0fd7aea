"""Axes of the curves: of one epoch, of values that are close to one another, and of legends that are wide."""

import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from reslab.report.figures.curves import draw_curves, legend_columns, plot_curves, scale_losses
from reslab.report.statistics.summary import epoch_means


def history(losses: list[float], error: float = 0.5) -> pd.DataFrame:
    """One seed with these losses, one an epoch."""
    return pd.DataFrame({"seed": 0, "epoch": range(1, len(losses) + 1), "train_loss": losses, "test_error": error})


@pytest.fixture
def axes():
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


def numbers(axes: plt.Axes) -> list[str]:
    """The numbers that can be seen on the axis of values."""
    axes.figure.canvas.draw()
    low, high = axes.get_ylim()
    shown = [*axes.yaxis.get_major_ticks(), *axes.yaxis.get_minor_ticks()]
    return [tick.label1.get_text() for tick in shown if tick.label1.get_text() and low <= tick.get_loc() <= high]


@pytest.mark.parametrize("losses", [[1.64, 1.55], [0.9, 0.12], [2.3, 0.3], [2.3, 0.004], [0.02, 0.019], [9.0, 1.1]])
def test_the_axis_of_losses_has_numbers_whatever_their_range(axes, losses):
    axes.plot([1, 2], losses)
    scale_losses(axes, losses)
    assert len(numbers(axes)) >= 2


def test_curves_of_one_epoch_stand_side_by_side(axes):
    losses = {"a": 1.5, "b": 1.6, "c": 1.55}
    curves = {name: pd.concat([history([loss]), history([loss + 0.02]).assign(seed=1)]) for name, loss in losses.items()}
    draw_curves(axes, curves, "train_loss", curves)
    points = [line.get_xydata().tolist()[0] for line in axes.lines]
    assert points == [[0, pytest.approx(1.51)], [1, pytest.approx(1.61)], [2, pytest.approx(1.56)]]
    ranges = [bar.get_segments()[0][:, 1].tolist() for bar in axes.collections]
    assert ranges == [pytest.approx([low, low + 0.02]) for low in losses.values()]
    assert (axes.get_xlabel(), list(axes.get_xticks())) == ("after one epoch", [])
    assert len(numbers(axes)) >= 2


def test_a_curve_of_more_epochs_keeps_the_axis_of_epochs(axes):
    curves = {"long": history([2.0, 0.1, 0.01]), "stopped": history([2.0])}
    draw_curves(axes, curves, "train_loss", curves)
    assert axes.get_xlabel() == "epoch"
    assert [len(line.get_xdata()) for line in axes.lines] == [3, 1]


def test_panels_of_a_figure_have_the_same_axes():
    curves = {"high": history([2.0, 1.0, 0.5, 0.4]), "low": history([0.2, 0.1])}
    limits = []
    for name, curve in curves.items():
        figure, axes = plt.subplots()
        draw_curves(axes, {name: curve}, "train_loss", curves)
        limits.append((*axes.get_xlim(), *axes.get_ylim()))
        plt.close(figure)
    assert limits[0] == pytest.approx(limits[1])
    assert limits[0][2] < 0.1
    assert limits[0][3] > 2


def test_each_panel_is_a_row_with_its_title(tmp_path):
    curves = {name: history([1.0, 0.1]) for name in "abc"}
    plot_curves(curves, {"depth 20": ["a", "b"], "depth 56": ["c"]}, tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text()
    assert all(f">{title}, {panel}<" in text for panel in ("depth 20", "depth 56") for title in ("training loss", "test error (%)"))


def test_a_legend_is_no_wider_than_its_figure():
    assert legend_columns(["short"]) == 1
    assert legend_columns(["resnet110-nobn-tau (diverged)"] * 6) == 3
    assert legend_columns(["short"] * 24) == 4
    assert legend_columns(["x" * 200] * 3) == 1
    widths = np.array([legend_columns(["x" * length] * 8) for length in range(1, 150)])
    assert (np.diff(widths) <= 0).all()


def late(diverged: dict[int, bool]) -> pd.DataFrame:
    """A history of eight epochs by seed; a seed that diverged did so at the fourth."""
    rows = [
        {"seed": seed, "epoch": epoch, "train_loss": math.nan if gone and epoch == 4 else 1 / epoch, "test_error": error}
        for seed, gone in diverged.items()
        for epoch in range(1, 5 if gone else 9)
        for error in [1.0 if gone and epoch == 4 else 0.1 / epoch]
    ]
    return pd.DataFrame(rows)


def test_a_curve_is_without_the_seeds_that_diverged_and_says_how_many(tmp_path):
    def drawn(name: str, history: pd.DataFrame) -> str:
        plot_curves({name: history}, {"": [name]}, tmp_path / "a.svg")
        return (tmp_path / "a.svg").read_text()

    mixed = late({0: False, 1: True, 2: False})
    kept = mixed[mixed["seed"] != 1]
    assert epoch_means(mixed).equals(epoch_means(kept))
    label = "net (1 of 3 diverged)"
    assert ">(1 of 3 diverged)<" in drawn("net", mixed)
    assert drawn("net", mixed) == drawn(label, kept)
    assert "diverged" not in drawn("net", kept)
    assert ">(diverged)<" in drawn("net", late({0: True, 1: True}))
