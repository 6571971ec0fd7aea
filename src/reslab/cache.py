"""Small files in the user's cache, which save work: one that is damaged, or no file at all, is as good as none."""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from reslab.errors import UserError, check_plain
from reslab.storage import replace_text

MOST_BYTES = 2**24


def read(path: Path) -> dict[str, Any]:
    """What `write` kept, to the bit; empty if there is nothing, or something else."""
    try:
        check_plain(path)
        if path.stat().st_size > MOST_BYTES:
            return {}
        checksum, _, text = path.read_text(encoding="utf-8").partition("\n")
        found = json.loads(text) if checksum == _checksum(text) else {}
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError, RecursionError):  # UserError too
        return {}


def write(path: Path, known: Mapping[str, Any]) -> None:
    """Keep something, if the cache can be written; of two processes the last one wins."""
    text = json.dumps(known)
    with suppress(OSError, UserError):
        check_plain(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_text(path, f"{_checksum(text)}\n{text}")


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
