"""A dataset as encoded files: one uncompressed tar, and an index that finds each image in it without reading the rest."""

import hashlib
import json
import os
import shutil
import tarfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from reslab.data.decode import Form, as_evaluated
from reslab.data.prepared.measure import Measured, measure
from reslab.data.prepared.statistics import mean_and_std, validation_indices

ARCHIVE = "images.tar"
MEAN_IMAGE = "mean_image.npy"
SPLITS = ("train", "validation", "test")
FOUND = [("label", np.int64), ("offset", np.int64), ("length", np.int64), ("height", np.int32), ("width", np.int32)]


@dataclass(frozen=True)
class Files:
    """A split: `table` has a row for each image, label, place in the archive, height, width and name."""

    archive: Path
    form: Form
    table: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """int64 (N,)."""
        return np.ascontiguousarray(self.table["label"])

    def __len__(self) -> int:
        return len(self.table)

    def name(self, number: int) -> str:
        """An image's name in the archive."""
        return bytes(self.table["name"][number]).decode()

    def pictures(self, numbers: list[int]) -> np.ndarray:
        """Some of the images as they are evaluated, uint8 (n, C, H, W)."""
        form, found = self.form, np.zeros((len(numbers), self.form.channels, self.form.image_size, self.form.image_size), np.uint8)
        with self.archive.open("rb") as archive:
            for place, number in enumerate(numbers):
                archive.seek(int(self.table["offset"][number]))
                content = archive.read(int(self.table["length"][number]))
                found[place] = as_evaluated(content, found.shape[1:], form.resize, name=self.name(number))
        return found

    def mean_image(self) -> np.ndarray:
        """Mean of each pixel of the training images' centres, float64 (C, H, W) in [0, 1], as preprocess measured it."""
        return np.load(self.archive.parent / MEAN_IMAGE)


@dataclass(frozen=True)
class Encoded:
    """A dataset as fetched: the archive and a row for each image, sorted by name; heights and widths are not known yet."""

    archive: Path
    form: Form
    train: np.ndarray
    test: np.ndarray
    class_names: list[str]


def table(rows: Iterable[tuple[int, int, int, str]]) -> np.ndarray:
    """An index of (label, offset, length, name) rows."""
    listed = [(label, offset, length, 0, 0, name.encode()) for label, offset, length, name in rows]
    longest = max(len(row[-1]) for row in listed)
    return np.array(listed, dtype=[*FOUND, ("name", f"S{longest}")])


def scan(archive: Path) -> dict[str, tuple[int, int]]:
    """Name -> (offset, length) of each file in an uncompressed tar; only the headers are read."""
    found = {}
    with tarfile.open(archive, "r:") as opened:
        for member in opened:
            found[member.name] = (member.offset_data, member.size)
            opened.members.clear()  # a million of them would fill the memory
    return found


def save(encoded: Encoded, folder: Path, *, name: str, validation: int, workers: int) -> dict:
    """Decode every image once to see that it can be, split and measure; store archive and index; return the facts.

    Mean, std and mean image are exact over the centres (`form`) of the images that train. Raises UserError naming images that
    cannot be read.
    """
    held_out = validation_indices(encoded.train["label"], validation, len(encoded.class_names))
    first_test = len(encoded.train)
    both = np.concatenate([encoded.train, encoded.test])
    counted = np.arange(len(both)) < first_test
    counted[held_out] = False
    found = measure(encoded.archive, both, encoded.form, counted=counted, workers=workers)
    found.refuse_broken()
    splits = dict(zip(SPLITS, (found.table[counted], found.table[held_out], found.table[first_test:]), strict=True))
    folder.mkdir(parents=True, exist_ok=True)
    for split, rows in splits.items():
        np.save(folder / f"{split}.npy", rows)
    np.save(folder / MEAN_IMAGE, found.pixel_sums / counted.sum() / 255)
    _share(encoded.archive, folder / ARCHIVE)
    mean, std = mean_and_std(found.histograms)
    form = encoded.form
    facts = {
        "name": name,
        "class_names": encoded.class_names,
        "image_shape": [form.channels, form.image_size, form.image_size],
        **{split: len(rows) for split, rows in splits.items()},
        "mean": mean,
        "std": std,
        "stored": "files",
        "resize": form.resize,
        "checksum": _checksum(form, found, splits),
    }
    (folder / "dataset.json").write_text(json.dumps(facts, indent=1) + "\n")
    return facts


def load(folder: Path, facts: dict) -> dict[str, Files | None]:
    """The splits that `save` stored; one without images is None. Raises FileNotFoundError, KeyError or ValueError if damaged."""
    channels, side, _ = facts["image_shape"]
    form, archive = Form(side, facts["resize"], channels), folder / ARCHIVE
    tables = {split: np.load(folder / f"{split}.npy", allow_pickle=False) for split in SPLITS}
    size = archive.stat().st_size
    for rows in tables.values():
        if any((rows["offset"] + rows["length"]) > size):
            raise ValueError(f"{archive} is shorter than its index says")
    return {split: Files(archive, form, rows) if len(rows) else None for split, rows in tables.items()}


def _share(source: Path, target: Path) -> None:
    """The same file in two places: linked where the file system can, else copied."""
    target.unlink(missing_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)


def _checksum(form: Form, found: Measured, splits: dict[str, np.ndarray]) -> str:
    """Covers the encoded bytes in order, labels, split and form, and the decoded values, which another decoder would change."""
    digest = hashlib.sha256(json.dumps(asdict(form), sort_keys=True).encode())
    digest.update(found.digests.tobytes())
    for split, rows in splits.items():
        digest.update(split.encode() + np.ascontiguousarray(rows["label"]).tobytes() + b"\n".join(rows["name"]))
    digest.update(found.histograms.tobytes())
    return digest.hexdigest()
