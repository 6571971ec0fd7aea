"""Equal within a margin: against scipy's one-sided tests, Owen's formula by simulation, and what a range of seeds is good for."""

import math

import numpy as np
import pytest
from scipy import stats

from reslab.report.statistics.equivalence import Spread, equivalence_p, equivalence_power, seeds_to_settle
from reslab.report.statistics.significance import compare_samples

FIRST, SECOND = [0.081, 0.084, 0.080, 0.087, 0.082], [0.078, 0.083, 0.077, 0.081, 0.080]


def test_it_is_the_larger_of_two_one_sided_tests():
    found = compare_samples(FIRST, SECOND)
    sides = [
        stats.ttest_ind(FIRST, np.add(SECOND, shift), equal_var=False, alternative=side).pvalue
        for shift, side in ((-0.005, "greater"), (0.005, "less"))
    ]
    assert equivalence_p(found.difference, found.error, found.freedom, 0.005) == pytest.approx(max(sides))
    assert equivalence_p(found.difference, math.nan, math.nan, 0.005) != equivalence_p(0.0, 0.001, 4, 0.005)


@pytest.mark.parametrize("n", [3, 5, 10])
def test_a_difference_as_large_as_the_margin_is_called_the_same_in_at_most_one_of_twenty_studies(n):
    generator, margin = np.random.default_rng(n), 0.003
    same = 0
    for _ in range(1500):
        found = compare_samples(generator.normal(0.083, 0.001, n), generator.normal(0.08, 0.001, n))
        same += equivalence_p(found.difference, found.error, found.freedom, margin) < 0.05
    assert same / 1500 == pytest.approx(0.05, abs=0.018)


def test_with_so_many_seeds_equal_errors_are_found_equal_in_80_of_100_studies():
    std, margin = 0.002, 0.003
    seeds, low, high = seeds_to_settle(Spread(math.sqrt(2) * std, 4, 2), margin)
    assert low < seeds < high
    generator, found = np.random.default_rng(0), []
    for _ in range(1500):
        compared = compare_samples(generator.normal(0.08, std, seeds), generator.normal(0.08, std, seeds))
        found.append(equivalence_p(compared.difference, compared.error, compared.freedom, margin) < 0.05)
    assert np.mean(found) == pytest.approx(0.8, abs=0.05)


def test_the_range_of_seeds_holds_the_true_number_in_95_of_100_studies():
    generator, std, margin = np.random.default_rng(1), 0.002, 0.003
    true = seeds_to_settle(Spread(math.sqrt(2) * std, 1e9, 2), margin)[0]
    held = []
    for _ in range(300):
        pooled = math.sqrt(np.mean([generator.normal(0, std, 3).var(ddof=1) for _ in range(2)]))
        _, low, high = seeds_to_settle(Spread(math.sqrt(2) * pooled, 4, 2), margin)
        held.append(low <= true <= high)
    assert np.mean(held) == pytest.approx(0.95, abs=0.04)


def test_what_no_seed_of_ours_reduces_may_leave_it_undecided():
    assert seeds_to_settle(Spread(0.003, 2, 1, 1.0), 0.003)[0] == math.inf
    assert equivalence_power(1e9, 2, 0.05) == 1.0
    assert all(math.isnan(seeds) for seeds in seeds_to_settle(None, 0.003))
