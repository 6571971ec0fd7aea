"""A folder's entries and contents. Names are bytes to the system and UTF-8 here, whatever the locale."""

import os
import posixpath
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from reslab.data.datasets.entries import Entry
from reslab.errors import UserError, shown


def entries(source: Path) -> Iterator[Entry]:
    """Everything below a folder; links are not followed. Raises OSError for a folder that cannot be read."""
    root, waiting = source.resolve(), [""]
    while waiting:
        folder = waiting.pop()
        with os.scandir(root / folder) as found:
            listed = sorted(found, key=lambda item: item.name)
        for item in listed:
            path = posixpath.join(folder, item.name)
            name = _as_utf8(path)
            if item.is_symlink():
                yield _link(root, path, name)
            elif item.is_dir():
                waiting.append(path)
                yield Entry(name, "folder")
            elif item.is_file():
                yield Entry(name, size=item.stat().st_size)
            else:
                yield Entry(name, problem="is not a plain file but a pipe, a socket or a device")


def contents(source: Path, wanted: Mapping[int, Entry]) -> Iterator[tuple[int, bytes]]:
    """Number and content of the wanted entries; raises UserError for a file that is no longer what it was."""
    root = source.resolve()
    for number, entry in wanted.items():
        path = root / os.fsdecode(entry.name.encode("utf-8", "surrogateescape"))
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)  # never waiting for a pipe's other end
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_size != entry.size:
                raise UserError(f"{shown(entry.name)} changed while it was read; run the command again")
            content = file.read()
        yield number, content


def _as_utf8(path: str) -> str:
    """A path as the system's bytes read as UTF-8; what is none stays as lone surrogates."""
    return os.fsencode(path).decode("utf-8", "surrogateescape")


def _link(root: Path, path: str, name: str) -> Entry:
    full = root / path
    target = Path(posixpath.normpath(full.parent / full.readlink()))
    if target.is_relative_to(root):
        inside = _as_utf8(str(target.relative_to(root)))
    elif full.exists():
        inside = None
    else:
        inside = name  # a broken link: it leads no further than to itself
    return Entry(name, "link", target=inside, to_folder=full.is_dir())
