"""Checksums of what a run leaves on disk: what is read is what was written, or it is refused by name."""

import functools
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from reslab.errors import UserError, check_plain

AGAIN = "delete it and run `dvc repro`"
MOST_BYTES = 2**28  # of a record or a history, which are read whole


def of_bytes(content: bytes) -> str:
    """The sha256 of some bytes, in hex."""
    return hashlib.sha256(content).hexdigest()


def of_file(path: Path) -> str:
    """The sha256 of a file, in hex, as `sha256sum` prints it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_value(value: Any) -> str:
    """The sha256 of a JSON value, in hex: the same however the file is laid out, another for any other value."""
    return of_bytes(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())


def check_small(path: Path, *, mend: str = AGAIN) -> None:
    """Raise UserError for what is no file of a run and would be read for ever: a pipe, a device, a file that is far too large."""
    check_plain(path)
    if path.is_file() and path.stat().st_size > MOST_BYTES:
        raise UserError(f"{path}: damaged (larger than {MOST_BYTES >> 20} MiB); {mend}")


def read_bytes(path: Path, checksum: str | None = None, *, mend: str = AGAIN) -> bytes:
    """The content of a small file; raises UserError if it is missing, too large, or has another `checksum` than this one."""
    check_small(path, mend=mend)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run `dvc repro`") from None
    except NotADirectoryError:
        raise UserError(f"{path}: not a file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {mend}") from error
    if checksum is not None and of_bytes(content) != checksum:
        raise UserError(f"{path}: damaged, or not the file that its record tells of (another checksum); {mend}")
    return content


def read_text(path: Path, *, mend: str = AGAIN) -> str:
    """The text of a small file; raises UserError if it is missing, too large, or not UTF-8."""
    try:
        return read_bytes(path, mend=mend).decode()
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: damaged (not UTF-8 text, byte {error.start}); {mend}") from None


@functools.cache
def note_unverified(folder: Path) -> None:
    """Say once a folder that an older version of reslab wrote what is read there."""
    print(f"note: {folder}: from before files carried checksums, so damage there would not be seen", file=sys.stderr)
