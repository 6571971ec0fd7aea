"""Intervals of one sample: against scipy, textbook values, and how often they hold what they are to hold."""

import math

import numpy as np
import pytest
from scipy import stats

from reslab.report.statistics.intervals import difference_interval, error_interval
from reslab.report.statistics.samples import (
    bootstrap_interval,
    exact_bootstrap,
    is_constant,
    mean_interval,
    statistics,
    wilson_interval,
)


def test_statistics_agree_with_scipy():
    errors = [0.0812, 0.0840, 0.0799, 0.0871, 0.0825]
    found = statistics(errors)
    low, high = stats.t.interval(0.95, 4, loc=np.mean(errors), scale=stats.sem(errors))
    assert found["n"] == 5
    assert found["mean"] == pytest.approx(np.mean(errors))
    assert found["std"] == pytest.approx(np.std(errors, ddof=1))
    assert (found["median"], found["min"], found["max"]) == (0.0825, 0.0799, 0.0871)
    assert (found["ci_low"], found["ci_high"]) == (pytest.approx(low, rel=0.01), pytest.approx(high, rel=0.01))
    assert found["min"] <= found["bootstrap_low"] < found["mean"] < found["bootstrap_high"] <= found["max"]


def test_one_or_no_value_has_no_spread():
    one = statistics([0.05])
    assert (one["n"], one["mean"]) == (1, 0.05)
    assert all(math.isnan(one[key]) for key in ("std", "ci_low", "ci_high", "bootstrap_low", "bootstrap_high"))
    assert math.isnan(statistics([])["mean"])


def test_equal_values_have_intervals_of_no_width():
    assert mean_interval([0.1, 0.1, 0.1]) == pytest.approx((0.1, 0.1))
    assert bootstrap_interval([0.1, 0.1, 0.1]) == (0.1, 0.1)
    assert is_constant([0.3 - 0.2, 0.2 - 0.1]) and not is_constant([0.1, 0.1 + 1e-6])


def test_the_bootstrap_is_the_same_at_every_call_and_asks_for_no_symmetry():
    skewed = [0.01, 0.011, 0.012, 0.012, 0.013, 0.014, 0.05]
    assert bootstrap_interval(skewed) == bootstrap_interval(skewed)
    low, high = bootstrap_interval(skewed)
    assert high - np.mean(skewed) > 1.5 * (np.mean(skewed) - low)


def test_wilson_has_its_textbook_values():
    """Newcombe 1998, Statistics in Medicine 17, table I, method 3."""
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=1e-4)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson_interval(1, 29) == pytest.approx((0.0061, 0.1718), abs=1e-4)


@pytest.mark.parametrize("n", [2, 3, 5, 20])
def test_the_t_interval_holds_the_mean_in_95_of_100_samples(n):
    draws = np.random.default_rng(n).normal(0.05, 0.01, (4000, n))
    bounds = np.array([mean_interval(draw) for draw in draws])
    share = np.mean((bounds[:, 0] < 0.05) & (bounds[:, 1] > 0.05))
    assert share == pytest.approx(0.95, abs=0.012)


def test_the_bootstrap_holds_the_mean_nearly_as_often_where_there_are_many_values_and_not_where_they_are_three():
    generator = np.random.default_rng(0)
    shares = []
    for n in (3, 30):
        bounds = [bootstrap_interval(generator.exponential(1.0, n)) for _ in range(120)]
        shares.append(np.mean([low < 1.0 < high for low, high in bounds]))
    assert shares[0] < 0.8
    assert shares[1] > 0.87


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.5])
def test_wilson_holds_the_rate_in_about_95_of_100_test_sets(rate):
    counts = np.random.default_rng(1).binomial(500, rate, 2000)
    bounds = {count: wilson_interval(int(count), 500) for count in set(counts.tolist())}
    share = np.mean([bounds[count][0] < rate < bounds[count][1] for count in counts.tolist()])
    assert share == pytest.approx(0.95, abs=0.025)


def test_the_exact_bootstrap_is_what_scipys_tends_to():
    """Of three values there are 27 resamples; scipy draws some of them again and again."""
    for values in ([0.013, 0.022, 0.008], [0.01, 0.03, 0.02, 0.08, 0.015]):
        many = stats.bootstrap((np.array(values),), np.mean, n_resamples=400_000, method="BCa", rng=np.random.default_rng(1))
        low, high = exact_bootstrap(np.array(values))
        assert (low, high) == pytest.approx(tuple(many.confidence_interval), abs=0.02 * np.ptp(values))
        assert (low, high) == bootstrap_interval(values) == pytest.approx(bootstrap_interval(values[::-1]), abs=1e-12)


@pytest.mark.parametrize(
    ("values", "inside"), [([0.9, 0.0639, 0.1194], 0.36), ([0.0, 0.0, 0.01], 0.003), ([1.0, 0.99, 0.98], 0.99)]
)
def test_the_interval_of_an_error_stays_between_0_and_100_percent(values, inside):
    low, high = mean_interval(values)
    assert 0 < low < inside < high < 1


def test_the_interval_of_a_difference_stays_between_minus_and_plus_100_points():
    low, high = difference_interval(-0.43, 0.225, 2)  # Student's would be [-140, +54]
    assert -1 < low < -0.43 < high < 1
    assert difference_interval(0.01, 0.002, 4) == pytest.approx(stats.t.interval(0.95, 4, loc=0.01, scale=0.002), rel=1e-4)


def test_without_spread_and_without_errors_the_interval_is_the_value():
    assert error_interval(0.0, 0.0, 2) == (0.0, 0.0)
    assert mean_interval([0.0, 0.0, 0.0]) == (0.0, 0.0)
