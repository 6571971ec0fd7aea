"""The layer study's tables and plots, from rows whose growth is known."""

import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from reslab.report.figures.growth import plot_growth, plot_responses
from reslab.report.figures.style import STYLE, save
from reslab.report.statistics.growth import growth, has_depths, last_slope, series_names, slope
from reslab.report.tables.growth import growth_markdown

BLOCKS = (9, 27, 54)
INITIAL, TRAINED = "at initialisation", "after training"
LAWS = {  # tau as a rule -> tau, and the norm's growth in L
    "1": (lambda blocks: 1.0, lambda blocks: 1.4**blocks),
    "1/sqrt(L)": (lambda blocks: blocks**-0.5, lambda blocks: (1 + 1 / blocks) ** (blocks / 2)),
}


def about(rule: str, blocks: int, seed: int, moment: str) -> dict:
    row = {"experiment": f"{rule}-{blocks}", "series": f"tau: {rule}", "batch_norm": False, "depth": 6 * blocks // 3 + 2}
    return row | {"blocks": blocks, "tau": LAWS[rule][0](blocks), "seed": seed, "moment": moment}


def stream(rule: str, blocks: int, seed: int, moment: str) -> list[dict]:
    broken = moment == TRAINED and rule == "1"
    factor = math.nan if broken else LAWS[rule][1](blocks)
    norms = np.geomspace(2.0, 2.0 * factor, blocks + 1)
    key = about(rule, blocks, seed, moment)
    return [key | {"block": i, "stage": 1, "norm": norm, "gradient": 5 / norm} for i, norm in enumerate(norms)]


CASES = [(rule, blocks, seed, moment) for moment in (INITIAL, TRAINED) for rule in LAWS for blocks in BLOCKS for seed in (0, 1)]


@pytest.fixture
def table():
    rows = pd.DataFrame([row for case in CASES for row in stream(*case)])
    return growth(rows.sample(frac=1, random_state=0))  # in whatever order


@pytest.fixture
def responses():
    rows = [
        about(*case) | {"layer": layer, "response_std": math.nan if case[0] == "1" and case[3] == TRAINED else 1.1**layer}
        for case in CASES
        for layer in range(1, 2 * case[1] + 2)
    ]
    return pd.DataFrame(rows)


def test_growth_is_from_end_to_end(table):
    assert len(table) == len(CASES)
    initial = table[(table["moment"] == INITIAL) & (table["seed"] == 0)].set_index("experiment")
    assert initial["forward"]["1-54"] == pytest.approx(1.4**54)
    assert initial["backward"]["1-54"] == pytest.approx(1.4**54)  # a gradient that falls as the norm rises
    assert initial["forward"]["1/sqrt(L)-54"] == pytest.approx((1 + 1 / 54) ** 27)


def test_slopes():
    assert slope([9, 27, 54], [3 * blocks**0.5 for blocks in BLOCKS]) == pytest.approx((0.5, 0), abs=1e-7)
    assert all(map(math.isnan, slope([9, 9], [1.0, 2.0])))
    rows = pd.DataFrame({"blocks": [9, 27, 54], "forward": [1.4**blocks for blocks in BLOCKS]})
    assert last_slope(rows, "forward") == pytest.approx(27 * math.log(1.4) / math.log(2))


def test_the_table_says_what_grows_what_is_bounded_and_what_diverged(table):
    lines = growth_markdown(table).splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("| no")]
    assert lines[2].split("|")[1:-1][3].strip() == "L = 9"
    forward = {(row[1], row[2]): row[3:] for row in rows[: len(rows) // 2]}
    assert forward["tau: 1", INITIAL][:3] == [f"{1.4**blocks:.3g}" for blocks in BLOCKS]
    assert float(forward["tau: 1", INITIAL][4]) == pytest.approx(27 * math.log(1.4) / math.log(2), abs=0.01)
    assert abs(float(forward["tau: 1/sqrt(L)", INITIAL][4])) < 0.02
    assert forward["tau: 1", TRAINED] == ["diverged"] * 3 + ["", ""]


def test_a_depth_that_was_not_measured_is_empty_and_not_diverged(table):
    kept = table[(table["moment"] == INITIAL) | (table["blocks"] < 54)]
    (row,) = [line for line in growth_markdown(kept).splitlines() if "1/sqrt" in line and TRAINED in line][:1]
    assert [cell.strip() for cell in row.split("|")[4:7]] == ["1.61", "1.63", ""]


def sections(**model) -> dict:
    return {"model": {"name": "tau_resnet"} | model, "optimizer": {"name": "sgd", "lr": 0.1}}


def test_a_series_is_called_by_what_sets_it_apart_in_its_group():
    models = {
        "a": sections(depth=20, tau=1.0),
        "b": sections(depth=56, tau=1.0),
        "c": sections(depth=20, tau="1/L"),
        "d": sections(depth=20, norm="none", tau=1.0),
    }
    groups = {"a": True, "b": True, "c": True, "d": False}
    assert series_names(models, groups) == {"a": "tau: 1.0", "b": "tau: 1.0", "c": "tau: 1/L", "d": "tau_resnet"}
    other = models | {"c": sections(depth=20, tau=1.0) | {"optimizer": {"name": "sgd", "lr": 0.2}}}
    assert series_names(other, groups)["c"] == "optimizer.lr: 0.2"


def test_plots_are_the_same_for_the_same_numbers_and_show_divergence(table, responses, tmp_path):
    for name in ("a", "b"):
        plot_growth(table, tmp_path / f"{name}1.svg", against="blocks")
        plot_growth(table, tmp_path / f"{name}2.svg", against="scaled")
        plot_responses(responses, tmp_path / f"{name}3.svg", moment=TRAINED)
    for number in "123":
        assert (tmp_path / f"a{number}.svg").read_text() == (tmp_path / f"b{number}.svg").read_text()
    assert "tau = 1/sqrt(L)" in (tmp_path / "a1.svg").read_text()
    assert "all diverged" in (tmp_path / "a3.svg").read_text()


def test_what_is_beyond_the_axis_is_marked_at_its_edge(table, tmp_path):
    """1.4^54 = 8e7 of tau = 1 at L = 54 is; without that depth nothing is."""
    plot_growth(table, tmp_path / "all.svg", against="scaled")
    plot_growth(table[table["blocks"] < 54], tmp_path / "part.svg", against="scaled")
    assert "beyond 1e6" in (tmp_path / "all.svg").read_text()
    assert "beyond" not in (tmp_path / "part.svg").read_text()


def test_plots_of_a_network_without_depth_or_tau(table, responses, tmp_path):
    one = table[table["blocks"] == 9].assign(tau=math.nan, depth=math.nan)
    assert not has_depths(one)
    assert has_depths(table)
    plot_growth(one, tmp_path / "a.svg", against="blocks")
    plot_responses(responses[responses["blocks"] == 9].assign(depth=math.nan), tmp_path / "b.svg", moment=INITIAL)
    assert "depth" not in (tmp_path / "b.svg").read_text()


def test_numbers_of_a_logarithmic_axis_are_no_formulas(tmp_path):
    """Formulas are off, for names come from outside: powers of ten are text, and a title keeps its lines."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots()
        axes.plot([1, 10, 100], [1e-3, 1e3, 1e6])
        axes.set(xscale="log", yscale="log", title="norm,\nlast / first")
        save(figure, tmp_path / "axes.svg")
    drawn = (tmp_path / "axes.svg").read_text()
    assert "$" not in drawn and "mathdefault" not in drawn
    assert "10⁶" in drawn and ">norm,<" in drawn and ">last / first<" in drawn
