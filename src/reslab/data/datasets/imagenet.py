"""ImageNet of ILSVRC 2012 (Russakovsky et al. 2015), from its official archives or from folders of classes."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from reslab.config.schema import Size
from reslab.data.datasets import equal_files, ilsvrc
from reslab.data.datasets.archives import Source, locate, look_into
from reslab.data.datasets.equal_files import EqualFiles
from reslab.data.datasets.image_folder import FOUND, ImageFolder, check_classes, places_of
from reslab.data.datasets.left_out import LeftOut
from reslab.data.datasets.long_copy import LongCopy
from reslab.data.datasets.places import SPLITS
from reslab.data.prepared.files import ARCHIVE
from reslab.data.sizes import SIZES
from reslab.errors import UserError, located

PART = "set dataset.complete: false for a part of ImageNet"


@dataclass(frozen=True)
class Found:
    """What there is to copy.

    `key` stands for its content, `size` is its bytes; `images(n)` are all but the first n, `place` is the split and class of a
    name; `published` has the MD5 of archives.
    """

    key: str
    size: int
    images: Callable[[int], Iterable[tuple[str, bytes]]]
    place: Callable[[str], tuple[str, str]]
    published: dict[Path, str]
    left_out: LeftOut


class ImageNet(ImageFolder):
    """ImageNet's training images, and its validation images as the test split, at `image_size`; they stay encoded on disk.

    `source` is a folder with the three official archives (ILSVRC2012_img_train.tar, ILSVRC2012_img_val.tar and
    ILSVRC2012_devkit_t12.tar.gz), or with train/<class>/ and val/<class>/. Classes are numbered in the order of their WordNet
    ids. With `complete`, archives must have the published MD5, and folders the published numbers of images and classes.
    """

    def __init__(
        self, raw: Path, *, source: str, image_size: Size = 224, resize: Size | None = None, complete: bool = True
    ) -> None:
        super().__init__(raw, source=source, image_size=image_size, stored="files", resize=resize)
        self.complete = complete

    def fetch(self) -> list[str]:
        """Copy the images into one tar in the raw folder, and say what was found; a copy that was interrupted is continued.

        Raises UserError naming what is missing, damaged or not as published.
        """
        folder = locate(self.source)
        found = self._found(folder)
        equal, places = EqualFiles(), {}
        with LongCopy(found.key, found.size, self.raw / ARCHIVE) as copy:
            if self.complete:
                copy.verify(found.published, PART)
            for name, _ in equal.watched(copy.through(found.images)):
                places[name] = found.place(name)
            with located(folder), copy.published():
                check_classes(places)
        facts = {"left_out": found.left_out.facts(), "equal_files": equal.facts(places)}
        (self.raw / FOUND).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        train = sum(split == "train" for split, _ in places.values())
        counts = f"{train:,} train and {len(places) - train:,} validation images (the test split)"
        classes = len({class_name for _, class_name in places.values()})
        return [
            f"{folder.name}: {counts} of {classes:,} classes",
            *found.left_out.lines(),
            *equal_files.lines(facts["equal_files"]),
        ]

    def _found(self, folder: Path) -> Found:
        there = {name: (folder / name).is_file() for name in ilsvrc.MD5}
        if not any(there.values()):
            return self._folders(folder)
        if not all(there.values()):
            missing = ", ".join(name for name, found in there.items() if not found)
            raise UserError(f"{folder}: no {missing}; the official ImageNet is {', '.join(there)}")
        published = {folder / name: md5 for name, md5 in ilsvrc.MD5.items()}
        stats = {path: path.stat() for path in published}
        key = "\n".join(f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}" for path, stat in stats.items())
        size = sum(stat.st_size for stat in stats.values())
        return Found(key, size, lambda skip: ilsvrc.images(folder, skip), ilsvrc.place, published, LeftOut())

    def _folders(self, folder: Path) -> Found:
        with located(folder):
            source = _with_test(look_into(folder))
            places, left_out = places_of(source)
            if self.complete:
                _check_counts(places)
        names = sorted(places)
        sizes = {name: source.entries[source.tree.files[name]].size for name in names}
        key = "\n".join([str(folder.resolve()), *(f"{name} {size}" for name, size in sizes.items())])
        return Found(key, sum(sizes.values()), lambda skip: source.contents(names[skip:]), places.__getitem__, {}, left_out)


def _with_test(source: Source) -> Source:
    """A folder whose val/ is called test/, as the held-out split is here."""
    files = {_test_for_val(name): number for name, number in source.tree.files.items()}
    folders = {_test_for_val(name) for name in source.tree.folders}
    return replace(source, tree=replace(source.tree, files=files, folders=folders))


def _test_for_val(name: str) -> str:
    parts = name.split("/")
    first = next((number for number, part in enumerate(parts) if part in (*SPLITS, "val")), None)
    if first is not None and parts[first] == "val":
        parts[first] = "test"
    return "/".join(parts)


def _check_counts(places: dict[str, tuple[str, str]]) -> None:
    published = SIZES["imagenet"]
    found = {split: sum(place[0] == split for place in places.values()) for split in SPLITS}
    found["classes"] = len({place[1] for place in places.values()})
    if odd := [key for key in found if found[key] != published[key]]:
        told = ", ".join(f"{found[key]:,} {key} instead of {published[key]:,}" for key in odd)
        raise UserError(f"not the whole ImageNet: {told}; {PART}")
