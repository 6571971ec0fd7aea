"""Tests between samples: against scipy, textbook tables and simulation; where nothing can be tested nothing is claimed."""

import math

import numpy as np
import pytest
from scipy import stats

from reslab.report.statistics.significance import (
    compare_pairs,
    compare_samples,
    divergence_p,
    divergence_seeds,
    holm,
    mcnemar,
    noncentrality_interval,
    seeds_needed,
)

FIRST, SECOND = [0.081, 0.084, 0.080, 0.087, 0.082], [0.078, 0.083, 0.077, 0.081, 0.080]


def test_pairs_agree_with_scipy():
    found, expected = compare_pairs(FIRST, SECOND), stats.ttest_rel(FIRST, SECOND)
    interval = expected.confidence_interval()
    assert (found.method, found.n) == ("paired", 5)
    assert found.difference == pytest.approx(np.mean(FIRST) - np.mean(SECOND))
    assert found.p == pytest.approx(expected.pvalue)
    assert found.interval == pytest.approx((interval.low, interval.high))


@pytest.mark.parametrize("second", [SECOND, [0.05, 0.09], [0.05, 0.05, 0.05]])
def test_samples_agree_with_scipys_welch(second):
    found, expected = (
        compare_samples(FIRST, second),
        stats.ttest_ind(FIRST, np.add(second, 1e-12 * np.arange(len(second))), equal_var=False),
    )
    interval = expected.confidence_interval()
    assert (found.method, found.n) == ("Welch", len(second))
    assert found.p == pytest.approx(expected.pvalue, rel=1e-5)
    assert found.interval == pytest.approx((interval.low, interval.high), rel=1e-5)


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
    assert (found.method, found.n, found.power) == ("", n, None)
    assert found.difference == pytest.approx(difference, nan_ok=True)
    assert math.isnan(found.p) and math.isnan(found.effect) and math.isnan(found.interval[0])
    assert math.isnan(seeds_needed(found.power))


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


def test_the_seeds_needed_are_those_of_the_tables():
    """Cohen 1988, tables 2.4.1: d = 0.5 and 0.8 at power 0.8, two-sided 0.05, take 64 and 26 in each of two groups."""
    for d, n in ((0.5, 64), (0.8, 26)):
        base = stats.zscore(np.arange(10), ddof=1)
        assert seeds_needed(compare_samples(base + d, base).power) == n
    differences = stats.zscore(np.arange(10), ddof=1) + 0.5
    assert seeds_needed(compare_pairs(differences, np.zeros(10)).power) == 34  # G*Power 3.1, one sample or pairs
    assert seeds_needed(compare_pairs(differences, np.zeros(10)).power, alpha=0.01) > 34


def test_next_to_no_difference_takes_more_seeds_than_anyone_has():
    assert seeds_needed(compare_pairs([0.1, 0.2, 0.3001], [0.2, 0.3, 0.1]).power) == math.inf


def test_a_simulation_at_the_seeds_needed_finds_the_difference_in_80_of_100_studies():
    generator = np.random.default_rng(0)
    shape = stats.zscore(np.arange(6), ddof=1)
    n = seeds_needed(compare_samples(shape + 1.0, 2 * shape).power)
    found = [compare_samples(generator.normal(1, 1, n), generator.normal(0, 2, n)).p < 0.05 for _ in range(2000)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize("compare", [compare_pairs, compare_samples])
def test_where_there_is_no_difference_one_in_twenty_is_found_and_95_intervals_hold_zero(compare):
    generator = np.random.default_rng(2)
    results = [compare(generator.normal(0, 1, 5), generator.normal(0, 1, 5)) for _ in range(3000)]
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


def test_divergence():
    """Fisher 1935: three of four cups against one of four has p = 0.486."""
    assert divergence_p((3, 1), (1, 3)) == pytest.approx(34 / 70)
    assert divergence_p((3, 0), (0, 3)) == pytest.approx(0.1)
    assert math.isnan(divergence_p((0, 3), (0, 3)))
    assert divergence_p((3, 0), (3, 0)) == 1.0
    assert divergence_seeds((3, 0), (0, 3)) == 4
    assert divergence_seeds((3, 0), (0, 3), alpha=0.0125) == 5
    assert divergence_seeds((1, 2), (1, 2)) == math.inf
    assert math.isnan(divergence_seeds((0, 3), (0, 3)))


def test_mcnemar():
    """Only the images on which one of the two is right count: 1 against 9 has p = 2 * 11 / 1024."""
    first, second = np.zeros(100, dtype=bool), np.zeros(100, dtype=bool)
    first[:1] = first[50:] = True
    second[1:10] = second[50:] = True
    assert mcnemar(first, second) == (1, 9, pytest.approx(22 / 1024))
    assert mcnemar(second, first) == (9, 1, pytest.approx(22 / 1024))
    assert mcnemar(first, first) == (0, 0, 1.0)
