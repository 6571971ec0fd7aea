"""The arrays that all loops read: images that are given, else scikit-learn's digits, enlarged; stored once for each size."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reslab.data import prepared
from reslab.data.datasets import DATASETS
from reslab.data.prepared.splits import Arrays, Dataset
from reslab.errors import UserError

DIGITS = "digits of scikit-learn, enlarged to 3x32x32 and repeated"
SIDE = 32


@dataclass
class Workspace:
    """A folder for this run's prepared data.

    `source`: a prepared folder, one with CIFAR-10's files, a folder or an archive of train/<class>/ and test/<class>/ with
    images of 32x32 (such as a JPEG copy of CIFAR-10), or None.
    """

    folder: Path
    source: Path | None = None
    whole: Dataset | None = None

    def subset(self, images: int, tests: int) -> Path:
        """Prepared data with so many images; raises UserError if there are fewer."""
        target = self.folder / f"{images}-{tests}"
        if not target.exists():
            everything = self._everything(images, tests)
            if len(everything.train) < images or len(everything.test) < tests:
                have = f"{len(everything.train)} and {len(everything.test)}"
                raise UserError(f"--data {self.source}: holds {have} images, {images} and {tests} are wanted")
            pairs = ((everything.train, images), (everything.test, tests))
            train, test = (Arrays(split.images[:count], split.labels[:count]) for split, count in pairs)
            prepared.save(Dataset(train, test, everything.class_names), target, name="benchmark", validation=0)
        return target

    def digits(self, images: int | None = None) -> Path:
        """Scikit-learn's digits, prepared: all of them, or so many to train on and all to test on."""
        target = self.folder / f"digits-{images or 'all'}"
        if not target.exists():
            found = self._digits()
            train = Arrays(found.train.images[:images], found.train.labels[:images])
            prepared.save(Dataset(train, found.test, found.class_names), target, name="digits", validation=0)
        return target

    def _digits(self) -> Dataset:
        dataset = DATASETS["digits"](self.folder / "raw-digits")
        dataset.fetch()
        return dataset.read()

    def _everything(self, images: int, tests: int) -> Dataset:
        if self.source is None:
            return enlarged(self._digits(), images, tests)
        self.whole = self.whole or self._read()
        return self.whole

    def _read(self) -> Dataset:
        if (self.source / "dataset.json").exists():
            data = prepared.load(self.source)
            return Dataset(data.train, data.test, data.facts["class_names"])
        if self.source.is_file() or (self.source / "train").is_dir():
            dataset = DATASETS["image_folder"](self.folder / "raw-images", source=str(self.source), image_size=SIDE)
        else:
            dataset = DATASETS["cifar10"](self.folder / "raw-cifar10", source=str(self.source))
        dataset.fetch()
        return dataset.read()


def facts_of(data: Path) -> dict:
    """What is known of a prepared folder: the shape of its images, the names of its classes."""
    return prepared.load(data).facts


def enlarged(digits: Dataset, images: int, tests: int) -> Dataset:
    """The 8x8 digits in CIFAR's shape, each pixel 4x4 times in three channels, repeated until there are so many."""
    splits = []
    for split, count in ((digits.train, images), (digits.test, tests)):
        chosen = np.arange(count) % len(split)
        scale = SIDE // split.images.shape[2]
        pixels = split.images[chosen].repeat(scale, 2).repeat(scale, 3).repeat(3, 1)
        splits.append(Arrays(pixels, split.labels[chosen]))
    return Dataset(*splits, class_names=digits.class_names)
