"""Plots for the report, as SVG that is the same for the same numbers."""

import math
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

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
    """Training loss and test error by epoch: the mean over seeds, with a band from the best to the worst seed."""
    with plt.rc_context(STYLE):
        figure, (loss, error) = plt.subplots(1, 2, figsize=(11, 4.2))
        for position, (name, history) in enumerate(histories.items()):
            draw_band(loss, history, "train_loss", 1, name, style_of(position))
            draw_band(error, history, "test_error", 100, name, style_of(position))
        loss.set(title="training loss", xlabel="epoch", yscale="log")
        error.set(title="test error (%)", xlabel="epoch")
        show_errors(error)
        loss.yaxis.set_major_formatter(PLAIN)
        for axes in (loss, error):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.legend(*error.get_legend_handles_labels(), loc="outside lower center", ncols=min(len(histories), 4), frameon=False)
        save(figure, path)


def draw_band(axes: Axes, history: pd.DataFrame, column: str, scale: float, name: str, style: dict) -> None:
    """Mean line and seed band of one column; an experiment that diverged at once leaves only its name and a cross."""
    epochs = (history.set_index("epoch")[column] * scale).groupby("epoch")
    mean, low, high = epochs.mean(), epochs.min(), epochs.max()
    if not history["train_loss"].map(math.isfinite).any():
        axes.plot([], [], marker="x", label=f"{name} (diverged)", color=style["color"], linestyle="none")
        return
    axes.plot(mean.index, mean, label=name, marker="o" if len(mean) == 1 else None, **style)
    axes.fill_between(mean.index, low, high, color=style["color"], alpha=0.15, linewidth=0)


def depth_and_tau(summary: pd.DataFrame, runs: pd.DataFrame, path: Path) -> None:
    """Test error against depth and against tau, one point a seed; a diverged experiment is a cross at the top edge."""
    with plt.rc_context(STYLE):
        figure, (by_depth, by_tau) = plt.subplots(1, 2, figsize=(11, 4.2), sharey=True)
        families = list(dict.fromkeys(family_of(row) for row in summary.to_dict("records")))
        for axes, column in ((by_depth, "depth"), (by_tau, "tau")):
            for row in summary.to_dict("records"):
                if row[column] is not None and not math.isnan(row[column]):
                    colour = COLOURS[families.index(family_of(row)) % len(COLOURS)]
                    draw_experiment(axes, row[column], row, runs[runs["experiment"] == row["experiment"]], colour)
            axes.set(xlabel=column)
        by_depth.set(ylabel="test error (%)", title="error against depth")
        show_errors(by_depth)
        by_depth.set_xticks(sorted(summary["depth"].dropna().unique()))
        taus = sorted(summary["tau"].dropna().unique())
        by_tau.set(title="error against tau", xscale="log" if taus and taus[0] > 0 else "linear")
        by_tau.set_xticks(taus)
        by_tau.xaxis.set_major_formatter(PLAIN)
        by_tau.xaxis.set_minor_formatter("")
        handles = [plt.Line2D([], [], marker="o", linestyle="none", color=COLOURS[i % len(COLOURS)]) for i in range(len(families))]
        handles.append(plt.Line2D([], [], marker="x", linestyle="none", color="#555555"))
        labels = [*families, "diverged (at the top edge)"]
        figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
        save(figure, path)


def family_of(row: dict) -> str:
    """What the colour stands for: the model, or with tau its normalisation and whether the branch is scaled."""
    if math.isnan(row["tau"]):
        return row["model"]
    norm = "batch norm" if row["norm"] == "batch" else "no norm"
    return f"{norm}, tau = 1" if row["tau"] == 1 else f"{norm}, tau not 1"


def draw_experiment(axes: Axes, x: float, row: dict, runs: pd.DataFrame, colour: str, marker: str = "o") -> None:
    """The seeds as points and their mean as a bar, or a cross for the diverged ones."""
    converged = runs[runs["status"] != "diverged"]
    axes.plot([x] * len(converged), converged["test_error"] * 100, marker, color=colour, alpha=0.6)
    if len(converged):
        axes.plot([x], [row["mean"] * 100], "_", color=colour, markersize=16)
    if len(converged) < len(runs):
        axes.plot([x], [1], "x", color=colour, markersize=9, clip_on=False, transform=axes.get_xaxis_transform())
