"""What preprocess stores: uint8 images, labels and split indices as .npy files, with statistics and a checksum."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reslab.data.images import Images, Split
from reslab.errors import UserError


@dataclass(frozen=True)
class Prepared:
    """The stored dataset: `train` is what trains, `validation` is what it was held out from (None without one)."""

    train: Split
    validation: Split | None
    test: Split
    facts: dict  # name, class_names, shape, counts, mean and std per channel in [0, 1], checksum

    def held_out(self) -> dict[str, Split]:
        """The splits that are only evaluated, by name."""
        return {"test": self.test} | ({"validation": self.validation} if self.validation else {})

    def mean_image(self) -> np.ndarray:
        """Mean of each pixel of the images that train, float64 (C, H, W) in [0, 1], exact (from integer sums).

        Not among the facts: it is only asked for by `normalize: {name: mean_image}`, and would be thousands of numbers.
        """
        return self.train.images.sum(0, dtype=np.int64) / len(self.train) / 255


def save(images: Images, folder: Path, *, name: str, validation: int) -> dict:
    """Split, measure and store a dataset; return its facts.

    The validation split is drawn once, stratified by class, with a fixed seed, and stored as indices: everyone who asks for
    the same number holds out the same images. Raises UserError if it leaves no image of some class to train on.
    """
    held_out = _validation_indices(images.train_labels, validation, len(images.class_names))
    kept = np.setdiff1d(np.arange(len(images.train_labels)), held_out)
    mean, std = channel_statistics(images.train_images[kept])
    facts = {
        "name": name,
        "class_names": images.class_names,
        "image_shape": list(images.train_images.shape[1:]),
        "train": len(kept),
        "validation": len(held_out),
        "test": len(images.test_labels),
        "mean": mean,
        "std": std,
    }
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {
        "train_images": images.train_images,
        "train_labels": images.train_labels,
        "test_images": images.test_images,
        "test_labels": images.test_labels,
        "validation_indices": held_out,
    }
    for key, array in arrays.items():
        np.save(folder / f"{key}.npy", array)
    facts["checksum"] = _checksum(arrays)
    (folder / "dataset.json").write_text(json.dumps(facts, indent=1) + "\n")
    return facts


def load(folder: Path) -> Prepared:
    """Read what `save` stored; raises UserError if something is missing."""
    try:
        facts = json.loads((folder / "dataset.json").read_text())
        arrays = {path.stem: np.load(path, allow_pickle=False) for path in folder.glob("*.npy")}
        held_out = arrays["validation_indices"]
        kept = np.setdiff1d(np.arange(len(arrays["train_labels"])), held_out)
        test = Split(arrays["test_images"], arrays["test_labels"])
    except (FileNotFoundError, EOFError, KeyError, ValueError) as error:
        raise UserError(f"{folder}: prepared data missing or damaged ({error}); run `dvc repro preprocess`") from None
    train = Split(arrays["train_images"][kept], arrays["train_labels"][kept])
    validation = Split(arrays["train_images"][held_out], arrays["train_labels"][held_out]) if len(held_out) else None
    return Prepared(train, validation, test, facts)


def channel_statistics(images: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel over all pixels, in [0, 1] units, exact (from integer sums)."""
    channels = np.moveaxis(images, 1, 0).reshape(images.shape[1], -1)
    count = channels.shape[1]
    sums = [int(channel.sum(dtype=np.int64)) for channel in channels]
    squares = [int((np.bincount(channel, minlength=256) * np.arange(256, dtype=np.int64) ** 2).sum()) for channel in channels]
    means = [total / count for total in sums]
    variances = [square / count - mean**2 for square, mean in zip(squares, means, strict=True)]
    return [mean / 255 for mean in means], [max(variance, 0.0) ** 0.5 / 255 for variance in variances]


def _validation_indices(labels: np.ndarray, count: int, classes: int) -> np.ndarray:
    if count == 0:
        return np.zeros(0, dtype=np.int64)
    if not classes <= count <= len(labels) - classes:
        raise UserError(f"dataset.validation: {count} is not allowed: 0, or {classes} to {len(labels) - classes} images")
    rarest = int(np.bincount(labels, minlength=classes).min())
    if rarest < 2:
        raise UserError(f"dataset.validation: a class has {rarest} training image(s); at least 2 are needed to hold one out")
    from sklearn.model_selection import train_test_split

    _, held_out = train_test_split(np.arange(len(labels)), test_size=count, stratify=labels, random_state=0)
    return np.sort(held_out)


def _checksum(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for key in sorted(arrays):
        digest.update(f"{key} {arrays[key].dtype} {arrays[key].shape}".encode())
        digest.update(np.ascontiguousarray(arrays[key]).data)
    return digest.hexdigest()
