"""Statistics of one sample of errors: mean, spread and intervals of the mean, over seeds or over test images."""

import itertools
import math
from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import ndtr, ndtri

from reslab.report.statistics.intervals import CONFIDENCE, NOTHING, Interval, error_interval

RESAMPLES = 9999
ENUMERATED = 5  # values of which all n^n resamples are taken
SAME = 1e-9  # errors are fractions of at most some million images: what differs by less is the same number


def statistics(errors: Iterable[float]) -> dict[str, float]:
    """Number, mean, sample standard deviation, median, extremes, and 95 % intervals of the mean by t (logit) and by bootstrap.

    With one value there is no spread, with none there is nothing: those statistics are NaN.
    """
    values = pd.Series(list(errors), dtype=float)
    low, high = mean_interval(values)
    bootstrap_low, bootstrap_high = bootstrap_interval(values)
    return {
        "n": len(values),
        "mean": values.mean(),
        "std": values.std(ddof=1),
        "median": values.median(),
        "min": values.min(),
        "max": values.max(),
        "ci_low": low,
        "ci_high": high,
        "bootstrap_low": bootstrap_low,
        "bootstrap_high": bootstrap_high,
    }


def mean_interval(values: Iterable[float]) -> Interval:
    """The 95 % interval of a mean error over seeds, on the logit scale; NaN for fewer than two values."""
    values = np.array(list(values), dtype=float)
    if len(values) < 2:
        return NOTHING
    return error_interval(float(values.mean()), float(values.std(ddof=1)) / math.sqrt(len(values)), len(values) - 1)


def bootstrap_interval(values: Iterable[float]) -> Interval:
    """The 95 % BCa bootstrap interval of the mean (Efron 1987), the same at every call; NaN for fewer than two values.

    Of up to five values it is exact: all n^n resamples. It assumes no distribution, and never leaves the range of the values: with
    few of them it is too narrow.
    """
    values = np.array(list(values), dtype=float)
    if len(values) < 2:
        return NOTHING
    if is_constant(values):
        return float(values[0]), float(values[0])
    if len(values) <= ENUMERATED:
        return exact_bootstrap(values)
    found = stats.bootstrap(
        (values,), np.mean, confidence_level=CONFIDENCE, n_resamples=RESAMPLES, method="BCa", rng=np.random.default_rng(0)
    ).confidence_interval
    return float(found.low), float(found.high)


def exact_bootstrap(values: np.ndarray) -> Interval:
    """The BCa interval of the mean over all n^n resamples of (n,) values: what scipy's tends to with more and more resamples."""
    means = np.array(list(itertools.product(values, repeat=len(values)))).mean(axis=1)
    mean, slack = values.mean(), SAME * max(abs(values).max(), 1e-3)  # equal sums in another order differ by rounding
    bias = ndtri((np.mean(means < mean - slack) + np.mean(means <= mean + slack)) / 2)
    left_out = (values.sum() - values) / (len(values) - 1)
    lean = left_out.mean() - left_out
    acceleration = np.sum(lean**3) / (6 * np.sum(lean**2) ** 1.5)
    z = bias + ndtri(np.array([(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]))
    low, high = np.quantile(means, ndtr(bias + z / (1 - acceleration * z)), method="inverted_cdf")
    return float(low), float(high)


def wilson_interval(wrong: int, images: int) -> Interval:
    """The 95 % interval of a network's error over the draw of the test images (Wilson 1927)."""
    found = stats.binomtest(wrong, images).proportion_ci(CONFIDENCE, method="wilson")
    return float(found.low), float(found.high)


def is_constant(values: Iterable[float]) -> bool:
    """Whether all values are the same but for rounding: then their spread does not tell what another seed would give."""
    return bool(np.ptp(np.array(list(values), dtype=float)) < SAME)
