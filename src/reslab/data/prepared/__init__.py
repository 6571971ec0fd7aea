"""What preprocess stores: uint8 images, labels and split indices as .npy files, with statistics and a checksum.

Datasets of encoded files are stored by data/files.py; `save` and `load` are for both.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reslab.data.prepared import files
from reslab.data.prepared.arrays import Images, Split
from reslab.data.prepared.files import Encoded, Files
from reslab.data.prepared.statistics import channel_statistics, validation_indices
from reslab.errors import UserError


@dataclass(frozen=True)
class Prepared:
    """The stored dataset: `train` is what trains, `validation` is what it was held out from (None without one)."""

    train: Split | Files
    validation: Split | Files | None
    test: Split | Files
    facts: dict  # name, class_names, shape, counts, mean and std per channel in [0, 1], checksum

    def held_out(self) -> dict[str, Split | Files]:
        """The splits that are only evaluated, by name."""
        return {"test": self.test} | ({"validation": self.validation} if self.validation else {})

    def mean_image(self) -> np.ndarray:
        """Mean of each pixel of the images that train, float64 (C, H, W) in [0, 1], exact (from integer sums).

        Not among the facts: it is only asked for by `normalize: {name: mean_image}`, and would be thousands of numbers.
        """
        return self.train.mean_image()


def save(images: Images | Encoded, folder: Path, *, name: str, validation: int, workers: int = 1) -> dict:
    """Split, measure and store a dataset, files in `workers` processes; return its facts.

    The validation split is drawn once, stratified by class, with a fixed seed, and stored as indices: everyone who asks for
    the same number holds out the same images. Raises UserError if it leaves no image of some class to train on.
    """
    if isinstance(images, Encoded):
        return files.save(images, folder, name=name, validation=validation, workers=workers)
    held_out = validation_indices(images.train_labels, validation, len(images.class_names))
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
        if facts.get("stored") == "files":
            return Prepared(**files.load(folder, facts), facts=facts)
        arrays = {path.stem: np.load(path, allow_pickle=False) for path in folder.glob("*.npy")}
        held_out = arrays["validation_indices"]
        kept = np.setdiff1d(np.arange(len(arrays["train_labels"])), held_out)
        test = Split(arrays["test_images"], arrays["test_labels"])
    except (FileNotFoundError, EOFError, KeyError, ValueError) as error:
        raise UserError(f"{folder}: prepared data missing or damaged ({error}); run `dvc repro preprocess`") from None
    train = Split(arrays["train_images"][kept], arrays["train_labels"][kept])
    validation = Split(arrays["train_images"][held_out], arrays["train_labels"][held_out]) if len(held_out) else None
    return Prepared(train, validation, test, facts)


def _checksum(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for key in sorted(arrays):
        digest.update(f"{key} {arrays[key].dtype} {arrays[key].shape}".encode())
        digest.update(np.ascontiguousarray(arrays[key]).data)
    return digest.hexdigest()
