"""Another test set of the same classes: a folder or an archive of images, or a pair of .npy files (as CIFAR-10.1 comes)."""

from collections.abc import Callable
from pathlib import Path
from reprlib import repr as short

import numpy as np

from reslab.data.datasets.archives import look_into
from reslab.data.datasets.left_out import LeftOut, images_in
from reslab.data.datasets.places import Layout, flat_layout, split_layout
from reslab.data.prepared.splits import Arrays
from reslab.environment import memory_bytes
from reslab.errors import UserError, first_line, located, shown

ONLY_TRAIN = "only train/ in it; expected test/<class>/<image> or <class>/<image> (to score what trained, give train/ itself)"


def read(
    source: Path,
    *,
    image_shape: list[int],
    class_names: list[str],
    labels: Path | None = None,
    resize: int | None = None,
    say: Callable[[str], object] = lambda line: None,
) -> Arrays:
    """Images and labels for a network that takes `image_shape` = [C, H, W] and answers with `class_names`.

    `source` holds test/<class>/<image> or <class>/<image> in a folder or an archive; `say` is told what is left out, and images
    are resized where they differ, or cut as the network's dataset was with its `resize`. Or `source` is a .npy of images uint8
    (N, H, W, C), (N, C, H, W) or, grey, (N, H, W), with `labels`, a .npy of whole numbers that count the classes from 0.
    Raises UserError naming what does not fit.
    """
    if source.suffix == ".npy":
        if labels is None:
            raise UserError(f"{source}: labels missing; give them as a second .npy file")
        images = _images(source, image_shape)  # not read before there are labels for them
        numbers = _labels(labels, len(class_names), len(images))
        return Arrays(np.array(images, order="C"), numbers)
    if labels is not None:
        raise UserError(f"{labels}: labels are for images in a .npy file; in {source} the folder names are the classes")
    from reslab.data.decode import as_evaluated

    looked = look_into(source)
    with located(source):
        images, left_out = images_in(looked)
        classes = _classes(images, class_names, left_out)
        names, channels = sorted(classes), image_shape[0]
        numbers = {name: number for number, name in enumerate(names)}
        pixels = np.empty((len(names), channels, *image_shape[1:]), dtype=np.uint8)
    for name, content in left_out.watched(looked.contents(names)):
        with located(source):
            pixels[numbers[name]] = as_evaluated(content, image_shape, resize, name=name)
    for line in left_out.lines():
        say(line)
    order = {name: number for number, name in enumerate(class_names)}
    return Arrays(pixels, np.array([order[classes[name]] for name in names], dtype=np.int64))


def _classes(images: list[str], expected: list[str], left_out: LeftOut) -> dict[str, str]:
    """Image -> class, those of the test split where there are splits; raises UserError if they are not the `expected` classes."""
    layout, split = _layout(images, expected)
    classes = {}
    for name in images:
        place = layout.place(name)
        if place is None:
            left_out.add("images in no class folder", name)
        elif place[0] != split:
            left_out.add(f"images in {place[0]}/", name)
        else:
            classes[name] = place[1]
    _check_classes(set(classes.values()) or ({"."} if images else set()), expected)
    return classes


def _layout(images: list[str], expected: list[str]) -> tuple[Layout, str]:
    """The layout, and the split that is the test set."""
    found = split_layout(images)
    if found and "test" in found[1]:
        return found[0], "test"
    flat = flat_layout(images, expected)
    if found and "train" not in {place[1] for place in map(flat.place, images) if place}:  # else it is a class
        raise UserError(ONLY_TRAIN)
    return flat, ""


def _check_classes(found: set[str], expected: list[str]) -> None:
    if not found:
        raise UserError("no images; expected <class>/<image>")
    if len(set(expected)) < len(expected):
        twice = next(name for name in expected if expected.count(name) > 1)
        raise UserError(f"several of the network's classes are called {shown(twice)}; give images and labels as .npy files")
    if found != set(expected):
        odd, missing = sorted(found - set(expected)), sorted(set(expected) - found)
        differences = [f"unknown: {short(odd)}"] if odd else []
        differences += [f"missing: {short(missing)}"] if missing else []
        raise UserError(f"the folder names must be the network's classes, {short(expected)}; {', '.join(differences)}")


def _load(path: Path) -> np.ndarray:
    if not path.exists():
        raise UserError(f"{path}: no such file")
    if not path.is_file():
        raise UserError(f"{path}: not a plain file; expected a .npy file")
    try:
        array = np.load(path, allow_pickle=False, mmap_mode="r")
    except Exception as error:  # numpy reads the header as Python's own text, which fails in a dozen ways
        raise UserError(f"{path}: not an array of numbers ({first_line(error)})") from error
    if not isinstance(array, np.ndarray):
        raise UserError(f"{path}: several arrays in one file (.npz); expected one array, a .npy file")
    if array.nbytes > (memory := memory_bytes()):  # a sparse file of a terabyte takes no room on a disk
        raise UserError(f"{path}: {array.nbytes:,} bytes; this machine has a memory of {memory:,}")
    return array


def _images(path: Path, image_shape: list[int]) -> np.ndarray:
    images, (channels, height, width) = _load(path), image_shape
    if images.dtype != np.uint8:
        raise UserError(f"{path}: numbers of type {images.dtype}; expected uint8, pixels from 0 to 255")
    if images.shape[1:] == (channels, height, width):
        return images
    if images.shape[1:] == (height, width, channels):
        return images.transpose(0, 3, 1, 2)
    if channels == 1 and images.shape[1:] == (height, width):
        return images[:, None]
    forms = f"(N, {height}, {width}, {channels}) or (N, {channels}, {height}, {width})"
    raise UserError(f"{path}: an array of shape {images.shape}; the network takes {forms}")


def _labels(path: Path, classes: int, images: int) -> np.ndarray:
    labels = _load(path)
    if labels.shape != (images,) or not np.issubdtype(labels.dtype, np.integer):
        raise UserError(f"{path}: {labels.dtype} of shape {labels.shape}; expected a whole number for each of {images} images")
    if images == 0 or labels.min() < 0 or labels.max() >= classes:
        raise UserError(f"{path}: labels must be from 0 to {classes - 1}, at least one")
    return np.array(labels, dtype=np.int64)
