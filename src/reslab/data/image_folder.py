"""A user's own images: `train/<class>/` and `test/<class>/` in a folder or an archive."""

import hashlib
import io
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from PIL import Image, UnidentifiedImageError

from reslab.data.archives import is_url, locate, members, pack
from reslab.data.images import Images
from reslab.errors import UserError, located
from reslab.schema import Size

LAYOUT = "expected train/<class>/<image> and test/<class>/<image>"


class ImageFolder:
    """Images of any format PIL reads, resized to `image_size` where they differ.

    Arguments: `source`, a folder, a .tar, .tar.gz, .tar.xz, .zip, or the URL of such an archive; `channels`, 3 (RGB) or 1
    (grey); `sha256` of the archive, checked if given.
    """

    def __init__(self, raw: Path, *, source: str, image_size: Size, channels: Literal[1, 3] = 3, sha256: str | None = None) -> None:
        self.raw, self.source, self.sha256 = raw, source, sha256
        self.image_size, self.channels = image_size, channels

    def fetch(self) -> None:
        """Check the source and put one archive into the raw folder; raises UserError naming what is wrong."""
        source = self._download() if is_url(self.source) else locate(self.source)
        if self.sha256 is not None:
            _check_sha256(source, self.sha256)
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

    def read(self) -> Images:
        """Decode every image of the fetched archive; raises UserError naming an image that cannot be read."""
        (archive,) = self.raw.iterdir()
        size = (self.image_size, self.image_size)
        with located(archive):
            decoded = {
                name: decode(content, size=size, channels=self.channels, name=str(name))
                for name, content in _image_members(archive)
            }
        class_names = sorted({_parts(name)[1] for name in decoded})
        arrays = []
        for split in ("train", "test"):
            names = sorted(name for name in decoded if _parts(name)[0] == split)
            arrays.append(np.stack([decoded.pop(name) for name in names]))
            arrays.append(np.array([class_names.index(_parts(name)[1]) for name in names], dtype=np.int64))
        return Images(*arrays, class_names=class_names)


def decode(content: bytes, *, size: tuple[int, int], channels: int, name: str) -> np.ndarray:
    """An image file as uint8 (channels, height, width), resized to `size` = (height, width) if it differs.

    Channels: 3 (RGB) or 1 (grey). Raises UserError with `name` if it cannot be read.
    """
    height, width = size
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = _eight_bits(Image.open(io.BytesIO(content))).convert("RGB" if channels == 3 else "L")
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError, Warning) as error:
        reason = "no image format" if isinstance(error, UnidentifiedImageError) else error  # PIL's text names a buffer
        raise UserError(f"cannot read image {name!r} ({reason}); remove or mend it") from error
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(image).reshape(height, width, channels)
    return np.array(pixels.transpose(2, 0, 1), order="C")  # a copy: PIL's own pixels are read-only


def _eight_bits(image: Image.Image) -> Image.Image:
    """A 16-bit grey image scaled to 8 bits, where PIL would clip it to white; raises ValueError for 32-bit pixels."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"pixels of 32 bits (mode {image.mode}); save it with 8 or 16 bits")
    return image


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
        raise UserError(f"{path}: dataset.sha256 is for an archive, and this is none")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected.lower():
        raise UserError(f"{path.name}: sha256 is {found}, dataset.sha256 says {expected}; fetch the right file")
