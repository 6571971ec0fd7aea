"""A dataset of encoded files as stored: one uncompressed tar, and an index that finds each image in it without reading the rest."""

import hashlib
import json
import os
import shutil
import tarfile
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from reslab.data.form import Form
from reslab.data.prepared import stored
from reslab.data.prepared.inspection import Inspection, inspect
from reslab.data.prepared.splits import MEAN_IMAGE, Dataset, Files
from reslab.data.prepared.statistics import mean_and_std, validation_indices

ARCHIVE = "images.tar"
SPLITS = ("train", "validation", "test")
FOUND = [("label", np.int64), ("offset", np.int64), ("length", np.int64), ("height", np.int32), ("width", np.int32)]


def table(rows: Iterable[tuple[int, int, int, str]]) -> np.ndarray:
    """An index of (label, offset, length, name) rows."""
    listed = [(label, offset, length, 0, 0, name.encode()) for label, offset, length, name in rows]
    longest = max(len(row[-1]) for row in listed)
    return np.array(listed, dtype=[*FOUND, ("name", f"S{longest}")])


def scan(archive: Path) -> dict[str, tuple[int, int]]:
    """Name -> (offset, length) of each file in an uncompressed tar; only the headers are read."""
    found = {}
    with tarfile.open(archive, "r:", encoding="utf-8") as opened:
        for member in opened:
            found[member.name] = (member.offset_data, member.size)
            opened.members.clear()  # a million of them would fill the memory
    return found


def save(dataset: Dataset, folder: Path, *, validation: int, workers: int) -> dict:
    """Decode every image of `Files` once to see that it can be, split and measure; store archive and index.

    Returns the facts that follow from the images. Mean, std and mean image are exact over the centres (`form`) of the images that
    train. Raises UserError naming images that cannot be read.
    """
    archive, form, train = dataset.train.archive, dataset.train.form, dataset.train.table
    held_out = validation_indices(train["label"], validation, len(dataset.class_names))
    both = np.concatenate([train, dataset.test.table])
    counted = np.arange(len(both)) < len(train)
    counted[held_out] = False
    found = inspect(archive, both, form, counted=counted, workers=workers)
    found.refuse_broken()
    splits = dict(zip(SPLITS, (found.table[counted], found.table[held_out], found.table[len(train) :]), strict=True))
    digests = (found.digests[counted], found.digests[held_out], found.digests[len(train) :])
    index = splits | {_digests_of(split): rows for split, rows in zip(SPLITS, digests, strict=True)}
    index[MEAN_IMAGE] = found.pixel_sums / counted.sum() / 255
    listed = stored.save(folder, index)
    _link_or_copy(archive, folder / ARCHIVE)
    mean, std = mean_and_std(found.histograms)
    return {
        "image_shape": [form.channels, form.image_size, form.image_size],
        **{split: len(rows) for split, rows in splits.items()},
        "mean": mean,
        "std": std,
        "stored": "files",
        "resize": form.resize,
        "checksum": _checksum(form, found, splits),
        "files": listed,
    }


def load(folder: Path, facts: dict) -> dict[str, Files | None]:
    """The splits that `save` stored; one without images is None. Raises what `stored.load` raises, or ValueError, if damaged.

    An image is verified when it is decoded: reading all of them here would take longer than many an epoch.
    """
    channels, side, _ = facts["image_shape"]
    form, archive = Form(side, facts["resize"], channels), folder / ARCHIVE
    names = [*SPLITS, *map(_digests_of, SPLITS), MEAN_IMAGE]
    index = stored.load(folder, names, facts["files"])
    size = archive.stat().st_size
    for split in SPLITS:
        rows = index[split]
        if any((rows["offset"] + rows["length"]) > size):
            raise ValueError(f"{archive} is shorter than its index says")
    kept = {split: (form, index[split], index[_digests_of(split)], index[MEAN_IMAGE]) for split in SPLITS if len(index[split])}
    return {split: Files(archive, *kept[split]) if split in kept else None for split in SPLITS}


def _digests_of(split: str) -> str:
    """The array with the sha256 of each image of a split."""
    return f"{split}_digests"


def _link_or_copy(archive: Path, target: Path) -> None:
    """The same file in two places: linked where the file system can, else copied."""
    target.unlink(missing_ok=True)
    try:
        os.link(archive.resolve(), target)
    except OSError:
        shutil.copyfile(archive, target)


def _checksum(form: Form, found: Inspection, splits: dict[str, np.ndarray]) -> str:
    """Covers the encoded bytes in order, labels, split and form, and the decoded values, which another decoder would change."""
    digest = hashlib.sha256(json.dumps(asdict(form), sort_keys=True).encode())
    digest.update(found.digests.tobytes())
    for split, rows in splits.items():
        digest.update(split.encode() + np.ascontiguousarray(rows["label"]).tobytes() + b"\n".join(rows["name"]))
    digest.update(found.histograms.tobytes())
    return digest.hexdigest()
