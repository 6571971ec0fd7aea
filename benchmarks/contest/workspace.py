"""The arrays that all loops read: real images if a folder of them is given, else generated; stored once for each size."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reslab.data import prepared
from reslab.data.datasets import DATASETS
from reslab.data.prepared.splits import Arrays, Dataset
from reslab.errors import UserError

GENERATED = "generated"
CLASSES = 10


@dataclass
class Workspace:
    """A folder for this run's prepared data; `source` is a prepared folder, one with CIFAR-10's files, or None."""

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

    def digits(self) -> Path:
        """Scikit-learn's digits, prepared."""
        target = self.folder / "digits"
        if not target.exists():
            dataset = DATASETS["digits"](self.folder / "raw-digits")
            dataset.fetch()
            prepared.save(dataset.read(), target, name="digits", validation=0)
        return target

    def _everything(self, images: int, tests: int) -> Dataset:
        if self.source is None:
            return generated(images, tests)
        self.whole = self.whole or self._read()
        return self.whole

    def _read(self) -> Dataset:
        if (self.source / "dataset.json").exists():
            data = prepared.load(self.source)
            return Dataset(data.train, data.test, data.facts["class_names"])
        dataset = DATASETS["cifar10"](self.folder / "raw-cifar10", source=str(self.source))
        dataset.fetch()
        return dataset.read()


def facts_of(data: Path) -> dict:
    """What is known of a prepared folder: the shape of its images, the names of its classes."""
    return prepared.load(data).facts


def generated(images: int, tests: int) -> Dataset:
    """Random pixels of CIFAR's shape, random labels: they cost what real ones cost, and teach nothing."""
    generator = np.random.default_rng(0)
    pixels = [generator.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8) for count in (images, tests)]
    labels = [generator.integers(0, CLASSES, count) for count in (images, tests)]
    return Dataset(*map(Arrays, pixels, labels), class_names=[str(label) for label in range(CLASSES)])
