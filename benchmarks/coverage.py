"""How often the statistics are right: `python benchmarks/coverage.py [REPEATS]` prints the table of docs/statistics.md.

Errors of seeds are drawn with mean 8 % and a standard deviation of 0.2 points, about what ResNet-20 has on CIFAR-10.
"""

import math
import sys
from collections.abc import Callable

import numpy as np
from scipy import stats

from reslab.report.statistics.equivalence import equivalence_p
from reslab.report.statistics.samples import bootstrap_interval, mean_interval
from reslab.report.statistics.significance import Comparison, compare_pairs, compare_samples, divergence_p
from reslab.report.statistics.two_sources import seeds_and_images

SEEDS = (3, 5, 10)
MEAN, STD, MARGIN = 0.08, 0.002, 0.003


def shares(n: int, repeats: int) -> dict[str, float]:
    """What is measured -> the share of so many simulated studies of n seeds in which it happens."""
    generator = np.random.default_rng(n)
    draws = [(generator.normal(MEAN, STD, n), generator.normal(MEAN, STD, n)) for _ in range(repeats)]
    found = [compare_samples(first, second) for first, second in draws]
    beyond = [compare_samples(first + MARGIN, second) for first, second in draws]
    skewed = [generator.lognormal(math.log(0.02), 0.5, n) for _ in range(repeats)]
    centre = 0.02 * math.exp(0.125)
    return {
        "interval of a mean holds it": _held([mean_interval(first) for first, _ in draws], MEAN),
        "the same, skewed errors (lognormal, 2 %)": _held([mean_interval(draw) for draw in skewed], centre),
        "bootstrap interval holds the mean": _held([bootstrap_interval(first) for first, _ in draws[: min(repeats, 500)]], MEAN),
        "interval of a difference holds it (Welch)": _held([compared.interval for compared in found], 0.0),
        "equal errors called better or worse (Welch)": float(np.mean([compared.p < 0.05 for compared in found])),
        "equal errors called better or worse (paired)": float(np.mean([compare_pairs(*pair).p < 0.05 for pair in draws])),
        "a difference of 0.5 points is found (Welch)": _found(0.005, draws, compare_samples),
        "a difference of 0.5 points is found (paired)": _found(0.005, draws, compare_pairs),
        "errors 0.3 points apart called the same": float(np.mean([_same(compared) for compared in beyond])),
        "equal errors called the same": float(np.mean([_same(compared) for compared in found])),
        "interval over seeds and images holds the error": _held([_crossed(generator, n) for _ in range(min(repeats, 500))], 0.2),
        "equal rates of failure told apart (worst rate, Boschloo, exact)": _worst(n),
    }


def _held(intervals: list[tuple[float, float]], value: float) -> float:
    return float(np.mean([low < value < high for low, high in intervals]))


def _found(shift: float, draws: list, compare: Callable) -> float:
    return float(np.mean([compare(first + shift, second).p < 0.05 for first, second in draws]))


def _same(compared: Comparison) -> bool:
    return equivalence_p(compared.difference, compared.error, compared.freedom, MARGIN) < 0.05


def _crossed(generator: np.random.Generator, seeds: int, images: int = 400) -> tuple[float, float]:
    """The interval from wrong answers of networks whose seeds and images differ, with a mean of 20 %."""
    score = generator.normal(0, 0.15, (seeds, 1)) + generator.normal(0, 1, (1, images)) + generator.normal(0, 1, (seeds, images))
    return seeds_and_images(score > math.sqrt(2 + 0.15**2) * stats.norm.isf(0.2))


def _worst(n: int) -> float:
    """The largest chance, over all common rates, of two counts that are significantly different."""
    different = [(a, b) for a in range(n + 1) for b in range(n + 1) if divergence_p((a, n - a), (b, n - b)) < 0.05]
    rates = np.linspace(0.01, 0.99, 99)
    return float(sum(stats.binom.pmf(a, n, rates) * stats.binom.pmf(b, n, rates) for a, b in different).max())


def main(repeats: int) -> None:
    """Print the table."""
    columns = [shares(n, repeats) for n in SEEDS]
    print("| % of simulated studies | " + " | ".join(f"n = {n}" for n in SEEDS) + " |\n|---|" + "---|" * len(SEEDS))
    for name in columns[0]:
        print(f"| {name} | " + " | ".join(f"{100 * column[name]:.1f}" for column in columns) + " |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
