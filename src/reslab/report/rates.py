"""The plot of a learning rate over a run."""

from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from reslab.report.plots import COLOURS, STYLE, save

MOST_POINTS = 5000


def plot_rates(rate: Callable[[int], float], path: Path, *, steps: int, steps_per_epoch: int, title: str) -> None:
    """Draw `rate` of each 0-based step, held until the next one, over epochs; a long run shows 5000 of its steps."""
    shown = np.unique(np.linspace(0, steps - 1, min(steps, MOST_POINTS)).round().astype(int))
    rates = [rate(int(step)) for step in shown]
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(8, 4))
        epochs = np.append(shown, steps) / steps_per_epoch
        axes.plot(epochs, [*rates, rates[-1]], drawstyle="steps-post", color=COLOURS[0])
        axes.set(title=title, xlabel="epoch", ylabel="learning rate", ylim=(0, None))
        save(figure, path)
