"""The figures of a study's page: what they draw, their colours and legends."""

import math
import re

import numpy as np
import pandas as pd
import pytest
from browser import DARK
from test_html import ERRORS, findings

from reslab.report.axes import axes, series, study_settings
from reslab.report.figures.curves import labelled
from reslab.report.html import figures, page


def curves(histories: dict[str, pd.DataFrame], column: str) -> str:
    """The figure of a column, with all experiments in one panel."""
    return str(figures.curves(labelled(histories), labelled(histories), column, "n"))


def test_long_curves_are_thinned_to_what_can_be_seen():
    long = pd.DataFrame({"seed": 0, "epoch": np.arange(1, 6401), "train_loss": 1.0})
    kept = figures.thinned(long, 100)["epoch"].tolist()
    assert len(kept) == 100
    assert (kept[0], kept[-1]) == (1, 6400)
    assert figures.thinned(long.head(50), 100).equals(long.head(50))


def test_a_seed_that_diverged_between_two_epochs_that_are_shown_is_not_in_the_curve():
    """Thinned first, its one epoch without a loss would be lost, and with it that it diverged."""
    rows = [(seed, epoch) for seed in (0, 1) for epoch in range(1, (6401, 3201)[seed])]
    history = pd.DataFrame(rows, columns=["seed", "epoch"]).assign(train_loss=1.0, test_error=lambda rows: rows["seed"] / 4 + 0.1)
    gone = (history["seed"] == 1) & (history["epoch"] == 3200)
    assert 3200 not in figures.thinned(history, 1000)["epoch"].tolist()
    history.loc[gone, ["train_loss", "test_error"]] = math.nan, 1.0
    label = "net (1 of 2 diverged)"
    drawn = curves({"net": history}, "test_error")
    assert ">(1 of 2 diverged)<" in drawn
    assert drawn == curves({label: history[history["seed"] == 0]}, "test_error")


def test_figures_follow_the_pages_colours_and_keep_their_words(tmp_path):
    found = findings(tmp_path, ERRORS)
    drawn = curves(found.histories, "train_loss")
    assert "var(--ink)" in drawn
    assert "var(--c0)" in drawn
    assert not re.search("#0[1-7]0[2-8]0[3-9]", drawn)
    assert 'id="n-' in drawn
    opening = '<svg viewBox="0 0 1 1" role="img" aria-label="l" xmlns:xlink="http://www.w3.org/1999/xlink">'
    file = '<?xml?><svg viewBox="0 0 1 1" width="3"><text x="1.23456">0.136</text></svg>'
    assert figures.embedded(file, "n", "l") == f'{opening}<text x="1.2">0.136</text></svg>'


def test_a_study_of_many_experiments_has_its_curves_in_panels(tmp_path):
    """Each curve is in the panel of its depth, in axes that are the same in all of them, and once in all."""
    names = {f"d{depth}-{rate}": (depth, rate) for depth in (20, 32, 44) for rate in (1, 2, 3, 4)}
    experiments = {name: {"model": {"depth": depth}, "optimizer": {"lr": rate / 10}} for name, (depth, rate) in names.items()}
    found = findings(tmp_path, {name: [rate / 50] for name, (_, rate) in names.items()}, experiments=experiments)
    for name, (depth, _) in names.items():
        found.histories[name]["train_loss"] *= depth
    captioned = page.figures_of(found)["curves"]
    assert [caption.partition(":")[0] for caption, _ in captioned[:3]] == [
        f"Training loss by epoch (depth {depth})" for depth in (20, 32, 44)
    ]
    assert [re.findall(r">(d\d\d-\d)<", str(drawn)) for _, drawn in captioned[:3]] == [
        [name for name in names if name.startswith(f"d{depth}-")] for depth in (20, 32, 44)
    ]
    ticks = [re.findall(r'id="\w+-ytick_\d+".*?<text[^>]*>([^<]*)<', str(drawn), re.DOTALL) for _, drawn in captioned[:3]]
    assert ticks[0] == ticks[1] == ticks[2]


