"""A user's own images: `train/<class>/` and `test/<class>/` in a folder or an archive."""

import json
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from tarfile import TarError
from typing import Literal

import numpy as np

from reslab.config.schema import Size
from reslab.data.datasets import equal_files
from reslab.data.datasets.addresses import local_copy
from reslab.data.datasets.archives import Source, look_into, repack
from reslab.data.datasets.equal_files import EqualFiles
from reslab.data.datasets.left_out import LeftOut, empty_classes, images_in
from reslab.data.datasets.places import SPLITS, Layout, split_layout
from reslab.data.form import Form
from reslab.data.prepared.files import ARCHIVE, scan, table
from reslab.data.prepared.splits import Arrays, Dataset, Files
from reslab.errors import UserError, first_line, located, shown
from reslab.runs import checksums

LAYOUT = "expected train/<class>/<image> and test/<class>/<image>"
FOUND = "found.json"  # beside the archive: what fetch left out, and equal files


class ImageFolder:
    """Images (PNG, JPEG, TIFF, WebP, GIF, BMP, PPM, JPEG 2000, AVIF), upright as EXIF says, resized to `image_size` if they differ.

    Arguments: `source`, a folder, a .tar, .tar.gz, .tar.xz, .zip, or the URL of such an archive; `channels`, 3 (RGB) or 1
    (grey); `sha256` of the archive, checked if given. `stored`: pixels, all of them decoded in memory, or files, which stay encoded
    and are decoded in each epoch; then `resize` is the shorter side of the image whose centre is evaluated (default: 8/7 of
    `image_size`, as 256 for 224).
    """

    def __init__(
        self,
        raw: Path,
        *,
        source: str,
        image_size: Size,
        channels: Literal[1, 3] = 3,
        sha256: str | None = None,
        stored: Literal["pixels", "files"] = "pixels",
        resize: Size | None = None,
    ) -> None:
        self.raw, self.source, self.sha256, self.stored = raw, source, sha256, stored
        self.form = Form(image_size, resize or image_size * 8 // 7, channels)
        if resize is not None and stored == "pixels":
            raise UserError("resize is for stored: files; stored pixels are resized to image_size")
        if self.form.resize < image_size:
            raise UserError(f"resize {resize} is not allowed: at least image_size, {image_size}")

    def fetch(self) -> list[str]:
        """Put the images of the source into one tar in the raw folder, and say what was found.

        Raises UserError naming what is wrong; then nothing is stored.
        """
        with local_copy(self.source, self.raw) as path:
            if self.sha256 is not None:
                _check_sha256(path, self.sha256)
            source = look_into(path)
            with located(path):
                places, left_out = places_of(source)
            equal = EqualFiles()
            files = left_out.watched(source.contents(sorted(places)))
            with repack(equal.watched(files), self.raw / ARCHIVE):
                found = {"left_out": left_out.facts(), "equal_files": equal.facts(places)}
            (self.raw / FOUND).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        counts = ", ".join(f"{sum(place[0] == split for place in places.values()):,} {split}" for split in SPLITS)
        classes = len({place[1] for place in places.values()})
        taken = f"{path.name}: {counts} images of {classes} classes, numbered in the order of their names"
        return [taken, *left_out.lines(), *equal_files.lines(found["equal_files"])]

    def read(self) -> Dataset:
        """Decode every image of the fetched archive, or with `stored: files` only index it.

        Raises UserError naming an image that cannot be read; files are decoded when they are stored.
        """
        archive = self.raw / ARCHIVE
        try:
            stored, positions = json.loads((self.raw / FOUND).read_text(encoding="utf-8")), scan(archive)
            found = {key: dict(stored[key]) for key in ("left_out", "equal_files")}
        except (OSError, ValueError, KeyError, TypeError, TarError) as error:
            raise UserError(
                f"{self.raw}: fetched images missing or damaged ({first_line(error)}); run `dvc repro -f fetch`"
            ) from error
        with located(archive):
            layout = _layout(positions)
            places = {name: layout.place(name) for name in sorted(positions)}
            class_names = sorted({place[1] for place in places.values()})
            numbers = {name: number for number, name in enumerate(class_names)}
            splits = []
            for split in SPLITS:
                rows = [(numbers[place[1]], *positions[name], name) for name, place in places.items() if place[0] == split]
                files = Files(archive, self.form, table(rows))
                splits.append(files if self.stored == "files" else self._decoded(files))
        return Dataset(*splits, class_names=class_names, found=found)

    def _decoded(self, files: Files) -> Arrays:
        """Whole images, resized."""
        from reslab.data.decode import decode

        side, channels = self.form.image_size, self.form.channels
        images = np.empty((len(files), channels, side, side), dtype=np.uint8)
        for number, (name, content) in enumerate(files.contents(range(len(files)))):
            images[number] = decode(content, size=(side, side), channels=channels, name=name)
        return Arrays(images, files.labels)


def places_of(source: Source) -> tuple[dict[str, tuple[str, str]], LeftOut]:
    """The images that are taken with their split and class, and what is left out; raises UserError for classes that do not fit."""
    images, left_out = images_in(source)
    layout = _layout(images)
    places = {}
    for name in images:
        if place := layout.place(name):
            places[name] = place
        else:
            left_out.add("images in no class folder of train/ or test/", name)
    for folder in empty_classes(source, layout, places):
        left_out.add("class folders without images", folder)
    check_classes(places)
    return places, left_out


def _layout(images: Iterable[str]) -> Layout:
    found = split_layout(images)
    return found[0] if found else Layout("", True)


def check_classes(places: dict[str, tuple[str, str]]) -> None:
    """Raise UserError unless train and test have the same classes, at least two."""
    classes = {split: {place[1] for place in places.values() if place[0] == split} for split in SPLITS}
    for split, found in classes.items():
        if not found:
            raise UserError(f"no images in {split}/; {LAYOUT}")
    _check_spelling(classes["train"] | classes["test"])  # first: below, two such names would look the same
    if classes["train"] != classes["test"]:
        odd = sorted(classes["train"] ^ classes["test"])
        some = ", ".join(shown(name)[1:-1] for name in odd[:5])
        raise UserError(f"train/ and test/ must hold the same classes; only in one of them: {some}")
    if len(classes["train"]) < 2:
        raise UserError(f"only one class in train/ ({shown(*classes['train'])[1:-1]}); at least two are needed")


def _check_spelling(classes: Iterable[str]) -> None:
    """Raise UserError for two classes whose names are the same letters in two of Unicode's forms, as macOS and Linux write them."""
    seen: dict[str, str] = {}
    for name in sorted(classes):
        if (other := seen.setdefault(unicodedata.normalize("NFC", name), name)) != name:
            raise UserError(f"the classes {other!a} and {name!a} are one name, written in two ways in Unicode; rename one")


def _check_sha256(path: Path, expected: str) -> None:
    if not path.is_file():
        raise UserError(f"{path}: dataset.sha256 needs an archive; this is not a file")
    found = checksums.of_file(path)
    if found != expected.lower():
        raise UserError(f"{path.name}: sha256 is {found}, dataset.sha256 says {expected}; fetch the right file")
