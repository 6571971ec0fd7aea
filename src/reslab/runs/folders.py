"""checkpoints/: what train keeps between runs, outside DVC's outputs, in one folder per network named by its identity."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from filelock import FileLock, Timeout

from reslab import stop, storage
from reslab.environment import project_root
from reslab.errors import UserError, check_plain, shown

LOCK, STARTED = "lock", "started"
LONGEST_NOTE = 40  # characters of a time; a longer one is damaged
DAY = 86400.0  # seconds by which another machine's clock may be ahead
POLL = 0.005  # seconds between two attempts to take the lock


def checkpoints() -> Path:
    """The folder checkpoints/ of the main checkout."""
    return project_root() / "checkpoints"


@dataclass(frozen=True)
class SeedFolder:
    """checkpoints/<identity>/seed<k>: a checkpoint while training, then `finished/` with what train hands to DVC."""

    path: Path

    @classmethod
    def of(cls, identity: str, seed: int) -> "SeedFolder":
        """The folder of one network."""
        return cls(checkpoints() / identity / f"seed{seed}")

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint.pt"

    @property
    def finished(self) -> Path:
        return self.path / "finished"

    @property
    def draft(self) -> Path:
        return self.path / "draft"

    def first_start(self) -> float:
        """When the training of this network first began, in seconds since 1970: also if that was killed before a checkpoint."""
        check_plain(file := self.path / STARTED)
        now = time.time()
        try:
            with file.open(encoding="ascii") as note:
                noted = float(note.read(LONGEST_NOTE))
            if 0 < noted <= now + DAY:
                return noted
        except (OSError, ValueError):  # not there yet, or half written
            pass
        with storage.writing(file):
            file.write_text(repr(now), encoding="ascii")
        return now

    @contextmanager
    def locked(self, meanwhile: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Hold the folder: a second process with the same network waits, then finds it finished. Freed when a process dies.

        `meanwhile` is called while it waits: networks that share a process go on, so that two processes that took the
        networks in another order do not wait for each other for ever.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with _acquired(FileLock(self.path / LOCK), meanwhile):
            for leftover in self.path.glob(f".*{storage.DRAFT}"):  # half written by a process that was killed
                leftover.unlink()
            yield

    def start_draft(self) -> Path:
        """An empty folder for the results; they count only after `finish`."""
        storage.remove(self.draft)
        self.draft.mkdir(parents=True)
        return self.draft

    def finish(self) -> None:
        """Publish the draft in one step and drop the checkpoints."""
        self.draft.replace(self.finished)
        for checkpoint in self.path.glob(f"{self.checkpoint.name}*"):  # and the one before it
            checkpoint.unlink()
        (self.path / STARTED).unlink(missing_ok=True)


@contextmanager
def output_locked(output: Path) -> Iterator[None]:
    """Hold an output folder: a second process that fills the same one waits. Freed when a process dies."""
    output.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(output.parent / f".{output.name}.lock"):
        yield


def remove_output(output: Path, *made: str) -> None:
    """Remove the output folder of a stage, which makes it anew.

    Raises UserError if a file in it is none of those that the stage makes, given as patterns such as `seed*/record.json`: a stage
    that is called by hand with another folder must not empty that.
    """
    for path in output.rglob("*"):
        inside = path.relative_to(output)
        if not path.is_dir() and not path.name.startswith(".") and not any(_is_like(inside, pattern) for pattern in made):
            raise UserError(f"{output}: holds {shown(str(inside))}, which is not made here; give another folder")
    storage.remove(output)


def _is_like(path: Path, pattern: str) -> bool:
    """Whether a relative path is like a pattern, part by part: Path.match takes the last parts for the whole."""
    parts = pattern.split("/")
    return len(path.parts) == len(parts) and all(map(fnmatchcase, path.parts, parts))


def prune(*, keep_days: float, dry_run: bool) -> list[Path]:
    """Delete (or only list) the networks that no run has used for `keep_days` days; return their folders."""
    if keep_days < 0:
        raise UserError(f"days {keep_days} is not allowed: 0 or more")
    oldest = time.time() - keep_days * DAY
    stale = [folder for folder in sorted(checkpoints().glob("*")) if folder.is_dir() and _last_used(folder) <= oldest]
    stale = [folder for folder in stale if not any(_is_locked(lock) for lock in folder.rglob(LOCK))]
    for folder in stale:
        if not dry_run:
            shutil.rmtree(folder)
    return stale


def _acquired(lock: FileLock, meanwhile: Callable[[], None]) -> FileLock:
    while True:
        try:
            return lock.acquire(blocking=False)
        except Timeout:
            time.sleep(POLL)
            stop.check()
            meanwhile()


def _is_locked(path: Path) -> bool:
    """Whether a process is training there."""
    try:
        with FileLock(path, blocking=False):
            return False
    except Timeout:
        return True


def _last_used(folder: Path) -> float:
    return max(path.stat().st_mtime for path in [folder, *folder.rglob("*")])
