"""A dataset in memory as stored: images, labels and validation indices, each a .npy file."""

import hashlib
from pathlib import Path

import numpy as np

from reslab.data.prepared.splits import Arrays, Dataset
from reslab.data.prepared.statistics import channel_statistics, validation_indices


def save(dataset: Dataset, folder: Path, *, validation: int) -> dict:
    """Split, measure and store `Arrays`; return the facts that follow from the images.

    Raises UserError if the validation split leaves no image of some class to train on.
    """
    train, test = dataset.train, dataset.test
    held_out = validation_indices(train.labels, validation, len(dataset.class_names))
    kept = np.setdiff1d(np.arange(len(train)), held_out)
    mean, std = channel_statistics(train.images[kept])
    arrays = {
        "train_images": train.images,
        "train_labels": train.labels,
        "test_images": test.images,
        "test_labels": test.labels,
        "validation_indices": held_out,
    }
    folder.mkdir(parents=True, exist_ok=True)
    for key, array in arrays.items():
        np.save(folder / f"{key}.npy", array)
    return {
        "image_shape": list(train.images.shape[1:]),
        "train": len(kept),
        "validation": len(held_out),
        "test": len(test),
        "mean": mean,
        "std": std,
        "checksum": _checksum(arrays),
    }


def load(folder: Path) -> dict[str, Arrays | None]:
    """The splits that `save` stored; one without images is None. Raises an error of numpy's or KeyError if damaged."""
    arrays = {path.stem: np.load(path, allow_pickle=False) for path in folder.glob("*.npy")}
    images, labels, held_out = arrays["train_images"], arrays["train_labels"], arrays["validation_indices"]
    kept = np.setdiff1d(np.arange(len(labels)), held_out)
    return {
        "train": Arrays(images[kept], labels[kept]),
        "validation": Arrays(images[held_out], labels[held_out]) if len(held_out) else None,
        "test": Arrays(arrays["test_images"], arrays["test_labels"]),
    }


def _checksum(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for key in sorted(arrays):
        digest.update(f"{key} {arrays[key].dtype} {arrays[key].shape}".encode())
        digest.update(np.ascontiguousarray(arrays[key]).data)
    return digest.hexdigest()
