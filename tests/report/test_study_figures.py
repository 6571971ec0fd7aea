"""The figures of a study: the same for the same numbers, with divergence in sight, series joined by what alone differs."""

import math

import matplotlib.pyplot as plt
import pandas as pd
from test_summary import PARAMS, folder, record, study

from reslab import config
from reslab.report.axes import Axis, series, study_settings
from reslab.report.figures.curves import plot_curves
from reslab.report.figures.errors import draw_series, plot_depth_and_tau
from reslab.report.figures.style import error_label, scale_errors
from reslab.report.statistics.summary import runs_table, summarize
from reslab.runs.records import write_record

__all__ = ["folder", "study"]  # fixtures


def test_plots_of_one_epoch_of_no_error_and_of_tau_zero(study, folder, tmp_path):
    runs = runs_table(study, folder).assign(test_error=0.0)
    summary = summarize(study, runs).assign(tau=0.0)
    plot_depth_and_tau(study, summary, runs, tmp_path / "a.svg")
    one = pd.DataFrame({"seed": [0], "epoch": [1], "train_loss": [1.0], "test_error": [0.0]})
    plot_curves({"good": one}, {"": ["good"]}, tmp_path / "b.svg")
    assert "diverged" not in (tmp_path / "b.svg").read_text()


def test_plots_are_the_same_for_the_same_numbers(study, folder, tmp_path):
    runs = runs_table(study, folder)
    summary = summarize(study, runs)
    good = pd.DataFrame({"seed": [0, 0, 1, 1], "epoch": [1, 2, 1, 2]})
    good = good.assign(train_loss=[1, 0.5, 2, 0.7], test_error=[0.5, 0.1, 0.6, 0.2])
    bad = pd.DataFrame({"seed": [0], "epoch": [1], "train_loss": [math.nan], "test_error": [1.0]})
    contents = []
    for name in ("a", "b"):
        plot_curves({"good": good, "bad": bad}, {"": ["good", "bad"]}, tmp_path / f"{name}.svg")
        plot_depth_and_tau(study, summary, runs, tmp_path / f"{name}2.svg")
        contents.append((tmp_path / f"{name}.svg").read_text() + (tmp_path / f"{name}2.svg").read_text())
    assert contents[0] == contents[1]
    assert ">(diverged)<" in contents[0]
    assert "diverged (at the top edge)" in contents[0]


def test_experiments_that_differ_in_depth_alone_are_joined(study, tmp_path):
    """Two series, one finished at both depths, one diverged at the deeper."""
    names = {f"{tau}-{depth}": (tau, depth) for tau in ("plain", "own") for depth in (20, 110)}
    models = {"plain": {"tau": 1.0}, "own": {"tau": "1/sqrt(L)"}}
    experiments = {name: {"model": models[tau] | {"depth": depth}} for name, (tau, depth) in names.items()}
    study = config.parse(PARAMS | {"experiments": experiments, "report": {"title": "A test"}})
    for name, (_, depth) in names.items():
        error = None if name == "plain-110" else 0.05
        runs = [record(seed, error, depth) for seed in range(3)]
        write_record(tmp_path / f"{name}.json", {"experiment": name, "runs": runs})
    runs = runs_table(study, tmp_path)
    summary = summarize(study, runs)
    figure, axes = plt.subplots()
    depth = Axis("depth", "model.depth", summary.set_index("experiment")["depth"].to_dict())
    entries = draw_series(axes, depth, series(depth, study_settings(study)), summary, runs)
    plt.close(figure)
    assert [label for _, label in entries] == ["tau 1", "tau 1/sqrt(L)", "diverged (at the top edge)"]
    joined = [line.get_xdata() for line in axes.lines if line.get_linestyle() == "-" and len(line.get_xdata()) == 2]
    assert [list(depths) for depths in joined] == [[20.0, 110.0]]
    assert entries[0][0].get_linestyle() == "None" and entries[1][0].get_linestyle() == "-"


def drawn_at(axes: plt.Axes, marker: str) -> list[tuple[float, ...]]:
    """Where points are drawn, in pixels."""
    return [
        tuple(line.get_transform().transform(line.get_xydata()[0]))
        for line in axes.lines
        if line.get_marker() == marker and len(line.get_xydata()) == 1
    ]


def test_equal_points_lie_beside_one_another_and_the_axis_says_where_it_is_linear(tmp_path):
    """Three seeds of one error in each of two series at the same depth: six marks, which stay by their value."""
    study = config.parse(PARAMS | {"experiments": {"one": {}, "two": {"model": {"tau": 0.5}}}, "report": {"title": "A test"}})
    for name in study.experiments:
        write_record(tmp_path / f"{name}.json", {"experiment": name, "runs": [record(seed, 0.05, 20) for seed in study.seeds]})
    runs = runs_table(study, tmp_path)
    summary = summarize(study, runs)
    figure, axes = plt.subplots()
    depth = Axis("depth", "model.depth", summary.set_index("experiment")["depth"].to_dict())
    draw_series(axes, depth, series(depth, study_settings(study)), summary, runs)
    assert error_label(axes) == "test error (%)"
    scale_errors(axes, [])
    figure.canvas.draw()
    points = drawn_at(axes, "o") + drawn_at(axes, "s")
    assert len(points) == len(set(points)) == 2 * len(study.seeds)
    centre, pixels = axes.transData.transform((20, 5)), figure.dpi / 72
    assert all(abs(x - centre[0]) < 8 * pixels and abs(y - centre[1]) < 0.01 for x, y in points)
    assert {line.get_xdata()[0] for line in axes.lines} == {20}
    assert error_label(axes) == "test error (%), linear below 1"
    plt.close(figure)


def test_networks_without_a_depth_have_none_in_the_table_and_the_figure(tmp_path):
    """VGG says its layers, not its depth."""
    changes = {"model": {"name": "vgg"}, "experiments": {"one": {}, "two": {"train": {"epochs": 2}}}, "report": {}}
    study = config.parse(PARAMS | changes)
    for name in study.experiments:
        found = [record(seed, 0.1, 0) | {"config": {"model": {"name": "vgg"}}} for seed in study.seeds]
        for run in found:
            del run["tau"]
        write_record(tmp_path / f"{name}.json", {"experiment": name, "runs": found})
    runs = runs_table(study, tmp_path)
    summary = summarize(study, runs)
    assert summary["depth"].isna().all()
    plot_depth_and_tau(study, summary, runs, tmp_path / "figure.svg")
    assert (tmp_path / "figure.svg").exists()
