"""A user's own images: `train/<class>/` and `test/<class>/` in a folder or an archive."""

import hashlib
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from PIL import Image

from reslab.config.schema import Size
from reslab.data.datasets.archives import is_url, locate, members, pack, repack
from reslab.data.decode import Form, decode
from reslab.data.prepared.files import ARCHIVE, scan, table
from reslab.data.prepared.splits import Arrays, Dataset, Files
from reslab.errors import UserError, located

LAYOUT = "expected train/<class>/<image> and test/<class>/<image>"


class ImageFolder:
    """Images of any format PIL reads, resized to `image_size` where they differ.

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

    def fetch(self) -> None:
        """Check the source and put one archive into the raw folder; raises UserError naming what is wrong."""
        source = self._download() if is_url(self.source) else locate(self.source)
        if self.sha256 is not None:
            _check_sha256(source, self.sha256)
        if self.stored == "files":
            with repack(_image_members(source), self.raw / ARCHIVE) as names:
                _check_classes(source, names)
            if source.parent == self.raw:
                source.unlink()
            return
        names = [name for name, _ in _image_members(source)]  # reads it whole: damage is found before anything is stored
        _check_classes(source, names)
        self.raw.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            pack(source, self.raw / "images.tar", names)
            return
        if source.parent != self.raw:
            shutil.copyfile(source, self.raw / source.name)

    def _download(self) -> Path:
        from torchvision.datasets.utils import download_url

        try:
            download_url(self.source, self.raw)
        except (OSError, RuntimeError, ValueError) as error:
            raise UserError(f"{self.source}: download failed ({error})") from error
        return self.raw / self.source.rsplit("/", 1)[1]

    def read(self) -> Dataset:
        """Decode every image of the fetched archive, or with `stored: files` only index it.

        Raises UserError naming an image that cannot be read; files are decoded when they are stored.
        """
        (archive,) = self.raw.iterdir()
        if self.stored == "files":
            return self._index(archive)
        size = (self.form.image_size, self.form.image_size)
        with located(archive):
            decoded = {
                name: decode(content, size=size, channels=self.form.channels, name=str(name))
                for name, content in _image_members(archive)
            }
        class_names = _class_names(decoded)
        splits = []
        for split in ("train", "test"):
            names = _names(decoded, split)
            labels = np.array([class_names.index(_parts(name)[1]) for name in names], dtype=np.int64)
            splits.append(Arrays(np.stack([decoded.pop(name) for name in names]), labels))
        return Dataset(*splits, class_names=class_names)

    def _index(self, archive: Path) -> Dataset:
        places = {PurePosixPath(name): place for name, place in scan(archive).items()}
        class_names = _class_names(places)
        numbers = {name: number for number, name in enumerate(class_names)}
        tables = [
            table((numbers[_parts(name)[1]], *places[name], str(name)) for name in _names(places, split))
            for split in ("train", "test")
        ]
        return Dataset(*(Files(archive, self.form, rows) for rows in tables), class_names=class_names)


def _class_names(names: Iterable[PurePosixPath]) -> list[str]:
    return sorted({_parts(name)[1] for name in names})


def _names(names: Iterable[PurePosixPath], split: str) -> list[PurePosixPath]:
    """The names of a split in its order: by path."""
    return sorted(name for name in names if _parts(name)[0] == split)


def _image_members(source: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    """The members that lie in a split's class folder and are named like an image."""
    for name, content in members(source):
        if _parts(name) and is_image(name):
            yield name, content


def is_image(name: PurePosixPath) -> bool:
    """Whether it is named like an image of a format that PIL reads."""
    Image.init()
    return name.suffix.lower() in Image.EXTENSION


def _parts(name: PurePosixPath) -> tuple[str, str] | None:
    """(split, class) of a member such as anything/train/cat/0001.png, or None."""
    parts = name.parts
    for position, part in enumerate(parts[:-2]):
        if part in ("train", "test"):
            return part, parts[position + 1]
    return None


def _check_classes(source: Path, names: list[PurePosixPath]) -> None:
    classes = {split: {_parts(name)[1] for name in names if _parts(name)[0] == split} for split in ("train", "test")}
    for split, found in classes.items():
        if not found:
            raise UserError(f"{source}: no images in {split}/; {LAYOUT}")
    if len(classes["train"]) < 2:
        raise UserError(f"{source}: only one class in train/ ({', '.join(classes['train'])}); at least two are needed")
    if classes["train"] != classes["test"]:
        odd = ", ".join(sorted(classes["train"] ^ classes["test"])[:5])
        raise UserError(f"{source}: train/ and test/ must hold the same classes; only in one of them: {odd}")


def _check_sha256(path: Path, expected: str) -> None:
    if not path.is_file():
        raise UserError(f"{path}: dataset.sha256 needs an archive; this is not a file")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected.lower():
        raise UserError(f"{path.name}: sha256 is {found}, dataset.sha256 says {expected}; fetch the right file")
