"""The variance of a median."""

import math
from functools import cache

import numpy as np
from scipy import stats


@cache
def median_factor(runs: int) -> float:
    """The variance of the median of `runs` normal values, in units of their mean's: 1, 1, 1.35, 1.19, 1.43, ... to pi / 2.

    From the density of the middle value, or of the two middle ones together, on a grid of z; right to 0.1 %. Beyond 40 the large
    sample's, Hodges and Lehmann 1967, right to 1 %.
    """
    if runs > 40:
        return runs * math.pi / (2 * runs + math.pi - 2)
    z = np.linspace(-8, 8, 1601)
    step, density, below, above = z[1] - z[0], stats.norm.pdf(z), stats.norm.cdf(z), stats.norm.sf(z)
    with np.errstate(divide="ignore"):  # 0 values below: 0 * log 0 below is 0
        log_below, log_above = np.log(below), np.log(above)
    beside = (runs - 1) // 2  # values on each side of the middle
    if runs % 2:
        weight = math.exp(math.lgamma(runs + 1) - 2 * math.lgamma(beside + 1)) * step
        return float(runs * weight * np.sum(z**2 * density * np.exp(beside * (log_below + log_above))))
    both = np.triu(np.ones((len(z), len(z)))) - np.eye(len(z)) / 2  # lower value of the two, then upper one
    both *= np.outer(density * np.exp(beside * log_below), density * np.exp(beside * log_above))
    weight = math.exp(math.lgamma(runs + 1) - 2 * math.lgamma(beside + 1)) * step**2
    return float(runs * weight * np.sum(both * (z[:, None] + z[None, :]) ** 2 / 4))
