"""Places that cannot be written: a full disk or a read-only one, named with the file and the space that is left."""

import errno
import functools
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ParamSpec, TypeVar

FULL = (errno.ENOSPC, errno.EDQUOT)
LOCKED = (errno.EROFS, errno.EACCES, errno.EPERM)
IN_WORDS = {  # how libraries in Rust and C++ say it, whose exceptions have no number
    errno.ENOSPC: re.compile(r"no space left|os error 28\b|errno 28\b|disk is full", re.IGNORECASE),
    errno.EDQUOT: re.compile(r"quota exceeded|os error 122\b|errno 122\b", re.IGNORECASE),
    errno.EROFS: re.compile(r"read-only file system|os error 30\b|errno 30\b|readonly database", re.IGNORECASE),
}
DRAFT = ".draft"
LEAST = 2**20  # bytes; with less, a failed write is blamed on the disk
GO_ON = "free some space and run the same command again: finished seeds and checkpoints are kept"
P, R = ParamSpec("P"), TypeVar("R")


def writes(function: Callable[P, R]) -> Callable[P, R]:
    """Mark a function that writes the file or folder which is its first path: if that fails, the error names it."""

    @functools.wraps(function)
    def named(*arguments: P.args, **options: P.kwargs) -> R:
        with writing(next(value for value in (*arguments, *options.values()) if isinstance(value, Path))):
            return function(*arguments, **options)

    return named


@writes
def replace_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8) in one step: the one that was there stays whole if the process is killed or the disk is full."""
    target = Path(os.path.realpath(path))  # a link stays a link, unless it leads in a circle
    if path.exists() and not path.is_file():  # /dev/null and /dev/stdout are no files to be replaced
        _write_into(path, text)
        return
    if target.exists() and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    with replacing(target) as draft:
        draft.write_text(text, encoding="utf-8")
        if target.exists():
            draft.chmod(target.stat().st_mode & 0o7777)


def _write_into(path: Path, text: str) -> None:
    """Write a text into a device or a pipe; raises OSError for a pipe that nobody reads, for which opening it would wait."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise OSError(errno.ENXIO, "it is a pipe or a socket that nobody reads; remove it", str(path)) from error
        raise
    os.set_blocking(descriptor, True)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A draft beside `path`, moved there in one step if all goes well, and removed if not; a failed write names `path`."""
    _remove_drafts(path.parent)
    draft = path.with_name(f".{platform.node()}.{os.getpid()}{DRAFT}")  # short: the name of the file may be as long as names can be
    try:
        yield draft
        draft.replace(path)
    except OSError as error:
        if str(draft) not in (error.filename, error.filename2):
            raise
        why = (error.errno == errno.ENOENT and _refused(draft)) or error
        raise OSError(why.errno, why.strerror, str(path)) from error
    finally:
        for left in (draft, *path.parent.glob(f"{draft.name}*")):  # some libraries add to the name while they write
            with suppress(OSError):  # a read-only place refuses to remove also what is not there
                left.unlink(missing_ok=True)


def _refused(draft: Path) -> OSError | None:
    """Why a library left no draft and did not say it: what the system says to whoever writes a mebibyte there."""
    try:
        draft.write_bytes(bytes(LEAST))
    except OSError as error:
        return error
    return None


def _remove_drafts(folder: Path) -> None:
    """Remove what processes of this machine left half written in a folder when they were killed."""
    for draft in folder.glob(f".{platform.node()}.*{DRAFT}*"):
        import psutil  # takes a while to load, and there is hardly ever a draft

        pid = draft.name.rpartition(DRAFT)[0].rpartition(".")[2]
        if pid.isdecimal() and not psutil.pid_exists(int(pid)):
            with suppress(OSError):  # another process was faster; or the folder is read-only, which its writer will say
                draft.unlink()


def remove(folder: Path) -> None:
    """Remove a folder, if it is there; raises OSError with its path if something of it has to stay."""
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(folder)) from error


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise OSError with the path for whatever a full or read-only disk makes a library raise; anything else stays as it is."""
    try:
        yield
    except ValueError:  # of the input, UserError too
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.filename is not None and error.errno in (*FULL, *LOCKED):
            raise
        if _number(error, path) is None:
            raise
        raise not_written(path, error) from error


@contextmanager
def usual_mode(path: Path) -> Iterator[None]:
    """Give a file that a library writes here the mode that the umask says: safetensors shows its files to nobody else."""
    path.touch()
    mode = path.stat().st_mode
    yield
    path.chmod(mode & 0o7777)


def not_written(path: Path, error: Exception) -> OSError:
    """The system's error behind a library's that failed to write `path`."""
    if (number := _number(error, path)) is None:
        return OSError(errno.EIO, f"cannot write it: {_said(error)}", str(path))
    return OSError(number, os.strerror(number), str(path))


def explained(error: Exception) -> str | None:
    """What a full or read-only disk has to do with an error, and how to go on; None if it has nothing to do with it."""
    path = _written(error)
    number = _number(error, Path(os.fsdecode(path)) if path else None)
    if number in FULL:
        if path:
            left = free(Path(os.fsdecode(path)))
            return f"{os.fsdecode(path)}: no space left on the disk, which has {left} free without this file; {GO_ON}"
        full = ", ".join(f"{place} ({free(place)} free)" for place in places() if _is_full(place))
        return f"no space left on the disk of {full or Path.cwd()} ({_said(error)}); {GO_ON}"
    if number in LOCKED and path:
        return f"{os.fsdecode(path)}: cannot be written ({os.strerror(number)}); make it writable, or work in another folder"
    return None


def _written(error: Exception) -> str | bytes | None:
    """The path that could not be written, if the error has one: of a copy or a move its target, which may be on another disk."""
    named = (error.filename2 or error.filename) if isinstance(error, OSError) else None
    return named if isinstance(named, str | bytes) else None


def places() -> list[Path]:
    """Where this program writes: the project, the main checkout, TMPDIR, the cache of the user, shared memory."""
    named = [Path.cwd(), Path(os.environ.get("DVC_ROOT", ".")).resolve(), Path("/dev/shm")]
    with suppress(RuntimeError):  # a user without a home
        named.append(Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"))
    named.append(Path(os.environ.get("TMPDIR") or "/tmp"))
    with suppress(OSError):
        named.append(Path(tempfile.gettempdir()))
    return list(dict.fromkeys(place for place in named if place.exists()))


def free(path: Path) -> str:
    """The free space of the disk that a path is on, for messages."""
    mib = _free_bytes(path) / 2**20
    return f"{mib:.1f} MiB" if mib < 10 * 2**10 else f"{mib / 2**10:.0f} GiB"


def _number(error: Exception, path: Path | None) -> int | None:
    """The number of the system's error behind a library's; a nameless one is blamed on a full disk."""
    if isinstance(error, shutil.Error):  # of copytree: a list of (source, target, reason)
        error = OSError(str(error))
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno if error.errno in (*FULL, *LOCKED) else None
    words = next((number for number, text in IN_WORDS.items() if text.search(str(error))), None)
    if words is not None:
        return words
    before = error.__cause__ if error.__suppress_context__ else error.__context__
    if not isinstance(error, OSError) and isinstance(before, Exception) and (number := _number(before, path)) is not None:
        return number  # of the error after which a library failed to close its file
    if not isinstance(error, OSError | RuntimeError):
        return None
    is_full = _is_full(path) if path is not None else any(map(_is_full, places()))
    return errno.ENOSPC if is_full else None


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__


def _is_full(path: Path) -> bool:
    return _free_bytes(path) < LEAST


def _free_bytes(path: Path) -> int:
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free
