"""What a folder or an archive holds, entry by entry, before any of it is read."""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from reslab.errors import UserError, shown


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, folder or link.

    `name` counts from the source, with / between the parts. A link leads to `target`, which counts from the source too (None: out
    of it); `to_folder` is False where that is known to be a file. A `problem` says why a file cannot be read.
    """

    name: str
    kind: Literal["file", "folder", "link"] = "file"
    size: int = 0
    target: str | None = None
    to_folder: bool = True
    problem: str = ""


def checked_name(raw: str) -> str:
    """A member's name without ./ and doubled slashes; raises UserError if it leads out of the archive."""
    path = PurePosixPath(raw)
    if path.is_absolute() or ".." in path.parts:
        raise UserError(f"member {shown(raw)} points outside the archive; refused")
    return "/".join(path.parts)


def is_hidden(name: str) -> bool:
    """Whether it is what operating systems leave behind: .DS_Store, ._x, __MACOSX/, Thumbs.db, or in a folder .x/."""
    return any(part.startswith(".") or part in ("__MACOSX", "Thumbs.db") for part in name.split("/"))
