"""Ours beside published errors: a published spread is used, a single published run is a soft reference."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from test_summary import PARAMS

from reslab import config
from reslab.config.report import Published
from reslab.report.statistics.median import median_factor
from reslab.report.statistics.published import against_published, difference_test
from reslab.report.statistics.samples import statistics
from reslab.report.tables.published import published_markdown

OURS = [0.0812, 0.0840, 0.0799, 0.0871, 0.0825]


def table(errors: list[float], *, diverged: int = 0, **published) -> pd.DataFrame:
    report = {"published": {"good": {"source": "He 2015", **published}}}
    study = config.parse(PARAMS | {"report": report})
    rows = [
        {"experiment": "good", "diverged": diverged, **statistics(errors)},
        {"experiment": "mixed", "diverged": 0, **statistics(OURS)},
    ]
    return against_published(study, pd.DataFrame(rows))


def test_a_published_spread_gives_welchs_interval():
    (row,) = table(OURS, error=8.75, std=0.16, runs=5).to_dict("records")
    theirs = 0.0875 + 0.0016 * stats.zscore(np.arange(5), ddof=1)
    expected = stats.ttest_ind(OURS, theirs, equal_var=False).confidence_interval()
    assert row["difference"] == pytest.approx(np.mean(OURS) - 0.0875)
    assert (row["ci_low"], row["ci_high"]) == (pytest.approx(expected.low, rel=1e-3), pytest.approx(expected.high, rel=1e-3))
    assert row["p"] == row["p_holm"] == pytest.approx(stats.ttest_ind(OURS, theirs, equal_var=False).pvalue)
    assert row["verdict"] == "differs: ours lower"


@pytest.mark.parametrize("published", [{"error": 8.4}, {"error": 8.4, "runs": 1}, {"error": 8.4, "std": 0.1}])
def test_a_single_run_is_a_draw_with_our_spread(published):
    (row,) = table(OURS, **published).to_dict("records")
    half = stats.t.ppf(0.975, 4) * np.std(OURS, ddof=1) * math.sqrt(1 / 5 + 1)
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((row["difference"] - half, row["difference"] + half), rel=1e-3)
    assert row["verdict"] == "undecided at n = 5: 1000 seeds would not settle it"


def test_the_interval_for_a_single_run_holds_zero_in_95_of_100_studies():
    generator = np.random.default_rng(0)
    held = []
    for ours, theirs in zip(generator.normal(0.08, 0.002, (3000, 3)), generator.normal(0.08, 0.002, 3000), strict=True):
        spread = {"n": 3, "mean": ours.mean(), "std": ours.std(ddof=1)}
        (low, high), p = difference_test(spread, Published(error=100 * theirs, source="a chart"))
        held.append(low < 0 < high)
        assert held[-1] == (p > 0.05)
    assert np.mean(held) == pytest.approx(0.95, abs=0.012)


@pytest.mark.parametrize(
    ("errors", "error", "verdict"),
    [
        ([], 8.0, "ours diverged"),
        ([0.08], 8.0, "n too small"),
        ([0.08, 0.08, 0.08], 8.0, "no spread among ours"),
        (OURS, 8.3, "undecided at n = 5: 1000 seeds would not settle it"),
        (OURS, 9.9, "differs: ours lower"),
        (OURS, 6.7, "differs: ours higher"),
    ],
)
def test_verdicts(errors, error, verdict):
    (row,) = table(errors, error=error).to_dict("records")
    assert row["verdict"] == verdict
    assert math.isnan(row["ci_low"]) == (len(set(errors)) < 2)


def test_page():
    rows = [
        line
        for found in (
            table(OURS, diverged=1, error=8.75, std=0.16, runs=5),
            table([], diverged=3, error=8.0),
            table([0.08], error=8, runs=1),
        )
        for line in published_markdown(found).splitlines()[2:3]
    ]
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows]
    assert cells[0][:4] == ["good", "n = 5, 1 diverged: 8.29 ± 0.28", "8.75 ± 0.16 (5 runs)", "-0.46"]
    assert cells[0][6:] == ["0.959", "0.16", "differs: ours lower; 1 of 6 diverged", "He 2015"]
    assert cells[1] == ["good", "diverged (3 of 3)", "8.00", "", "", "", "", "0.30", "ours diverged", "He 2015"]
    assert cells[2] == ["good", "n = 1: 8.00", "8.00 (1 run)", "+0.00", "", "", "", "0.30", "n too small", "He 2015"]


def test_in_a_table_of_many_chance_is_counted():
    """Ten rows of one population: one of them leaves its own interval in every third study, the corrected table seldom does."""
    generator, alone, corrected = np.random.default_rng(0), [], []
    names = [f"row{i}" for i in range(10)]
    for _ in range(100):
        ours, theirs = (generator.normal(8, 0.2, (10, 3)) for _ in range(2))
        published = {
            name: {"error": runs.mean(), "std": runs.std(ddof=1), "runs": 3, "source": "a table"}
            for name, runs in zip(names, theirs, strict=True)
        }
        study = config.parse(PARAMS | {"experiments": {name: {} for name in names}, "report": {"published": published}})
        rows = [{"experiment": name, "diverged": 0, **statistics(list(runs / 100))} for name, runs in zip(names, ours, strict=True)]
        found = against_published(study, pd.DataFrame(rows))
        alone.append((found["p"] < 0.05).any())
        corrected.append(found["verdict"].str.startswith(("differs", "reproduced")).any())
    assert np.mean(alone) > 0.2
    assert np.mean(corrected) < 0.1


def test_a_number_within_the_margin_is_reproduced():
    (row,) = table(OURS, error=8.3, std=0.3, runs=5).to_dict("records")
    assert row["margin"] == pytest.approx(0.003)  # one published standard deviation
    near = [0.0830, 0.0831, 0.0829, 0.0830, 0.0832]
    (row,) = table(near, error=8.3, std=0.02, runs=5).to_dict("records")
    assert row["verdict"].startswith("undecided at n = 5: ")
    study = config.parse(
        PARAMS | {"report": {"margin": 0.1, "published": {"good": {"error": 8.3, "std": 0.02, "runs": 5, "source": "He"}}}}
    )
    found = against_published(study, pd.DataFrame([{"experiment": "good", "diverged": 0, **statistics(near)}]))
    assert found.loc[0, "verdict"] == "reproduced within 0.1 points"
    one_sided = [
        stats.ttest_ind(near, 0.083 + 0.0002 * stats.zscore(np.arange(5), ddof=1) + shift, equal_var=False, alternative=side)
        for shift, side in ((-0.001, "greater"), (0.001, "less"))
    ]
    assert found.loc[0, "equivalence_p"] == pytest.approx(max(test.pvalue for test in one_sided))


@pytest.mark.parametrize(
    ("published", "verdict", "shown"),
    [
        ({"runs": 5, "statistic": "best_run"}, "no verdict: published is the best of its runs", "9.90 (best of 5 runs)"),
        ({"statistic": "best_epoch"}, "no verdict: published is the best epoch on the test set", "9.90 (best epoch)"),
        ({"runs": 3, "no_verdict": "5 epochs instead of 100"}, "no verdict: 5 epochs instead of 100", "9.90 (3 runs)"),
    ],
)
def test_best_numbers_and_other_recipes_get_no_verdict(published, verdict, shown):
    found = table(OURS, error=9.9, **published)
    assert found.loc[0, "verdict"] == verdict
    assert found[["p", "equivalence_p", "ci_low"]].isna().all(axis=None)
    assert shown in published_markdown(found)


def test_a_median_has_the_variance_of_a_median():
    mean, median = (table(OURS, error=8.4, runs=3, statistic=statistic).loc[0] for statistic in ("mean", "median"))
    assert median["ci_high"] - median["ci_low"] > mean["ci_high"] - mean["ci_low"]
    drawn = np.random.default_rng(0).normal(size=(200_000, 6))
    for runs in (1, 2, 3, 4, 5, 6):
        assert median_factor(runs) == pytest.approx(runs * np.median(drawn[:, :runs], axis=1).var(), rel=0.02)
    assert median_factor(3) == pytest.approx(3 * 0.4487, abs=2e-4)  # Sarhan and Greenberg 1962, table 10C.1
    assert median_factor(41) == pytest.approx(median_factor(39), rel=0.01)


def test_what_the_paper_states_stands_in_a_column_of_its_own():
    page = published_markdown(table(OURS, error=6.52, runs=3, paper=6.61, paper_std=0.16))
    assert "in paper %" in page.splitlines()[0] and "6.61 ± 0.16" in page
    assert "in paper %" not in published_markdown(table(OURS, error=6.52))