def test_an_experiment_keeps_its_colour_where_another_is_left_out(tmp_path):
    experiments = {"first": {"model": {"depth": 110}}, "second": {}, "third": {"model": {"depth": 56}}}
    found = findings(tmp_path, {"first": [None, None], "second": [0.01, 0.02], "third": [0.02, 0.03]}, experiments=experiments)
    cost = next(axis for axis in axes(found.study, found.summary, found.runs) if not axis.path)
    shown = series(cost, study_settings(found.study))
    drawn = str(figures.error_against(cost, shown, found.summary, found.runs, {}, "x"))
    assert set(re.findall("var\\(--c([0-9])\\)", drawn)) == {"1", "2"}


def test_dashes_of_a_legend_are_long_enough_to_be_told_apart(tmp_path):
    """A dash, a gap, a dot and a gap are 10.6 line widths: in matplotlib's own two letters they look like one line."""
    errors = {f"d{depth}": [0.01, 0.02] for depth in range(20, 20 + 6 * 24, 6)}
    found = findings(tmp_path, errors, experiments={name: {"model": {"depth": int(name[1:])}} for name in errors})
    drawn = curves(found.histories, "test_error")
    legend = drawn[drawn.index('id="n-legend_1"') :]
    ends = re.findall(r'<path d="M ([\d.]+) [\d.]+ \nL ([\d.]+) [\d.]+ \nL ([\d.]+) [\d.]+ \n"', legend)
    assert len(ends) == len(errors)
    assert min(float(last) - float(first) for first, _, last in ends) == pytest.approx(3 * 9, abs=0.2)


@pytest.mark.parametrize("end", ["nobn-tau", "without-batch-norm-tau"], ids=["labels", "legend"])  # 32 letters: not two in a row
def test_labels_and_legends_stay_within_their_figure(tmp_path, browser, end):
    names = {f"resnet{depth:04}-{end}": [0.01, 0.02] for depth in (20, 32, 44)}
    found = findings(tmp_path, names, experiments={name: {"model": {"depth": int(name[6:10])}} for name in names})
    page.write(found, tmp_path / "report.html")
    script = """
    const right = (one) => one.getBoundingClientRect().right;
    return Math.max(...[...page.querySelectorAll('svg')].flatMap((svg) =>
      [...svg.querySelectorAll('text')].map((text) => right(text) - right(svg))));
    """
    assert float(browser.framed(tmp_path / "report.html", script, width=1280)) <= 0


def test_the_comparisons_are_whole_on_a_desk_and_their_verdicts_in_sight_on_a_phone(tmp_path, browser):
    names = ("resnet110-nobn", "resnet110-nobn-tau")
    errors = {names[0]: [None, 0.3, 0.1], names[1]: [0.03, 0.04, 0.05]}
    experiments = {names[0]: {}, names[1]: {"model": {"tau": 0.1}}}
    page.write(findings(tmp_path, errors, experiments=experiments), tmp_path / "report.html")
    whole = "const box = page.querySelector('#comparisons').parentElement; return box.scrollWidth - box.clientWidth"
    assert float(browser.framed(tmp_path / "report.html", whole, width=1280)) <= 0
    sight = """
    const box = page.querySelector('#comparisons').parentElement, cell = page.querySelector('#comparisons td:nth-child(3)');
    return cell.getBoundingClientRect().right - box.getBoundingClientRect().right;
    """
    assert float(browser.framed(tmp_path / "report.html", sight, width=390)) <= 0


def test_no_mark_is_lost_in_the_dark(tmp_path, browser):
    depths = [20, 32, 44, 56, 110, 164, 200, 254]  # more than there are colours, black among them
    found = findings(
        tmp_path,
        {f"d{depth}": [0.01, 0.02] for depth in depths},
        experiments={f"d{depth}": {"model": {"depth": depth, "tau": 1 / depth}} for depth in depths},
    )
    page.write(found, tmp_path / "report.html")
    script = """
    const looks = [...page.querySelectorAll('svg use')].map((one) => page.defaultView.getComputedStyle(one).fill);
    return new Set(looks).size + ' ' + looks.filter((colour) => colour === 'rgb(0, 0, 0)').length;
    """
    kinds, black = map(int, browser.framed(tmp_path / "report.html", script, width=1280, mode=DARK).split())
    assert kinds > 7
    assert black == 0
