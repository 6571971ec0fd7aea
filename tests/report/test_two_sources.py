"""The interval over seeds and test images: how often it holds the mean."""

import math

import numpy as np
import pytest

from reslab.report.statistics.samples import mean_interval
from reslab.report.statistics.two_sources import seeds_and_images, seeds_and_images_bound


def draw(generator, seeds: int, images: int) -> np.ndarray:
    """Wrong answers of networks whose seeds differ in their bias and whose images in their difficulty (mean about 0.2)."""
    score = generator.normal(0, 0.15, (seeds, 1)) + generator.normal(0, 1, (1, images)) + generator.normal(0, 1, (seeds, images))
    return score > math.sqrt(2 + 0.15**2) * 0.8416


@pytest.mark.parametrize("seeds", [3, 5])
def test_it_holds_the_mean_over_other_seeds_and_other_images(seeds):
    generator = np.random.default_rng(seeds)
    bounds = [seeds_and_images(draw(generator, seeds, 400)) for _ in range(500)]
    assert np.mean([low < 0.2 < high for low, high in bounds]) == pytest.approx(0.95, abs=0.035)


def test_the_interval_over_seeds_alone_holds_it_less_often():
    generator = np.random.default_rng(0)
    samples = [draw(generator, 10, 400) for _ in range(500)]
    alone = np.mean([low < 0.2 < high for low, high in (mean_interval(wrong.mean(axis=1)) for wrong in samples)])
    both = np.mean([low < 0.2 < high for low, high in map(seeds_and_images, samples)])
    assert alone < 0.88
    assert both > 0.92


def test_from_records_alone_it_is_at_least_as_wide():
    generator, held = np.random.default_rng(2), 0
    for _ in range(200):
        errors = draw(generator, 5, 400).mean(axis=1)
        low, high = seeds_and_images_bound(errors.mean(), errors.std(ddof=1), 5, 400)
        held += low < 0.2 < high
    assert held >= 0.93 * 200


def test_without_two_seeds_or_without_any_mistake_there_is_none():
    assert all(map(math.isnan, seeds_and_images(np.ones((1, 50), dtype=bool))))
    assert all(map(math.isnan, seeds_and_images(np.zeros((3, 50), dtype=bool))))
    assert all(map(math.isnan, seeds_and_images_bound(0.0, 0.0, 3, 50)))
    assert all(map(math.isnan, seeds_and_images_bound(0.1, 0.01, 3, math.nan)))
    low, high = seeds_and_images(np.repeat([[True, False] * 25], 3, axis=0))  # the same answers of all: images alone
    assert 0.3 < low < 0.5 < high < 0.7
