"""A dataset in memory as stored: images, labels and validation indices, each a .npy file."""

from pathlib import Path

import numpy as np

from reslab.data.prepared import stored
from reslab.data.prepared.splits import Arrays, Dataset
from reslab.data.prepared.statistics import channel_statistics, validation_indices

NAMES = ("train_images", "train_labels", "test_images", "test_labels", "validation_indices")


def save(dataset: Dataset, folder: Path, *, validation: int) -> dict:
    """Split, measure and store `Arrays`; return the facts that follow from the images.

    Raises UserError if the validation split leaves no image of some class to train on.
    """
    train, test = dataset.train, dataset.test
    held_out = validation_indices(train.labels, validation, len(dataset.class_names))
    kept = np.setdiff1d(np.arange(len(train)), held_out)
    mean, std = channel_statistics(train.images[kept])
    arrays = dict(zip(NAMES, (train.images, train.labels, test.images, test.labels, held_out), strict=True))
    return {
        "image_shape": list(train.images.shape[1:]),
        "train": len(kept),
        "validation": len(held_out),
        "test": len(test),
        "mean": mean,
        "std": std,
        "checksum": stored.checksum(arrays),
        "files": stored.save(folder, arrays),
    }


def load(folder: Path, facts: dict) -> dict[str, Arrays | None]:
    """The splits that `save` stored; one without images is None. Raises what `stored.load` raises if damaged."""
    arrays = stored.load(folder, NAMES, facts["files"])
    images, labels, held_out = arrays["train_images"], arrays["train_labels"], arrays["validation_indices"]
    kept = np.delete(np.arange(len(labels)), held_out)
    return {
        "train": Arrays(images[kept], labels[kept]),
        "validation": Arrays(images[held_out], labels[held_out]) if len(held_out) else None,
        "test": Arrays(arrays["test_images"], arrays["test_labels"]),
    }
