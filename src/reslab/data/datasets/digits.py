"""The handwritten digits that ship with scikit-learn."""

import hashlib
from pathlib import Path

import numpy as np

from reslab.data.prepared.splits import Arrays, Dataset
from reslab.errors import UserError

DIGITS_SHA256 = "87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826"


class Digits:
    """1,797 handwritten digits of 8x8 pixels that ship with scikit-learn (UCI optdigits, test part); nothing is downloaded.

    Pixels 0..16 become 0..255. The set has no split of its own: 360 images, stratified by class, are the test set.
    """

    def __init__(self, raw: Path) -> None:
        self.raw = raw

    def fetch(self) -> list[str]:
        """Copy the images out of scikit-learn; there is nothing to say. Raises UserError if they are not the 1,797 known ones."""
        from sklearn.datasets import load_digits

        data = load_digits()
        images, labels = data.images.astype(np.uint8), data.target.astype(np.int64)
        _check_digits(images, labels)
        self.raw.mkdir(parents=True, exist_ok=True)
        np.save(self.raw / "images.npy", images)
        np.save(self.raw / "labels.npy", labels)
        return []

    def read(self) -> Dataset:
        """Images uint8 (N, 1, 8, 8), split 1,437 / 360."""
        from sklearn.model_selection import train_test_split

        images = np.rint(np.load(self.raw / "images.npy") * (255 / 16)).astype(np.uint8)[:, None]
        labels = np.load(self.raw / "labels.npy")
        train, test = train_test_split(np.arange(len(labels)), test_size=360, stratify=labels, random_state=0)
        names = [str(digit) for digit in range(10)]
        return Dataset(*(Arrays(images[part], labels[part]) for part in (train, test)), class_names=names)


def _check_digits(images: np.ndarray, labels: np.ndarray) -> None:
    digest = hashlib.sha256(images.tobytes() + labels.astype(np.uint8).tobytes()).hexdigest()
    if digest != DIGITS_SHA256:
        raise UserError(f"digits: scikit-learn's images have sha256 {digest}, expected {DIGITS_SHA256}; reinstall scikit-learn")
