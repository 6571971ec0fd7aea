"""Whether an encoded image is still the one that preprocess read."""

import hashlib

import numpy as np

from reslab.errors import UserError, shown

CHANGED = "its bytes are not those that preprocess read"


def is_whole(content: bytes, digest: np.ndarray | None) -> bool:
    """Whether the sha256 of an encoded image is this one, uint8 (32,); yes where none was stored."""
    return digest is None or hashlib.sha256(content).digest() == digest.tobytes()


def changed(name: str) -> UserError:
    """The error that names an image whose bytes are not those that preprocess read."""
    return UserError(f"image {shown(name)} is damaged: {CHANGED}; delete data/raw and data/prepared and run `dvc repro`")
