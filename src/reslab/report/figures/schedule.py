"""The plot of a learning rate over a run."""

from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from reslab.report.figures.style import COLOURS, STYLE, save

MOST_POINTS = 5000


def plot_rates(rate: Callable[[int], float], path: Path, *, steps: int, steps_per_epoch: int, title: str) -> None:
    """Draw the learning rate over a run of `steps` steps."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(8, 4))
        axes.plot(*points(rate, steps, steps_per_epoch), drawstyle="steps-post", color=COLOURS[0])
        axes.set(title=title, xlabel="epoch", ylabel="learning rate", ylim=(0, None))
        save(figure, path)


def points(rate: Callable[[int], float], steps: int, steps_per_epoch: int) -> tuple[list[float], list[float]]:
    """Where each step begins, in epochs, and its rate, with the end of the last one; a long run shows 5000 of its steps."""
    shown = np.linspace(0, steps - 1, min(steps, MOST_POINTS)).round().astype(int).tolist()
    rates = [rate(step) for step in shown]
    return [step / steps_per_epoch for step in [*shown, steps]], [*rates, rates[-1]]
