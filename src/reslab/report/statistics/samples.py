"""Statistics of one sample of errors: mean, spread and intervals of the mean, over seeds or over test images."""

import math
from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy import stats

CONFIDENCE = 0.95
RESAMPLES = 9999
SAME = 1e-9  # errors are fractions of at most some million images: what differs by less is the same number

Interval = tuple[float, float]
NOTHING = (math.nan, math.nan)


def statistics(errors: Iterable[float]) -> dict[str, float]:
    """Number, mean, sample standard deviation, median, extremes, and 95 % intervals of the mean by t and by bootstrap.

    With one value there is no spread, with none there is nothing: those statistics are NaN.
    """
    values = pd.Series(list(errors), dtype=float)
    low, high = t_interval(values)
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


def t_interval(values: Iterable[float]) -> Interval:
    """Student's 95 % interval of the mean: right for normal values, whatever their number; NaN for fewer than two."""
    values = pd.Series(list(values), dtype=float)
    if len(values) < 2:
        return NOTHING
    half = stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    return values.mean() - half, values.mean() + half


def bootstrap_interval(values: Iterable[float]) -> Interval:
    """The 95 % BCa bootstrap interval of the mean (Efron 1987), the same at every call; NaN for fewer than two values.

    It assumes no distribution, and never leaves the range of the values: with few of them it is too narrow.
    """
    values = np.array(list(values), dtype=float)
    if len(values) < 2:
        return NOTHING
    if is_constant(values):
        return float(values[0]), float(values[0])
    found = stats.bootstrap(
        (values,), np.mean, confidence_level=CONFIDENCE, n_resamples=RESAMPLES, method="BCa", rng=np.random.default_rng(0)
    ).confidence_interval
    return float(found.low), float(found.high)


def wilson_interval(wrong: int, images: int) -> Interval:
    """The 95 % interval of a network's error over the draw of the test images (Wilson 1927)."""
    found = stats.binomtest(wrong, images).proportion_ci(CONFIDENCE, method="wilson")
    return float(found.low), float(found.high)


def is_constant(values: Iterable[float]) -> bool:
    """Whether all values are the same but for rounding: then their spread does not tell what another seed would give."""
    return bool(np.ptp(np.array(list(values), dtype=float)) < SAME)
