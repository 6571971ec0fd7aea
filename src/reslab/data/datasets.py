"""The datasets by name. Each entry is called as `DATASETS[name](raw_folder, **options)` and has fetch() and read()."""

import gzip
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from reslab.data.archives import is_url, locate, members
from reslab.data.image_folder import ImageFolder
from reslab.data.images import Images
from reslab.errors import UserError, first_line

# md5 of the unpacked canonical files: whoever re-packs them changes the .gz, not these bytes.
UNPACKED_MD5 = {
    "mnist": {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
}
DIGITS_SHA256 = "87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826"


class Digits:
    """1,797 handwritten digits of 8x8 pixels that ship with scikit-learn (UCI optdigits, test part); nothing is downloaded.

    Pixels 0..16 become 0..255. The set has no split of its own: 360 images, stratified by class, are the test set.
    """

    def __init__(self, raw: Path) -> None:
        self.raw = raw

    def fetch(self) -> None:
        """Copy the images out of scikit-learn; raises UserError if they are not the 1,797 known ones."""
        from sklearn.datasets import load_digits

        data = load_digits()
        images, labels = data.images.astype(np.uint8), data.target.astype(np.int64)
        _check_digits(images, labels)
        self.raw.mkdir(parents=True, exist_ok=True)
        np.save(self.raw / "images.npy", images)
        np.save(self.raw / "labels.npy", labels)

    def read(self) -> Images:
        """Images uint8 (N, 1, 8, 8), split 1,437 / 360."""
        from sklearn.model_selection import train_test_split

        images = np.rint(np.load(self.raw / "images.npy") * (255 / 16)).astype(np.uint8)[:, None]
        labels = np.load(self.raw / "labels.npy")
        train, test = train_test_split(np.arange(len(labels)), test_size=360, stratify=labels, random_state=0)
        names = [str(digit) for digit in range(10)]
        return Images(images[train], labels[train], images[test], labels[test], names)


def _check_digits(images: np.ndarray, labels: np.ndarray) -> None:
    digest = hashlib.sha256(images.tobytes() + labels.astype(np.uint8).tobytes()).hexdigest()
    if digest != DIGITS_SHA256:
        raise UserError(f"digits: scikit-learn's images have sha256 {digest}, expected {DIGITS_SHA256}; reinstall scikit-learn")


class TorchvisionDataset:
    """A dataset that torchvision downloads, verifies and parses; `source` replaces the download.

    `source` is a folder or an archive that holds the original files (packed or unpacked), or the URL of a mirror.
    """

    def __init__(self, raw: Path, name: str, class_name: str, source: str | None) -> None:
        self.raw, self.name, self.class_name, self.source = raw, name, class_name, source

    def fetch(self) -> None:
        """Put the original files, checksums verified, into the raw folder; raises UserError naming a bad or missing file."""
        kind, local = self._kind(), self.source is not None and not is_url(self.source)
        if local:
            _copy_verified(locate(self.source), self.raw, _wanted(kind, self.name))
        elif self.source:
            kind = _at_mirror(kind, self.source)
        try:
            for train in (True, False):
                kind(self.raw, train=train, download=not local)
        except (OSError, RuntimeError, ValueError) as error:
            missing = next((target.name for target in _wanted(kind, self.name) if not (self.raw / target).exists()), "a file")
            raise UserError(
                f"{self.name}: {missing} not to be had from {self.source or 'its own site'} ({first_line(error)}); "
                "set dataset.source to a folder or archive with the original files, or to a mirror's URL"
            ) from error
        for packed in self.raw.rglob("*.gz"):  # torchvision keeps both forms; one is enough for DVC
            packed.unlink()

    def _kind(self) -> Any:
        from torchvision import datasets

        return getattr(datasets, self.class_name)

    def read(self) -> Images:
        """Images uint8 (N, C, H, W) in the dataset's own order and split."""
        parts = [self._kind()(self.raw, train=train) for train in (True, False)]
        images = [_channels_first(np.asarray(part.data)) for part in parts]
        labels = [np.asarray(part.targets, dtype=np.int64) for part in parts]
        return Images(images[0], labels[0], images[1], labels[1], list(parts[0].classes))


def _at_mirror(kind: Any, source: str) -> Any:
    """The torchvision class under its own name, with another download address."""
    base = source.rstrip("/") + "/"
    address = {"mirrors": [base]} if hasattr(kind, "mirrors") else {"url": base + kind.filename}
    return type(kind.__name__, (kind,), address)


def _channels_first(images: np.ndarray) -> np.ndarray:
    return images[:, None] if images.ndim == 3 else np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def _wanted(kind: Any, name: str) -> dict[PurePosixPath, tuple[str | None, str | None]]:
    """Target -> (md5 of the unpacked file, md5 of its .gz) for every file that torchvision's class needs."""
    if hasattr(kind, "resources"):
        unpacked = UNPACKED_MD5.get(name, {})
        folder = PurePosixPath(kind.__name__, "raw")
        return {
            folder / packed.removesuffix(".gz"): (unpacked.get(packed.removesuffix(".gz")), md5) for packed, md5 in kind.resources
        }
    listed = [*kind.train_list, *kind.test_list, (kind.meta["filename"], kind.meta["md5"])]
    return {PurePosixPath(kind.base_folder, file): (md5, None) for file, md5 in listed}


def _copy_verified(source: Path, raw: Path, wanted: dict[PurePosixPath, tuple[str | None, str | None]]) -> None:
    """Copy the wanted files from a folder or archive, unpacking .gz, each only if its checksum is right.

    A folder may also hold the original archive (cifar-10-python.tar.gz); it is read in place.
    """
    found = set()
    for name, content in _members_and_nested(source):
        for target, checksums in wanted.items():
            if name.name.removesuffix(".gz") == target.name and target not in found:
                (raw / target).parent.mkdir(parents=True, exist_ok=True)
                (raw / target).write_bytes(_unpack_verified(source, name, content, *checksums))
                found.add(target)
    missing = sorted(target.name for target in set(wanted) - found)
    if missing:
        raise UserError(f"{source}: missing {', '.join(missing)} (packed as .gz or not)")


def _members_and_nested(source: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    nested = sorted(source.glob("*-python.tar.gz")) if source.is_dir() else []
    for path in nested or [source]:
        yield from members(path)


def _unpack_verified(source: Path, name: PurePosixPath, content: bytes, unpacked_md5: str | None, packed_md5: str | None) -> bytes:
    """The unpacked content; raises UserError unless its md5, or that of the .gz it came in, is the published one."""
    packed = content
    if name.suffix == ".gz":
        try:
            content = gzip.decompress(packed)
        except (OSError, EOFError) as error:
            raise UserError(f"{source}: {name} is damaged or truncated ({error}); fetch it again") from error
    known = {(unpacked_md5, hashlib.md5(content).hexdigest()), (packed_md5, hashlib.md5(packed).hexdigest())}
    if not any(expected == found for expected, found in known):
        raise UserError(f"{source}: {name} is not the original file (its checksum differs from the published one); refused")
    return content


def _torchvision(name: str, class_name: str) -> Callable[..., TorchvisionDataset]:
    def dataset(raw: Path, *, source: str | None = None) -> TorchvisionDataset:
        return TorchvisionDataset(raw, name, class_name, source)

    dataset.__name__ = name
    return dataset


DATASETS = {
    "digits": Digits,
    "mnist": _torchvision("mnist", "MNIST"),
    "fashion_mnist": _torchvision("fashion_mnist", "FashionMNIST"),
    "kmnist": _torchvision("kmnist", "KMNIST"),
    "cifar10": _torchvision("cifar10", "CIFAR10"),
    "cifar100": _torchvision("cifar100", "CIFAR100"),
    "image_folder": ImageFolder,
}
