"""A dataset of one's own, `name: module:Class`: what it fetches and reads is checked before anything is stored."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from reslab.config import plugins
from reslab.data.prepared.splits import Arrays, Dataset, Files
from reslab.errors import UserError, shown


class Own:
    """The dataset that one's own class made for the folder `raw`; its faults are UserErrors with the path `where`."""

    def __init__(self, made: Any, raw: Path, name: str, where: str) -> None:
        self.made, self.raw, self.name, self.where = made, raw, name, where
        for method in ("fetch", "read"):
            if not callable(getattr(made, method, None)):
                raise UserError(f"{where}.name: {name} has no method {method}(): a dataset has fetch() and read()")

    def fetch(self) -> Iterable[str] | None:
        """Put what is needed into the raw folder, which is there."""
        self.raw.mkdir(parents=True, exist_ok=True)
        with plugins.blamed(self.where, f"{self.name}.fetch"):
            return self.made.fetch()

    def read(self) -> Dataset:
        """The two splits, checked."""
        with plugins.blamed(self.where, f"{self.name}.read"):
            found = self.made.read()
            check(found, self.name)
        return found


def check(found: Any, name: str) -> None:
    """Raise UserError unless it is a Dataset whose images and labels can be stored and trained on."""
    if not isinstance(found, Dataset):
        raise UserError(f"{name}.read must return a reslab.data.prepared.splits.Dataset, not a {type(found).__name__}")
    names = found.class_names
    if not isinstance(names, list) or not names or not all(isinstance(one, str) for one in names) or len(set(names)) < len(names):
        raise UserError(f"{name}: class_names must be a list of different texts, not {shown(names)}")
    splits = {"train": found.train, "test": found.test}
    for split, images in splits.items():
        if not isinstance(images, Arrays | Files):
            raise UserError(f"{name}: {split} must be Arrays or Files, not a {type(images).__name__}")
        if isinstance(images, Arrays):
            _check_arrays(images, len(names), f"{name}: {split}")
    shapes = {images.images.shape[1:] for images in splits.values() if isinstance(images, Arrays)}
    if len(shapes) > 1 or type(found.train) is not type(found.test):
        raise UserError(f"{name}: train and test must be stored alike, with images of one shape")


def _check_arrays(split: Arrays, classes: int, where: str) -> None:
    images, labels = split.images, split.labels
    for what, value, dtype, form in (("images", images, np.uint8, "(N, C, H, W)"), ("labels", labels, np.int64, "(N,)")):
        if not isinstance(value, np.ndarray) or value.dtype != dtype or value.ndim != (4 if what == "images" else 1):
            said = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
            raise UserError(f"{where}: {what} must be a numpy array {np.dtype(dtype).name} {form}, not {said}")
    if len(images) != len(labels) or not len(images):
        raise UserError(f"{where}: {len(images)} images and {len(labels)} labels; there must be as many, and at least one")
    if labels.min() < 0 or labels.max() >= classes:
        raise UserError(f"{where}: labels from {labels.min()} to {labels.max()}, but the {classes} classes are 0 to {classes - 1}")
