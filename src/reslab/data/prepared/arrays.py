"""Images and labels in memory."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Images:
    """A dataset as read: images uint8 (N, C, H, W), labels int64 (N,)."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    class_names: list[str]


@dataclass(frozen=True)
class Split:
    """Images uint8 (N, C, H, W) and labels int64 (N,)."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def pictures(self, numbers: list[int]) -> np.ndarray:
        """Some of the images, uint8 (n, C, H, W)."""
        return self.images[numbers]

    def mean_image(self) -> np.ndarray:
        """Mean of each pixel, float64 (C, H, W) in [0, 1], exact (from integer sums)."""
        return self.images.sum(0, dtype=np.int64) / len(self) / 255
