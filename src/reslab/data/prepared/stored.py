"""Arrays on disk, each a .npy file that is verified before it is read."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from reslab.environment import memory_bytes
from reslab.runs import checksums


def save(folder: Path, arrays: dict[str, np.ndarray]) -> dict[str, str]:
    """Write each array to <name>.npy in a folder; return the files' checksums by name."""
    folder.mkdir(parents=True, exist_ok=True)
    listed = {}
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
        listed[f"{name}.npy"] = checksums.of_file(folder / f"{name}.npy")
    return listed


def load(folder: Path, names: Iterable[str], listed: dict[str, str]) -> dict[str, np.ndarray]:
    """The arrays of these names; raises OSError for a missing file, ValueError for one whose checksum is not the one listed."""
    return {name: _read(folder / f"{name}.npy", listed[f"{name}.npy"]) for name in names}


def checksum(arrays: dict[str, np.ndarray]) -> str:
    """The sha256 of arrays with their names, types and shapes, in hex."""
    digest = hashlib.sha256()
    for key in sorted(arrays):
        digest.update(f"{key} {arrays[key].dtype} {arrays[key].shape}".encode())
        digest.update(np.ascontiguousarray(arrays[key]).data)
    return digest.hexdigest()


def _read(path: Path, expected: str) -> np.ndarray:
    if path.exists() and not path.is_file():
        raise ValueError(f"{path.name} is no plain file")
    if path.stat().st_size > memory_bytes():  # to read a sparse terabyte would take minutes
        raise ValueError(f"{path.name} is larger than this machine's memory")
    if checksums.of_file(path) != expected:
        raise ValueError(f"the checksum of {path.name} differs")
    return np.load(path, allow_pickle=False)
