"""Confidence intervals that stay within the range of what they are of: computed on the logit scale and brought back."""

import math

from scipy import stats
from scipy.special import expit, logit

CONFIDENCE = 0.95

Interval = tuple[float, float]
NOTHING = (math.nan, math.nan)


def error_interval(mean: float, error: float, freedom: float, *, confidence: float = CONFIDENCE) -> Interval:
    """The interval of an error with this standard error: Student's t on the logit scale, never outside [0, 1].

    The standard error is carried over by the delta method, error / (mean (1 - mean)), so for errors far from 0 and 1 the interval
    is Student's own. A mean of exactly 0 or 1 has no logit: the interval is Student's, cut at 0 and 1.
    """
    half = stats.t.ppf((1 + confidence) / 2, freedom) * error
    if error == 0 or not 0 < mean < 1:
        return max(mean - half, 0.0), min(mean + half, 1.0)
    centre, half = logit(mean), half / (mean * (1 - mean))
    return float(expit(centre - half)), float(expit(centre + half))


def difference_interval(difference: float, error: float, freedom: float, *, confidence: float = CONFIDENCE) -> Interval:
    """The interval of a difference of two errors, never outside [-1, 1]: as of an error, of which -1 to 1 is the range."""
    low, high = error_interval((difference + 1) / 2, error / 2, freedom, confidence=confidence)
    return 2 * low - 1, 2 * high - 1
