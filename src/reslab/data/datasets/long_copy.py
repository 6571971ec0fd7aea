"""Copying images of a hundred gigabytes into one tar: verified, watched, and continued where it was interrupted."""

import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

from filelock import FileLock

from reslab.data.prepared.files import scan
from reslab.errors import UserError
from reslab.runs.folders import LOCK, checkpoints
from reslab.runs.meter import meter
from reslab.storage import replace_text

BLOCK = 2**22  # bytes that are hashed at once
BYTES_BETWEEN_MARKS = 2**28  # what an interruption may cost
Image = tuple[str, bytes]


class LongCopy:
    """A tar of images under way, in checkpoints/fetch-<key>, where DVC does not delete it; `key` names the content of the source.

    A context manager that holds the folder. `mark` says how many images, and bytes of the tar, are surely on the disk.
    """

    def __init__(self, key: str, size: int, target: Path) -> None:
        self.folder = checkpoints() / f"fetch-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
        self.draft, self.mark, self.verified = (self.folder / name for name in (target.name, "mark.json", "verified.json"))
        self.target, self.size = target, size
        self.held = ExitStack()
        self.count, self.end = 0, 0

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.held.enter_context(FileLock(self.folder / LOCK))
        self.count, self.end = self._marked()
        free = shutil.disk_usage(self.folder).free
        if free < self.size - self.end:
            raise UserError(f"{self.folder}: {free / 2**30:.1f} GiB free, the images need {(self.size - self.end) / 2**30:.1f} GiB")
        return self

    def __exit__(self, *error: object) -> None:
        self.held.close()

    def _marked(self) -> tuple[int, int]:
        """How many images, and bytes of the tar, an earlier run left; nothing where its note does not fit the tar."""
        marked = _read(self.mark)
        count, end = (marked.get(key) if isinstance(marked, dict) else None for key in ("count", "end"))
        if not (type(count) is type(end) is int and count > 0 and end > 0) or not self.draft.is_file():
            return 0, 0
        if self.draft.stat().st_size < end:
            return 0, 0
        os.truncate(self.draft, end)
        try:
            found = scan(self.draft)
        except (tarfile.TarError, ValueError):
            return 0, 0
        last = max((offset + length for offset, length in found.values()), default=0)
        return (count, end) if len(found) == count and -(-last // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE == end else (0, 0)

    def verify(self, published: Mapping[Path, str], mend: str) -> None:
        """Raise UserError for a file that does not have the published MD5; files that had it once are not read again."""
        noted = _read(self.verified)
        known = {name for name in noted if isinstance(name, str)} if isinstance(noted, list) else set()
        waiting = [path for path in published if path.name not in known]
        with meter("verifying", sum(path.stat().st_size for path in waiting)) as advance:
            for path in waiting:
                found = _md5(path, advance)
                if found != published[path]:
                    raise UserError(f"{path}: MD5 is {found}, published is {published[path]}; fetch it again, or {mend}")
                known.add(path.name)
                replace_text(self.verified, json.dumps(sorted(known)))

    def through(self, rest: Callable[[int], Iterable[Image]]) -> Iterator[Image]:
        """All images: those that an earlier run copied, then `rest(count)`, which must skip `count`, while they are copied."""
        self.draft.touch()
        with self.draft.open("r+b") as file, meter("copying", self.size, self.end) as advance:
            file.truncate(self.end)
            yield from self._kept()
            file.seek(self.end)
            with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT, encoding="utf-8") as archive:
                for image in rest(self.count):
                    self._add(archive, *image)
                    advance(len(image[1]))
                    yield image
                    if archive.offset - self.end >= BYTES_BETWEEN_MARKS:
                        self._set_mark(archive)

    @contextmanager
    def published(self) -> Iterator[None]:
        """Move the tar to its target if the block raises nothing; after a UserError nothing is left of it."""
        try:
            yield
        except UserError:
            shutil.rmtree(self.folder)
            raise
        self.target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(self.draft, self.target)  # on another disk this copies: if that is interrupted, all is still here
        shutil.rmtree(self.folder)

    def _kept(self) -> Iterator[Image]:
        if self.count:
            with self.draft.open("rb") as file:
                for name, (offset, length) in scan(self.draft).items():
                    file.seek(offset)
                    yield name, file.read(length)

    def _add(self, archive: tarfile.TarFile, name: str, content: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
        archive.members.clear()
        self.count += 1

    def _set_mark(self, archive: tarfile.TarFile) -> None:
        archive.fileobj.flush()
        os.fsync(archive.fileobj.fileno())
        self.end = archive.offset
        replace_text(self.mark, json.dumps({"count": self.count, "end": self.end}))


def _md5(path: Path, advance: Callable[[float], None]) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
            advance(len(block))
    return digest.hexdigest()


def _read(path: Path) -> dict | list | None:
    """A small note of an earlier run; None if there is none, or it is damaged."""
    try:
        return json.loads(path.read_text(encoding="ascii"))
    except (OSError, ValueError, RecursionError):
        return None
