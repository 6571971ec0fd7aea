"""A split of images and its labels: decoded in memory, or encoded in one archive; and a dataset of two."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from reslab.data.form import Form
from reslab.data.whole import changed, is_whole

MEAN_IMAGE = "mean_image"
AGAIN = "delete data/prepared and run `dvc repro preprocess`"


@dataclass(frozen=True)
class Arrays:
    """A split in memory: images uint8 (N, C, H, W), labels int64 (N,)."""

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


@dataclass(frozen=True)
class Files:
    """A split in an uncompressed tar: `table` has a row for each image, label, place in the archive, height, width and name.

    `digests`, uint8 (N, 32): the sha256 of each encoded image as preprocess saw it; None before that.
    """

    archive: Path
    form: Form
    table: np.ndarray
    digests: np.ndarray | None = None
    mean: np.ndarray | None = None  # image of those that train, as preprocess measured it

    @property
    def labels(self) -> np.ndarray:
        """int64 (N,)."""
        return np.ascontiguousarray(self.table["label"])

    def __len__(self) -> int:
        return len(self.table)

    def name(self, number: int) -> str:
        """An image's name in the archive."""
        return bytes(self.table["name"][number]).decode()

    def contents(self, numbers: Iterable[int]) -> Iterator[tuple[str, bytes]]:
        """Name and encoded bytes of some of the images; raises UserError naming one that is not as preprocess read it."""
        with self.archive.open("rb") as archive:
            for number in numbers:
                archive.seek(int(self.table["offset"][number]))
                name, content = self.name(number), archive.read(int(self.table["length"][number]))
                if not is_whole(content, None if self.digests is None else self.digests[number]):
                    raise changed(name)
                yield name, content

    def pictures(self, numbers: list[int]) -> np.ndarray:
        """Some of the images as they are evaluated, uint8 (n, C, H, W)."""
        from reslab.data.decode import as_evaluated

        form, found = self.form, np.zeros((len(numbers), self.form.channels, self.form.image_size, self.form.image_size), np.uint8)
        for place, (name, content) in enumerate(self.contents(numbers)):
            found[place] = as_evaluated(content, found.shape[1:], form.resize, name=name)
        return found

    def mean_image(self) -> np.ndarray:
        """Mean of each pixel of the training images' centres, float64 (C, H, W) in [0, 1], as preprocess measured it."""
        return self.mean


Split = Arrays | Files


@dataclass(frozen=True)
class Dataset:
    """A dataset as read, in the two splits it was published in: both `Arrays`, or both `Files` of one archive, sorted by name.

    `found`: what was left out of it, and which of its files are equal.
    """

    train: Split
    test: Split
    class_names: list[str]
    found: dict = field(default_factory=dict)
