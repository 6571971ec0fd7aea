"""Real JPEG files to train on: smooth random pictures, one colour range a class."""

import io
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from reslab.config.schema import bind
from reslab.data import prepared
from reslab.data.datasets import DATASETS
from reslab.data.prepared import Prepared

CLASSES = ("cat", "dog")


def jpeg(seed: int, size: tuple[int, int], shade: int = 0) -> bytes:
    """A picture of `size` = (width, height) with some structure in it."""
    coarse = np.random.default_rng(seed).integers(shade, shade + 128, (6, 6, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(out, "JPEG", quality=90)
    return out.getvalue()


def stored(form: str, image: Image.Image, orientation: int | None) -> bytes:
    """An image as a camera stores it: its pixels as they lie, and how to turn them."""
    out, exif = io.BytesIO(), Image.Exif()
    if orientation is not None:
        exif[ExifTags.Base.Orientation] = orientation
    lossless = {"lossless": True} if form == "WEBP" else {}
    image.save(out, form, exif=exif, **lossless)
    return out.getvalue()


def write_pictures(folder: Path, *, train: int = 24, test: int = 10, sizes: tuple = ((48, 40), (40, 56), (33, 33))) -> Path:
    """`train/<class>/` and `test/<class>/` with JPEGs of several sizes, (width, height)."""
    for split, count in (("train", train), ("test", test)):
        for i in range(count):
            path = folder / split / CLASSES[i % 2] / f"{i:04}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(jpeg(i + 1000 * (split == "test"), sizes[i % len(sizes)], 127 * (i % 2)))
    return folder


def prepare(source: Path, work: Path, *, validation: int = 0, workers: int = 1, **options) -> Prepared:
    """A folder or archive of images fetched and preprocessed below `work`, of 32 pixels unless `options` says otherwise."""
    spec = {"name": "image_folder", "source": str(source), "image_size": 32} | options
    dataset = bind(DATASETS, spec, "dataset")(work / "raw")
    dataset.fetch()
    prepared.save(dataset.read(), work / "prepared", name="image_folder", validation=validation, workers=workers)
    return prepared.load(work / "prepared")
