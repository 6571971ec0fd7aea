"""Datasets that torchvision downloads, verifies and parses."""

import gzip
import hashlib
import io
import socket
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from reslab import storage
from reslab.data.datasets.addresses import TIMEOUT, is_url, local_path, named
from reslab.data.datasets.archives import MAX_MEMBER_BYTES, look_into
from reslab.data.datasets.entries import is_hidden
from reslab.data.prepared.splits import Arrays, Dataset
from reslab.errors import UserError, first_line

# md5 of the unpacked original files: packing them again changes the .gz, not these bytes.
UNPACKED_MD5 = {
    "mnist": {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
}


class TorchvisionDataset:
    """A dataset that torchvision downloads, verifies and parses; `source` replaces the download.

    `source` is a folder or an archive that holds the original files (packed or unpacked), or the URL of a mirror.
    """

    def __init__(self, raw: Path, name: str, class_name: str, source: str | None) -> None:
        self.raw, self.name, self.class_name, self.source = raw, name, class_name, source

    def fetch(self) -> list[str]:
        """Put the original files, checksums verified, into the raw folder; there is nothing to say.

        Raises UserError naming a bad or missing file.
        """
        kind, local = self._kind(), self.source is not None and not is_url(self.source)
        if local:
            _copy_verified(local_path(self.source), self.raw, _wanted(kind, self.name))
        elif self.source:
            kind = _at_mirror(kind, self.source)
        try:
            with _impatient():
                for train in (True, False):
                    kind(self.raw, train=train, download=not local)
        except (OSError, RuntimeError, ValueError) as error:
            if storage.explained(error):
                raise
            missing = next((target.name for target in _wanted(kind, self.name) if not (self.raw / target).exists()), "a file")
            place = named(self.source) if self.source else "its official site"
            raise UserError(
                f"{self.name}: could not get {missing} from {place} ({first_line(error)}); "
                "set dataset.source to a folder or archive with the original files, or to a mirror's URL"
            ) from error
        for packed in self.raw.rglob("*.gz"):  # torchvision keeps both forms; one is enough for DVC
            packed.unlink()
        return []

    def _kind(self) -> Any:
        from torchvision import datasets

        return getattr(datasets, self.class_name)

    def read(self) -> Dataset:
        """Images uint8 (N, C, H, W) in the dataset's own order and split."""
        parts = [self._kind()(self.raw, train=train) for train in (True, False)]
        splits = [Arrays(_channels_first(np.asarray(part.data)), np.asarray(part.targets, dtype=np.int64)) for part in parts]
        return Dataset(*splits, class_names=list(parts[0].classes))


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
    for path in (sorted(source.glob("*-python.tar.gz")) if source.is_dir() else []) or [source]:
        for name, content in _named(path, {target.name for target in wanted}):
            for target, checksums in wanted.items():
                if name.removesuffix(".gz") == target.name and target not in found:
                    (raw / target).parent.mkdir(parents=True, exist_ok=True)
                    (raw / target).write_bytes(_unpack_verified(source, name, content, *checksums))
                    found.add(target)
    missing = sorted(target.name for target in set(wanted) - found)
    if missing:
        raise UserError(f"{source}: missing {', '.join(missing)} (packed as .gz or not)")


def _named(path: Path, wanted: set[str]) -> Iterator[tuple[str, bytes]]:
    """File name and content of the files below a folder or in an archive whose names are wanted, packed as .gz or not."""
    source = look_into(path)
    names = [name for name in sorted(source.tree.files) if PurePosixPath(name).name.removesuffix(".gz") in wanted]
    for name, content in source.contents(name for name in names if not is_hidden(name)):
        yield PurePosixPath(name).name, content


@contextmanager
def _impatient() -> Iterator[None]:
    """Within, a connection that is silent for a minute fails: torchvision sets no limit of its own."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _unpack_verified(source: Path, name: str, content: bytes, unpacked_md5: str | None, packed_md5: str | None) -> bytes:
    """The unpacked content; raises UserError unless its md5, or that of the .gz it came in, is the published one."""
    packed = content
    if name.endswith(".gz"):
        try:
            with gzip.open(io.BytesIO(packed)) as file:
                content = file.read(MAX_MEMBER_BYTES)  # nothing published is that long
        except (OSError, EOFError, zlib.error) as error:
            raise UserError(f"{source}: {name} is damaged or truncated ({first_line(error)}); fetch it again") from error
    known = {(unpacked_md5, hashlib.md5(content).hexdigest()), (packed_md5, hashlib.md5(packed).hexdigest())}
    if not any(expected == found for expected, found in known):
        raise UserError(f"{source}: {name} is not the original file (its checksum differs from the published one); refused")
    return content


def torchvision_dataset(name: str, class_name: str) -> Callable[..., TorchvisionDataset]:
    """An entry of DATASETS: the torchvision class `class_name` under the name that params.yaml gives it."""

    def dataset(raw: Path, *, source: str | None = None) -> TorchvisionDataset:
        return TorchvisionDataset(raw, name, class_name, source)

    dataset.__name__, dataset.__doc__ = name, f"{class_name}, as torchvision downloads, verifies and parses it."
    return dataset
