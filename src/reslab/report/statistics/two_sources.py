"""The interval of an experiment's mean error over both sources of chance: seeds and test images."""

import math

import numpy as np

from reslab.report.statistics.intervals import NOTHING, Interval, error_interval


def seeds_and_images(wrong: np.ndarray) -> Interval:
    """The 95 % interval over other seeds and other test images, of which images are answered wrongly, bool (seeds, N).

    Seeds and images are crossed random effects; the variance of the mean is (M_seeds + M_images - M_rest) / (n N) of the mean
    squares of the two-way analysis of variance, its degrees of freedom are Satterthwaite's (1946). NaN for fewer than two seeds.
    """
    seeds, images = wrong.shape
    if seeds < 2 or images < 2:
        return NOTHING
    values = wrong.astype(float)
    mean, by_seed, by_image = values.mean(), values.mean(axis=1), values.mean(axis=0)
    freedom = np.array([seeds - 1, images - 1, (seeds - 1) * (images - 1)])
    rest = np.sum((values - by_seed[:, None] - by_image[None, :] + mean) ** 2)
    squares = np.array([images * np.sum((by_seed - mean) ** 2), seeds * np.sum((by_image - mean) ** 2), rest]) / freedom
    total = squares[0] + squares[1] - squares[2]
    least = max(squares[0], squares[1])  # neither source alone is more than both together
    if least == 0:
        return NOTHING
    kept = squares * (1, 1, -1) if total > least else np.where(squares == least, squares, 0.0)
    satterthwaite = kept.sum() ** 2 / np.sum(kept**2 / freedom)
    return error_interval(float(mean), math.sqrt(kept.sum() / (seeds * images)), float(satterthwaite))


def seeds_and_images_bound(mean: float, std: float, seeds: int, images: float) -> Interval:
    """The same from records alone, without predictions: at least as wide, as if all networks were wrong on the same images."""
    if seeds < 2 or math.isnan(images) or images < 2 or (std == 0 and not 0 < mean < 1):
        return NOTHING
    shares = np.array([std**2 / seeds, mean * (1 - mean) / images])
    freedom = shares.sum() ** 2 / np.sum(shares**2 / np.array([seeds - 1, images - 1]))
    return error_interval(mean, math.sqrt(shares.sum()), float(freedom))
