"""Experiments against each other: how they are paired, what is corrected, and the words for it."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from reslab.config.report import Pairs
from reslab.report.statistics.comparison import comparisons, image_by_image
from reslab.report.statistics.significance import holm
from reslab.report.tables.comparisons import comparisons_markdown

ERRORS = {
    "base": [0.080, 0.082, 0.081, 0.083],
    "better": [0.070, 0.073, 0.071, 0.072],
    "worse": [0.095, 0.097, 0.094, 0.099],
    "alike": [0.081, 0.081, 0.083, 0.083],
    "equal": [0.080, 0.082, 0.081, 0.083],
    "shifted": [0.090, 0.092, 0.091, 0.093],
    "fragile": [0.079, None, None, 0.084],
    "lone": [None, 0.07, None, None],
    "lost": [None, None, None, None],
}


@pytest.fixture
def runs():
    rows = [
        {
            "experiment": name,
            "seed": seed,
            "status": "diverged" if error is None else "finished",
            "test_error": 1.0 if error is None else error,
        }
        for name, errors in ERRORS.items()
        for seed, error in enumerate(errors)
    ]
    return pd.DataFrame(rows)


def against_base(runs, *names):
    return comparisons(runs, [(name, "base") for name in names]).set_index("experiment")


def paired_with_base(runs, name):
    return comparisons(runs, Pairs([(name, "base")], paired=True)).loc[0]


def test_experiments_are_compared_in_pairs_if_the_study_asks_for_it(runs):
    row, expected = paired_with_base(runs, "better"), stats.ttest_rel(ERRORS["better"], ERRORS["base"])
    assert row["correlation"] == pytest.approx(np.corrcoef(ERRORS["better"], ERRORS["base"])[0, 1])
    assert (row["method"], row["n"], row["verdict"]) == ("paired", 4, "better")
    assert row["difference"] == pytest.approx(-0.01)
    assert row["p"] == row["p_holm"] == pytest.approx(expected.pvalue)
    page = comparisons_markdown(comparisons(runs, Pairs([("better", "base")], paired=True)))
    assert f"paired, n = 4, r = {row['correlation']:+.2f}" in page


def test_pairs_go_by_seed_and_not_by_place(runs):
    shuffled = pd.concat([runs[runs["experiment"] == "base"], runs[runs["experiment"] == "better"].iloc[::-1]])
    assert paired_with_base(shuffled, "better")["p"] == paired_with_base(runs, "better")["p"]


@pytest.mark.parametrize("paired", [False, True])
def test_unless_asked_for_and_with_other_seeds_experiments_are_compared_by_welch(runs, paired):
    if paired:
        runs.loc[runs["experiment"] == "better", "seed"] += 10
    row = comparisons(runs, Pairs([("better", "base")], paired=paired)).loc[0]
    assert row["method"] == "Welch"
    assert row["p"] == pytest.approx(stats.ttest_ind(ERRORS["better"], ERRORS["base"], equal_var=False).pvalue)


def test_verdicts(runs):
    found = against_base(runs, "better", "worse", "alike", "equal", "shifted")["verdict"]
    assert found.to_dict() == {
        "better": "better",
        "worse": "worse",
        "alike": "undecided at n = 4: about 2 more seeds (1 to 19)",
        "equal": "the same within 0.3 points",
        "shifted": "worse",
    }
    assert paired_with_base(runs, "equal")["verdict"] == "the same error in each of 4 seeds"
    assert paired_with_base(runs, "shifted")["verdict"] == "no spread at n = 4: more seeds"


def test_one_seed_is_too_few_and_still_has_a_difference(runs):
    table = comparisons(runs[runs["seed"] == 0], [("better", "base")])
    assert table["verdict"].tolist() == ["one seed is too few"]
    assert table["difference"].tolist() == [pytest.approx(-0.01)]
    assert table["p"].isna().all() and table["seeds_needed"].isna().all()


def test_a_diverged_seed_is_in_no_mean_and_its_rate_is_compared(runs):
    table = against_base(runs, "fragile", "lone", "lost")
    assert table["n"].tolist() == [2, 1, 0]
    assert table["difference"]["fragile"] == pytest.approx(np.mean([-0.001, 0.001]))
    assert table["difference"]["lone"] == pytest.approx(0.07 - np.mean(ERRORS["base"]))
    assert math.isnan(table["difference"]["lost"])
    assert table["divergence_p"]["lost"] == pytest.approx(2 / 2**8)
    assert table["verdict"].tolist() == [
        "undecided at n = 2: about 20 more seeds (5 to over 1000); failed 2 of 4 against 0 of 4: undecided",
        "one seed is too few; failed 3 of 4 against 0 of 4: undecided",
        "failed 4 of 4 against 0 of 4: more often",
    ]
    assert comparisons(runs, [("lost", "lost")]).loc[0, "verdict"].startswith("failed 4 of 4 against 4 of 4")


@pytest.mark.parametrize(("pair", "words"), [(("lost", "base"), "0 of 4: more often"), (("base", "lost"), "4 of 4: less often")])
def test_alone_in_its_table_a_rate_of_divergence_can_be_told(runs, pair, words):
    row = comparisons(runs, [pair]).iloc[0]
    assert row["divergence_p_holm"] == pytest.approx(2 / 2**8)
    assert row["verdict"].endswith(words)


def test_all_tests_of_the_table_are_corrected_together(runs):
    table = against_base(runs, "better", "worse", "alike", "lost")
    expected = holm([*table["p"], *table["equivalence_p"], *table["divergence_p"]], [*range(4), *range(4), *range(4, 8)])
    assert [*table["p_holm"], *table["equivalence_p_holm"], *table["divergence_p_holm"]] == pytest.approx(
        expected.tolist(), nan_ok=True
    )
    assert table["p_holm"]["better"] > table["p"]["better"]
    assert against_base(runs, "alike")["seeds_needed"].iloc[0] < table["seeds_needed"]["alike"]


def test_networks_are_compared_image_by_image(runs):
    generator = np.random.default_rng(0)
    base = generator.random(500) < 0.1
    worse = base | (generator.random(500) < 0.2)
    wrong = {("base", 0): base, ("base", 1): base, ("alike", 0): base, ("alike", 1): ~base, ("alike", 3): base, ("lost", 0): worse}
    pairs = [("alike", "base"), ("lost", "base"), ("better", "base")]
    table = image_by_image(wrong, pairs)
    assert table[["experiment", "seed"]].to_numpy().tolist() == [["alike", 0], ["alike", 1], ["lost", 0]]
    assert table["only_second_wrong"].tolist() == [0, base.sum(), 0]
    assert table["p_holm"].tolist() == pytest.approx(holm(table["p"].tolist()).tolist())
    compared = comparisons(runs, pairs, table)
    assert compared["networks"].tolist() == pytest.approx([2, 1, math.nan], nan_ok=True)
    assert compared["networks_differing"].tolist() == pytest.approx([1, 1, math.nan], nan_ok=True)
    assert comparisons(runs, pairs, image_by_image({}, pairs)).columns.tolist() == comparisons(runs, pairs).columns.tolist()


def test_table(runs):
    pairs = [(name, "base") for name in ("better", "alike", "equal", "lost")]
    page = comparisons_markdown(
        comparisons(runs, pairs, image_by_image({(name, 0): np.ones(9, dtype=bool) for name in ERRORS}, pairs))
    )
    header, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("|")]
    cells = [dict(zip(header, row, strict=True)) for row in rows]
    assert cells[0]["difference, points"] == "-1.00"
    assert cells[0]["95 % interval"].startswith("[-1.") and cells[0]["95 % interval"].endswith("]")
    assert (cells[0]["test"], cells[0]["seeds to settle it"], cells[0]["networks that differ"]) == ("Welch, n = 4", "", "0 of 1")
    narrow = comparisons(runs, [("alike", "base")], margin=0.001)
    needed = [int(narrow.loc[0, key]) for key in ("seeds_needed", "seeds_needed_low", "seeds_needed_high")]
    assert "| {} ({} to {}) ".format(*needed) in comparisons_markdown(narrow)
    more = [seeds - 4 for seeds in needed]
    assert narrow.loc[0, "verdict"] == "undecided at n = 4: about {} more seeds ({} to {})".format(*more)
    assert (cells[2]["difference, points"], cells[2]["p (Holm)"], cells[2]["verdict"]) == (
        "+0.00",
        "1.000",
        "the same within 0.3 points",
    )
    assert (cells[3]["test"], cells[3]["failure p (Holm)"], cells[3]["seeds to settle it"]) == ("", "0.031", "")
    assert "the 4 test(s) here" in page
    assert "failure p" not in comparisons_markdown(comparisons(runs, pairs[:2]))
