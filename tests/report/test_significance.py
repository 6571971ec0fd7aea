"""Tests between samples: against scipy, textbook tables and simulation; where nothing can be tested nothing is claimed."""

import math

import numpy as np
import pytest
from scipy import stats

from reslab.report.statistics.equivalence import seeds_to_settle
from reslab.report.statistics.significance import (
    compare_pairs,
    compare_samples,
    divergence_p,
    divergence_seeds,
    holm,
    mcnemar,
    noncentrality_interval,
)

FIRST, SECOND = [0.081, 0.084, 0.080, 0.087, 0.082], [0.078, 0.083, 0.077, 0.081, 0.080]


def test_pairs_agree_with_scipy():
    found, expected = compare_pairs(FIRST, SECOND), stats.ttest_rel(FIRST, SECOND)
    interval = expected.confidence_interval()
    assert (found.method, found.n) == ("paired", 5)
    assert found.difference == pytest.approx(np.mean(FIRST) - np.mean(SECOND))
    assert found.p == pytest.approx(expected.pvalue)
    assert found.interval == pytest.approx((interval.low, interval.high), rel=1e-3)


@pytest.mark.parametrize("second", [SECOND, [0.05, 0.09], [0.05, 0.05, 0.05]])
def test_samples_agree_with_scipys_welch(second):
    found, expected = (
        compare_samples(FIRST, second),
        stats.ttest_ind(FIRST, np.add(second, 1e-12 * np.arange(len(second))), equal_var=False),
    )
    interval = expected.confidence_interval()
    assert (found.method, found.n) == ("Welch", len(second))
    assert found.p == pytest.approx(expected.pvalue, rel=1e-5)
    assert found.interval == pytest.approx((interval.low, interval.high), rel=3e-2)


def test_swapping_the_sides_changes_signs_only():
    for compare in (compare_pairs, compare_samples):
        one, other = compare(FIRST, SECOND), compare(SECOND, FIRST)
        assert one.p == pytest.approx(other.p)
        assert one.effect == pytest.approx(-other.effect)
        assert one.effect_interval == pytest.approx((-other.effect_interval[1], -other.effect_interval[0]))


@pytest.mark.parametrize(
    ("first", "second", "n", "difference"),
    [
        ([], [], 0, math.nan),
        ([0.1], [0.2], 1, -0.1),
        ([0.1, 0.1, 0.1], [0.1, 0.1, 0.1], 3, 0.0),
        ([0.10, 0.10], [0.08, 0.08], 2, 0.02),
        ([0.1, 0.2, 0.3], [0.05, 0.15, 0.25], 3, 0.05),  # always 0.05 apart: no spread among the differences
    ],
)
def test_without_spread_there_is_a_difference_and_no_test(first, second, n, difference):
    found = compare_pairs(first, second)
    assert (found.method, found.n, found.spread) == ("", n, None)
    assert found.difference == pytest.approx(difference, nan_ok=True)
    assert math.isnan(found.p) and math.isnan(found.effect) and math.isnan(found.interval[0])
    assert all(math.isnan(seeds) for seeds in seeds_to_settle(found.spread, 0.003))


def test_samples_of_one_of_none_and_of_equal_values_are_not_tested():
    for first, second, n in (([0.1], FIRST, 1), ([], FIRST, 0), ([0.1, 0.1], [0.2, 0.2, 0.2], 2)):
        found = compare_samples(first, second)
        assert (found.method, found.n) == ("", n)
        assert math.isnan(found.p)


def test_hedges_g_has_its_textbook_value():
    """Borenstein et al. 2009, Introduction to Meta-Analysis, chapter 4: d = 0.5970, J = 0.9923, g = 0.5924 at n = 50 each."""
    base = stats.zscore(np.arange(50), ddof=1)
    found = compare_samples(103 + 5.5 * base, 100 + 4.5 * base)
    assert found.effect == pytest.approx(0.5924, abs=2e-4)
    assert found.effect_interval == pytest.approx((0.195, 0.995), abs=0.01)


def test_the_noncentralities_put_t_at_the_tails():
    for t, freedom in ((0.0, 2), (1.3, 2), (5.0, 4), (-2.0, 30), (12.0, 2)):
        low, high = noncentrality_interval(t, freedom)
        assert stats.nct.cdf(t, freedom, low) == pytest.approx(0.975, abs=1e-4)
        assert stats.nct.cdf(t, freedom, high) == pytest.approx(0.025, abs=1e-4)
    low, high = noncentrality_interval(1e5, 2)  # a spread next to nothing
    assert 0 < low < 1e5 < high < math.inf


def test_two_pairs_have_no_unbiased_effect_size():
    found = compare_pairs([0.1, 0.2], [0.05, 0.1])
    assert math.isnan(found.effect)
    assert found.effect_interval[0] < 0.1 < found.effect_interval[1]


