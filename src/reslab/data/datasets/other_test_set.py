"""Another test set of the same classes: a folder or an archive of images, or a pair of .npy files (as CIFAR-10.1 comes)."""

from pathlib import Path, PurePosixPath
from reprlib import repr as short

import numpy as np

from reslab.data.datasets.archives import members
from reslab.data.datasets.image_folder import decode, is_image
from reslab.data.prepared.splits import Arrays
from reslab.errors import UserError, located


def read(source: Path, *, image_shape: list[int], class_names: list[str], labels: Path | None = None) -> Arrays:
    """Images and labels for a network that takes `image_shape` = [C, H, W] and answers with `class_names`.

    `source` holds <class>/<image> in a folder or an archive, at any depth, resized where they differ; or it is a .npy of images
    uint8 (N, H, W, C), (N, C, H, W) or, grey, (N, H, W), with `labels`, a .npy of whole numbers that count the classes from 0.
    Raises UserError naming what does not fit.
    """
    if source.suffix == ".npy":
        if labels is None:
            raise UserError(f"{source}: labels missing; give them as a second .npy file")
        return Arrays(_images(source, image_shape), _labels(labels, len(class_names), len(_load(source))))
    if labels is not None:
        raise UserError(f"{labels}: labels are for images in a .npy file; in {source} the folder names are the classes")
    return _folder(source, image_shape, class_names)


def _folder(source: Path, image_shape: list[int], class_names: list[str]) -> Arrays:
    channels, *size = image_shape
    found = [(name, content) for name, content in members(source) if is_image(name)]
    with located(source):
        _check_classes({_class(name) for name, _ in found}, class_names)
        decoded = {name: decode(content, size=tuple(size), channels=channels, name=str(name)) for name, content in found}
    names = sorted(decoded)
    labels = np.array([class_names.index(_class(name)) for name in names], dtype=np.int64)
    return Arrays(np.stack([decoded[name] for name in names]), labels)


def _class(name: PurePosixPath) -> str:
    return name.parent.name


def _check_classes(found: set[str], expected: list[str]) -> None:
    if not found:
        raise UserError("no images; expected <class>/<image>")
    if found != set(expected):
        odd, missing = sorted(found - set(expected)), sorted(set(expected) - found)
        differences = [f"unknown: {short(odd)}"] if odd else []
        differences += [f"missing: {short(missing)}"] if missing else []
        raise UserError(f"the folder names must be the network's classes, {short(expected)}; {', '.join(differences)}")


def _load(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False, mmap_mode="r")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (ValueError, EOFError, OSError) as error:
        raise UserError(f"{path}: not an array of numbers ({error})") from error


def _images(path: Path, image_shape: list[int]) -> np.ndarray:
    images, (channels, height, width) = _load(path), image_shape
    if images.dtype != np.uint8:
        raise UserError(f"{path}: numbers of type {images.dtype}; expected uint8, pixels from 0 to 255")
    if images.shape[1:] == (channels, height, width):
        return np.array(images)
    if images.shape[1:] == (height, width, channels):
        return np.array(images.transpose(0, 3, 1, 2), order="C")
    if channels == 1 and images.shape[1:] == (height, width):
        return np.array(images[:, None])
    forms = f"(N, {height}, {width}, {channels}) or (N, {channels}, {height}, {width})"
    raise UserError(f"{path}: an array of shape {images.shape}; the network takes {forms}")


def _labels(path: Path, classes: int, images: int) -> np.ndarray:
    labels = _load(path)
    if labels.shape != (images,) or not np.issubdtype(labels.dtype, np.integer):
        raise UserError(f"{path}: {labels.dtype} of shape {labels.shape}; expected a whole number for each of {images} images")
    if images == 0 or labels.min() < 0 or labels.max() >= classes:
        raise UserError(f"{path}: labels must be from 0 to {classes - 1}, at least one")
    return np.array(labels, dtype=np.int64)
