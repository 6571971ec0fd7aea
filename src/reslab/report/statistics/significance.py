"""Tests between two samples of errors, their intervals and effect sizes. All NaN where there is nothing to test."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.special import nctdtrinc

from reslab.report.statistics.equivalence import ALPHA, Spread
from reslab.report.statistics.intervals import NOTHING, Interval, difference_interval
from reslab.report.statistics.samples import is_constant

MOST_DIVERGENCE_SEEDS = 100


@dataclass(frozen=True)
class Comparison:
    """A first sample against a second: the difference of their means, its interval and p, and Hedges' g with its interval."""

    method: str  # "paired", "Welch", or "" where there is no test
    n: int  # pairs, or values in the smaller sample
    difference: float = math.nan
    interval: Interval = NOTHING
    p: float = math.nan
    effect: float = math.nan
    effect_interval: Interval = NOTHING
    error: float = math.nan  # standard error of the difference
    freedom: float = math.nan
    spread: Spread | None = None  # what is known of the spread of a seed
    correlation: float = math.nan  # of paired errors: what pairing rests on


def compare_pairs(first: Sequence[float], second: Sequence[float]) -> Comparison:
    """The paired t test on the differences of values that belong together (the same seed).

    The effect size is in units of the differences' standard deviation. Without spread among them there is no test, only the
    difference: that so few seeds have the same errors does not imply that the next one has.
    """
    differences = np.subtract(first, second, dtype=float)
    n = len(differences)
    if n < 2 or is_constant(differences):
        return Comparison("", n, float(differences.mean()) if n else math.nan)
    mean, spread = float(differences.mean()), float(differences.std(ddof=1))
    error = spread / math.sqrt(n)
    interval, p = student(mean, error, n - 1)
    effect = hedges(mean / spread, n - 1, scale=math.sqrt(n))
    r = math.nan if is_constant(first) or is_constant(second) else float(np.corrcoef(first, second)[0, 1])
    return Comparison("paired", n, mean, interval, p, *effect, error, n - 1, Spread(spread, n - 1, 1), r)


def compare_samples(first: Sequence[float], second: Sequence[float]) -> Comparison:
    """Welch's t test between independent samples; the effect size is in units of their pooled standard deviation."""
    sizes = np.array([len(first), len(second)])
    if not sizes.all():
        return Comparison("", 0)
    difference = float(np.mean(first) - np.mean(second))
    if sizes.min() < 2 or (is_constant(first) and is_constant(second)):
        return Comparison("", int(sizes.min()), difference)
    variances = np.array([np.var(first, ddof=1), np.var(second, ddof=1)])
    error, freedom = math.sqrt(np.sum(variances / sizes)), welch_freedom(variances, sizes)
    interval, p = student(difference, error, freedom)
    pooled = math.sqrt(np.sum((sizes - 1) * variances) / (sizes.sum() - 2))
    effect = hedges(difference / pooled, sizes.sum() - 2, scale=math.sqrt(sizes.prod() / sizes.sum()))
    spread = Spread(math.sqrt(variances.sum()), freedom, welch_freedom(variances, np.array([2, 2])))
    return Comparison("Welch", int(sizes.min()), difference, interval, p, *effect, error, freedom, spread)


def welch_freedom(variances: np.ndarray, sizes: np.ndarray) -> float:
    """Welch and Satterthwaite's degrees of freedom of a difference of two means."""
    shares = variances / sizes
    return float(shares.sum() ** 2 / np.sum(shares**2 / (sizes - 1)))


def student(difference: float, error: float, freedom: float) -> tuple[Interval, float]:
    """The 95 % interval of a difference with this standard error, within [-1, 1], and the two-sided p of its being zero."""
    return difference_interval(difference, error, freedom), float(2 * stats.t.sf(abs(difference) / error, freedom))


def hedges(d: float, freedom: float, *, scale: float) -> tuple[float, Interval]:
    """Hedges' g of a standardised difference d (Hedges 1981, exact correction), and the 95 % interval of the effect.

    `scale` times d is the t statistic; the interval is that of its noncentrality (Cumming and Finch 2001). With one degree of
    freedom there is no unbiased estimate: g is NaN.
    """
    low, high = noncentrality_interval(d * scale, freedom)
    if freedom <= 1:
        return math.nan, (low / scale, high / scale)
    correction = math.exp(math.lgamma(freedom / 2) - math.lgamma((freedom - 1) / 2)) / math.sqrt(freedom / 2)
    return d * correction, (low / scale, high / scale)


def noncentrality_interval(t: float, freedom: float) -> Interval:
    """The noncentralities that put an observed t at the upper and at the lower 2.5 % of its distribution."""
    low, high = (float(nctdtrinc(freedom, tail, abs(t))) for tail in (1 - ALPHA / 2, ALPHA / 2))
    return (low, high) if t >= 0 else (-high, -low)


def holm(p_values: Sequence[float], groups: Sequence[Hashable] | None = None) -> np.ndarray:
    """Holm's correction (1979): p values adjusted for the number of tests in the table; NaN is no test.

    Of the tests of one group at most one can have a true null hypothesis, such as "no difference" and "a difference beyond the
    margin": they count once (Shaffer 1986, S1). By default each test is its own group.
    """
    p = np.array(p_values, dtype=float)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    owners = list(range(len(p))) if groups is None else list(groups)
    left = [len({owners[test] for test in order[position:]}) for position in range(len(order))]
    adjusted = np.full(len(p), math.nan)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.array(left)))
    return adjusted


def divergence_p(first: tuple[int, int], second: tuple[int, int]) -> float:
    """Boschloo's exact two-sided p that two (failed, trained) counts come from one rate; NaN where nothing failed.

    Fisher's test holds the number of failures fixed, which no experiment does, and cannot tell 3 of 3 from 0 of 3; Boschloo's can.
    Source: Boschloo 1970, Statistica Neerlandica 24.
    """
    if first[0] + second[0] == 0 or not sum(first) or not sum(second):
        return math.nan
    if first[1] + second[1] == 0:
        return 1.0
    return min(float(stats.boschloo_exact([[first[0], second[0]], [first[1], second[1]]]).pvalue), 1.0)


def divergence_seeds(first: tuple[int, int], second: tuple[int, int], *, alpha: float = ALPHA) -> float:
    """The least number of seeds at which these rates of failure, should they stay as observed, would differ significantly.

    Infinite if they are equal or beyond MOST_DIVERGENCE_SEEDS, NaN where nothing failed.
    """
    if math.isnan(divergence_p(first, second)):
        return math.nan
    rates = first[0] / sum(first), second[0] / sum(second)
    for seeds in range(2, MOST_DIVERGENCE_SEEDS + 1) if rates[0] != rates[1] else ():
        counts = [(round(rate * seeds), seeds - round(rate * seeds)) for rate in rates]
        if divergence_p(*counts) < alpha:
            return seeds
    return math.inf


def mcnemar(first_wrong: np.ndarray, second_wrong: np.ndarray) -> tuple[int, int, float]:
    """Images that only the first got wrong, that only the second did, and McNemar's exact two-sided p (1.0 if none).

    bool (N,) each, over the same test images.
    """
    only_first = int(np.sum(first_wrong & ~second_wrong))
    only_second = int(np.sum(second_wrong & ~first_wrong))
    if only_first + only_second == 0:
        return 0, 0, 1.0
    return only_first, only_second, float(stats.binomtest(only_first, only_first + only_second).pvalue)
