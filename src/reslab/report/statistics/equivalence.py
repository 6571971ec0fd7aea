"""Whether two errors are the same within a margin, and how many seeds would settle it."""

import bisect
import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from reslab.report.statistics.intervals import CONFIDENCE

ALPHA = 1 - CONFIDENCE
POWER = 0.8
MOST_SEEDS = 1000
MOST_SHIFT = 1e4  # standard errors: the noncentral t cannot be computed there, and needs not be


@dataclass(frozen=True)
class Spread:
    """The standard deviation of one seed's share in a difference, and what it is known by.

    The difference of the means of n seeds has variance std^2 / n + fixed and freedom per_seed (n - 1).
    """

    std: float
    freedom: float  # degrees of freedom that std was estimated with
    per_seed: float  # degrees of freedom of the test, for each seed beyond the first
    fixed: float = 0.0  # share of the variance, in units of std^2, that no further seed of ours reduces


def equivalence_p(difference: float, error: float, freedom: float, margin: float) -> float:
    """The p of two one-sided t tests that a difference with this standard error lies beyond +-margin (Schuirmann 1987)."""
    if math.isnan(error) or error <= 0:
        return math.nan
    return float(stats.t.sf((margin - abs(difference)) / error, freedom))


def seeds_to_settle(spread: Spread | None, margin: float, *, alpha: float = ALPHA) -> tuple[float, float, float]:
    """The seeds with which equal errors would be called equal within the margin in 80 of 100 studies: estimate, low, high.

    The range is that of the spread's own 95 % interval (chi-square): a standard deviation of three seeds is known to a factor of
    several. It does not rest on the observed difference. Infinite beyond MOST_SEEDS, NaN without a spread.
    """
    if spread is None:
        return math.nan, math.nan, math.nan
    tails = stats.chi2.ppf([(1 + CONFIDENCE) / 2, (1 - CONFIDENCE) / 2], spread.freedom)
    low, high = spread.std * np.sqrt(spread.freedom / tails)
    estimate, least, most = (_seeds(std, spread, margin, alpha) for std in (spread.std, low, high))
    return estimate, least, most


def _seeds(std: float, spread: Spread, margin: float, alpha: float) -> float:
    """The least number of seeds with enough power, which grows with them."""

    def power(seeds: int) -> float:
        return equivalence_power(margin / (std * math.sqrt(1 / seeds + spread.fixed)), spread.per_seed * (seeds - 1), alpha)

    found = bisect.bisect_left(range(2, MOST_SEEDS + 1), POWER, key=power) + 2
    return found if found <= MOST_SEEDS else math.inf


def equivalence_power(shift: float, freedom: float, alpha: float) -> float:
    """The chance that two one-sided tests find equal means equal; `shift` is the margin in standard errors (noncentral t)."""
    if shift > MOST_SHIFT:
        return 1.0
    one_side = float(stats.nct.sf(stats.t.ppf(1 - alpha, freedom), freedom, shift))
    return max(2 * one_side - 1, 0.0)
