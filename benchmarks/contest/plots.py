"""Two plots: how near each loop comes to the machine's ceilings, and how our cost grows."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, ScalarFormatter

STYLE = {"svg.hashsalt": "reslab", "svg.fonttype": "none", "axes.spines.top": False, "axes.spines.right": False}
GIGA = 1e9


def roofline(results: dict, path: Path) -> None:
    """FLOP/s against FLOPs for each byte (fused traffic), one panel a precision, under the measured ceilings."""
    cases = results.get("cases", {})
    groups: dict[str, list[tuple[str, dict]]] = {}
    for name, case in cases.items():
        groups.setdefault(case["sections"]["train"].get("precision", "float32"), []).append((name, case))
    if not groups:
        return
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(1, len(groups), figsize=(1.5 + 5.5 * len(groups), 4.6), squeeze=False, layout="constrained")
        for panel, (precision, members) in zip(panels[0], groups.items(), strict=True):
            _roof(panel, precision, members)
        _save(figure, path)


def _roof(panel: plt.Axes, precision: str, members: list[tuple[str, dict]]) -> None:
    limits = {key: max(case["ceilings"][key] for _, case in members) for key in ("flops", "bytes")}
    ridge = limits["flops"] / limits["bytes"]
    intensities = [case["needs"]["flops"] / case["needs"]["bytes"] for _, case in members]
    span = np.geomspace(min(*intensities, ridge) / 4, max(*intensities, ridge) * 4, 100)
    panel.plot(span, np.minimum(limits["flops"], span * limits["bytes"]) / GIGA, color="black", linewidth=1.2)
    panel.annotate(
        f"matrix product {limits['flops'] / GIGA:,.0f} GFLOP/s", (span[-1], limits["flops"] / GIGA), ha="right", va="bottom"
    )
    panel.annotate(f"copy {limits['bytes'] / GIGA:,.1f} GB/s", (span[8], span[8] * limits["bytes"] / GIGA), ha="left", va="top")
    loops = list(dict.fromkeys(name for _, case in members for name in case["summary"]))
    colours = dict(zip(loops, plt.get_cmap("tab10").colors, strict=False))
    markers = dict(zip([name for name, _ in members], "osD^v<>P", strict=False))
    for (case_name, case), x in zip(members, intensities, strict=True):
        for loop, row in case["summary"].items():
            label = loop if case_name == members[0][0] else None
            panel.plot(
                x, row["reached"]["flops"] / GIGA, markers[case_name], color=colours[loop], label=label, markersize=6, alpha=0.85
            )
        panel.axvline(x, color="lightgrey", linewidth=0.8, zorder=0)
        panel.annotate(case_name, (x, panel.get_ylim()[0]), rotation=90, ha="right", va="bottom", color="grey", fontsize=8)
    panel.set(
        xscale="log",
        yscale="log",
        title=precision,
        xlabel="FLOP for each byte of fused traffic",
        ylabel="GFLOP/s (CPU: by CPU second)",
    )
    panel.legend(frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1, 0.02))
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(ScalarFormatter())
        axis.set_minor_formatter(NullFormatter())


def scaling(results: dict, path: Path) -> None:
    """Microseconds of wall clock for each image against what is varied, with the range over rounds."""
    sweeps = results.get("sweeps", {})
    if not sweeps:
        return
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(1, len(sweeps), figsize=(0.5 + 2.9 * len(sweeps), 3), squeeze=False, layout="constrained")
        for panel, (name, points) in zip(panels[0], sweeps.items(), strict=True):
            done = {float(point): row for point, row in points.items() if "images_per_second" in row}
            middle = np.array([1e6 / row["images_per_second"] for row in done.values()])
            low = middle - np.array([1e6 / row["fastest"] for row in done.values()])
            high = np.array([1e6 / row["slowest"] for row in done.values()]) - middle
            panel.errorbar(list(done), middle, yerr=[low, high], marker="o", markersize=4, capsize=2)
            panel.set(xscale="log", yscale="log", xlabel=name)
            panel.set_xticks(list(done), [f"{point:g}" for point in done])
            panel.minorticks_off()
            panel.yaxis.set_major_locator(MaxNLocator(5))
            panel.yaxis.set_major_formatter(ScalarFormatter())
        panels[0][0].set_ylabel("µs an image")
        _save(figure, path)


def _save(figure: plt.Figure, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