@pytest.mark.parametrize("compare", [compare_pairs, compare_samples])
def test_where_there_is_no_difference_one_in_twenty_is_found_and_95_intervals_hold_zero(compare):
    generator = np.random.default_rng(2)
    results = [compare(generator.normal(0.3, 0.01, 5), generator.normal(0.3, 0.01, 5)) for _ in range(3000)]
    assert np.mean([found.p < 0.05 for found in results]) == pytest.approx(0.05, abs=0.012)
    assert np.mean([found.interval[0] < 0 < found.interval[1] for found in results]) == pytest.approx(0.95, abs=0.012)


def test_the_interval_of_the_effect_size_holds_the_effect():
    generator = np.random.default_rng(3)
    bounds = [compare_samples(generator.normal(0.7, 1, 8), generator.normal(0, 1, 8)).effect_interval for _ in range(1500)]
    assert np.mean([low < 0.7 < high for low, high in bounds]) == pytest.approx(0.95, abs=0.017)


def test_holm_has_its_textbook_values():
    """Holm 1979's rule on four p; the same as R's p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")."""
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, math.nan, 0.9]).tolist() == pytest.approx([1.0, math.nan, 1.0], nan_ok=True)
    assert holm([math.nan]).tolist() == pytest.approx([math.nan], nan_ok=True)
    assert holm([]).tolist() == []


def test_holm_keeps_the_chance_of_any_false_finding_below_one_in_twenty():
    p = np.random.default_rng(4).uniform(size=(3000, 8))
    assert np.mean([holm(row).min() < 0.05 for row in p]) == pytest.approx(0.05, abs=0.012)


@pytest.mark.parametrize("counts", [((3, 0), (0, 3)), ((2, 1), (0, 3)), ((5, 0), (2, 3)), ((1, 4), (4, 2))])
def test_boschloo_agrees_with_its_definition(counts):
    """Twice the largest chance, over all common rates, of a table whose one-sided Fisher p is as small as the observed one's."""
    (a, b), (c, d) = counts
    first, second = a + b, c + d

    def one_sided(less: bool) -> float:
        def fisher(x, y):
            table = [[x, first - x], [y, second - y]]
            return stats.fisher_exact(table, alternative="less" if less else "greater").pvalue

        observed = fisher(a, c) * (1 + 1e-9)
        kept = [(x, y) for x in range(first + 1) for y in range(second + 1) if fisher(x, y) <= observed]
        rates = np.linspace(0.001, 0.999, 999)
        return sum(stats.binom.pmf(x, first, rates) * stats.binom.pmf(y, second, rates) for x, y in kept).max()

    assert divergence_p(*counts) == pytest.approx(min(1, 2 * min(one_sided(True), one_sided(False))), rel=1e-3)


def test_divergence():
    assert divergence_p((3, 0), (0, 3)) == pytest.approx(1 / 32)  # Fisher's 0.1 could never show it
    assert math.isnan(divergence_p((0, 3), (0, 3)))
    assert divergence_p((3, 0), (3, 0)) == 1.0
    assert divergence_seeds((3, 0), (0, 3)) == 3
    assert divergence_seeds((3, 0), (0, 3), alpha=0.0125) == 4
    assert divergence_seeds((1, 2), (1, 2)) == math.inf
    assert math.isnan(divergence_seeds((0, 3), (0, 3)))


@pytest.mark.parametrize("n", [3, 5])
def test_equal_rates_of_divergence_are_told_apart_in_at_most_one_of_twenty_studies(n):
    """Exactly: the chance of every table, summed over those that are significant."""
    told = [(a, b) for a in range(n + 1) for b in range(n + 1) if divergence_p((a, n - a), (b, n - b)) < 0.05]
    assert told
    for rate in (0.2, 0.5, 0.8):
        chance = stats.binom.pmf(np.arange(n + 1), n, rate)
        assert sum(chance[a] * chance[b] for a, b in told) <= 0.05


def test_holm_counts_tests_of_which_one_can_be_true_once():
    assert holm([0.01, 0.02, 0.9, 0.8], ["a", "b", "a", "b"]).tolist() == pytest.approx([0.02, 0.04, 1.0, 1.0])
    assert holm([0.01, 0.02, math.nan, 0.8], [0, 1, 0, 1]).tolist()[:2] == pytest.approx([0.02, 0.02])


def test_mcnemar():
    """Only the images on which one of the two is right count: 1 against 9 has p = 2 * 11 / 1024."""
    first, second = np.zeros(100, dtype=bool), np.zeros(100, dtype=bool)
    first[:1] = first[50:] = True
    second[1:10] = second[50:] = True
    assert mcnemar(first, second) == (1, 9, pytest.approx(22 / 1024))
    assert mcnemar(second, first) == (9, 1, pytest.approx(22 / 1024))
    assert mcnemar(first, first) == (0, 0, 1.0)
