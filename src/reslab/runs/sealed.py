"""Safetensors files that carry a checksum of all their bytes in their description, weights as well as predictions."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reslab.errors import UserError, check_plain, first_line
from reslab.runs.records import CHECKSUM, FORMAT, LATEST, METADATA_KEY, accept_older
from reslab.storage import writes

BLANK = "0" * 64  # in place of the checksum while it is computed
LENGTH = 8  # bytes that say how long the header is, little-endian
MOST_HEADER = 10 * 2**20  # bytes: names of tensors, and the description, of which a mean image is most
BLOCK = 2**20


@dataclass(frozen=True)
class Sealed:
    """What a file says of itself: its description without the marks, and its checksum, None in one of format 1."""

    description: dict[str, Any]
    checksum: str | None


def metadata(description: dict[str, Any]) -> dict[str, str]:
    """The metadata of a file that is to be sealed: its description, the checksum still blank."""
    return {METADATA_KEY: json.dumps({FORMAT: LATEST, CHECKSUM: BLANK} | description)}


@writes
def seal(path: Path) -> str:
    """Put the checksum of a file that was written with `metadata` into it, and return it."""
    with path.open("r+b") as file:
        header = _header(file, path)
        checksum = _checksum(header, file)
        file.seek(header.index(BLANK.encode()))
        file.write(checksum.encode())
    return checksum


def read(path: Path, *, failed: str, mend: str, older: bool = False) -> Sealed:
    """Verify every byte of a sealed file; raises UserError that says what `failed` and why if it is missing or damaged.

    `older`: also one of format 1, of which nothing can be verified; a line on stderr says so.
    """
    check_plain(path)
    try:
        with path.open("rb") as file:
            header = _header(file, path)
            told = json.loads(header[LENGTH:])
            description = json.loads(told["__metadata__"][METADATA_KEY])
            _check_size(path, header, told)
            marks = [description.pop(key, None) for key in (FORMAT, CHECKSUM)]
            if marks != [None, None]:
                _check(marks, header, file)
    except FileNotFoundError:
        raise UserError(f"{path}: {failed} (no such file); {mend}") from None
    except OSError as error:
        raise UserError(f"{path}: {failed} ({error.strerror}); {mend}") from error
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path}: {failed} ({first_line(error)}); {mend}") from None
    if marks == [None, None]:
        accept_older(path, description, mend=mend, older=older)
    return Sealed(description, marks[1])


def _check_size(path: Path, header: bytes, told: dict[str, Any]) -> None:
    """Raise ValueError unless the file ends with its tensors: to read a sparse terabyte behind them would take minutes."""
    end = max((tensor["data_offsets"][1] for name, tensor in told.items() if name != "__metadata__"), default=0)
    if path.stat().st_size != len(header) + end:
        raise ValueError("its size is not what its header says")


def _check(marks: list[Any], header: bytes, file: Any) -> None:
    version, stored = marks
    if version != LATEST or not isinstance(stored, str) or len(stored) != len(BLANK):
        raise ValueError(f"its {FORMAT} or {CHECKSUM} is none of this version")
    if _checksum(header.replace(stored.encode(), BLANK.encode(), 1), file) != stored:
        raise ValueError("its checksum differs: damaged, or changed after it was written")


def _header(file: Any, path: Path) -> bytes:
    """The header with the length before it; the file then stands at its end."""
    length = int.from_bytes(file.read(LENGTH), "little")
    if length > min(MOST_HEADER, path.stat().st_size):
        raise ValueError("its header is longer than the file, or than any")
    file.seek(0)
    return file.read(LENGTH + length)


def _checksum(header: bytes, file: Any) -> str:
    """Of the whole file, from its header and from where it stands."""
    digest = hashlib.sha256(header)
    while block := file.read(BLOCK):
        digest.update(block)
    return digest.hexdigest()
