"""Exact statistics of the training images, from whole numbers, and the choice of those that are held out."""

import numpy as np

from reslab.errors import UserError


def histograms(images: np.ndarray) -> np.ndarray:
    """The number of times that each channel has each value, int64 (C, 256), of uint8 images (N, C, H, W)."""
    channels = np.moveaxis(images, 1, 0).reshape(images.shape[1], -1)
    return np.stack([np.bincount(channel, minlength=256) for channel in channels]).astype(np.int64)


def mean_and_std(counts: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel over all pixels, in [0, 1] units, of its `histograms`."""
    values = np.arange(256, dtype=np.int64)
    count = int(counts[0].sum())
    means = [int((channel * values).sum()) / count for channel in counts]
    squares = [int((channel * values**2).sum()) / count for channel in counts]
    variances = [square - mean**2 for square, mean in zip(squares, means, strict=True)]
    return [mean / 255 for mean in means], [max(variance, 0.0) ** 0.5 / 255 for variance in variances]


def channel_statistics(images: np.ndarray) -> tuple[list[float], list[float]]:
    """`mean_and_std` of uint8 images (N, C, H, W)."""
    return mean_and_std(histograms(images))


def check_validation(count: int, images: int, classes: int) -> None:
    """Raise UserError if `count` of the `images` cannot be held out, stratified by class."""
    if count and not classes <= count <= images - classes:
        raise UserError(f"dataset.validation: {count} is not allowed: 0, or {classes} to {images - classes} images")


def validation_indices(labels: np.ndarray, count: int, classes: int) -> np.ndarray:
    """Which `count` images are held out, stratified by class, sorted, the same each time.

    Raises UserError if it leaves no image of some class to train on.
    """
    if count == 0:
        return np.zeros(0, dtype=np.int64)
    check_validation(count, len(labels), classes)
    rarest = int(np.bincount(labels, minlength=classes).min())
    if rarest < 2:
        raise UserError(f"dataset.validation: a class has {rarest} training image(s); at least 2 are needed to hold one out")
    from sklearn.model_selection import train_test_split

    _, held_out = train_test_split(np.arange(len(labels)), test_size=count, stratify=labels, random_state=0)
    return np.sort(held_out)
