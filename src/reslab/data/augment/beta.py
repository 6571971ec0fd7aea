"""Beta-distributed numbers on any device, from uniform ones."""

from functools import cache

import numpy as np
import torch
from torch import Tensor

POINTS = 1 << 14  # the distribution function is off by less than 1/POINTS


def beta(uniform: Tensor, alpha: float) -> Tensor:
    """Beta(alpha, alpha) from uniform numbers in [0, 1), float64 of the same shape.

    The quantile function is tabled once on the host and interpolated linearly where the numbers are: scipy's needs them on the
    CPU, and torch's sampler takes no numbers that a hash has drawn.
    """
    table = quantiles(alpha, uniform.device)
    place = uniform * POINTS
    below = place.long().clamp(max=POINTS - 1)
    return torch.lerp(table[below], table[below + 1], place - below)


def quantiles(alpha: float, device: torch.device) -> Tensor:
    """The quantile function at 0, 1/POINTS, ..., 1: float64 (POINTS + 1,)."""
    return _quantiles(alpha, device)


@cache
def _quantiles(alpha: float, device: torch.device) -> Tensor:
    from scipy.special import betaincinv

    return torch.from_numpy(betaincinv(alpha, alpha, np.linspace(0, 1, POINTS + 1))).to(device)
