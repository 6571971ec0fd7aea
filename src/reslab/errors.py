"""What a user can mend: the error, and how a command shows it."""

import os
import re
import reprlib
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from reslab import stop, storage
from reslab.stop import streams

TRACEBACK_SWITCH = "RESLAB_TRACEBACK"
ECHOED = 120  # characters of the input in a message
LONGEST_WORD = 400  # characters of a message: a path that a system would refuse is cut
PLUGINS = Path("plugins")  # the project's folder of its user's own code (config/plugins.py)


class UserError(ValueError):
    """Something the user gave (a parameter, a file, a path) cannot be used: one line of what, where, what is allowed."""


@contextmanager
def located(where: object) -> Iterator[None]:
    """Put the place in front of a UserError raised within."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def check_output(path: Path) -> None:
    """Raise UserError if no file can be written at `path`: its folder is missing, or it is a folder itself."""
    if path.is_dir():
        raise UserError(f"{path}: is a folder; give a file")
    if not path.parent.is_dir():
        raise UserError(f"{path}: there is no folder {path.parent}; make it first")


def check_folder(path: Path) -> None:
    """Raise UserError if no folder can be made or filled at `path`: it is something else."""
    if path.exists() and not path.is_dir():
        raise UserError(f"{path}: is a file; give a folder")


def check_plain(path: Path) -> None:
    """Raise UserError if something at `path` is neither file nor folder: reading a pipe would wait for its other end."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise UserError(f"{path}: is a pipe, a socket or a device; give a plain file")


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A draft of a file that somebody asked for, which is there whole or not at all; raises UserError for a folder or a device."""
    if path.is_dir():
        raise UserError(f"{path}: is a folder, not a file")
    check_plain(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with storage.replacing(path) as draft:
        yield draft


def run(command: Callable[..., None]) -> None:
    """Run a Typer command; UserError and OSError become one line on stderr and exit status 1.

    RESLAB_TRACEBACK=1 shows the traceback instead. Any other exception is a bug of ours and is shown whole, unless a disk is full.
    """
    import typer  # a machine that only trains may not have it

    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    guard(app)


def guard(app: Callable[[], None]) -> None:
    """Call `app` with the error handling of `run`; told to stop, it ends within ten seconds, with one line (stop.py)."""
    streams.prepare()
    try:
        with stop.listening(), streams.flushed():
            app()
    except stop.Stopped as stopped:
        stop.say(stopped)
        raise
    except (UserError, OSError) as error:
        if os.environ.get(TRACEBACK_SWITCH):
            raise
        print(f"error: {one_line(error)}", file=sys.stderr)
        sys.exit(1)
    except Exception as error:
        if os.environ.get(TRACEBACK_SWITCH) or (known := storage.explained(error) or in_plugins(error)) is None:
            raise
        print(f"error: {known}", file=sys.stderr)
        sys.exit(1)


def _unheard(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """The last word of a process; of Ctrl-C while libraries are loaded, before anything listens or is done, it is one line."""
    if issubclass(kind, KeyboardInterrupt):
        stop.say(stop.Stopped("SIGINT"))
    else:
        _usual(kind, error, trace)


_usual, sys.excepthook = sys.excepthook, _unheard


def in_plugins(error: BaseException) -> str | None:
    """`plugins/nets.py, line 12: TypeError: ...` for an error in the user's own code or in what that calls; None for any other."""
    folder, text = PLUGINS.resolve(), f"{type(error).__name__}: {first_line(error)}"
    if isinstance(error, SyntaxError) and error.filename and folder in Path(error.filename).parents:
        return f"{PLUGINS / Path(error.filename).relative_to(folder)}, line {error.lineno}: {text}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if folder in Path(frame.filename).parents]
    if not frames:
        return None
    return f"{PLUGINS / Path(frames[-1].filename).relative_to(folder)}, line {frames[-1].lineno}: {text}"


class _Short(reprlib.Repr):
    """Of any value, however large or nested, a few characters."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = ECHOED
        self.maxlevel = 3

    def repr_int(self, value: int, level: int) -> str:
        return repr(value) if abs(value) < 10**40 else f"a number of {value.bit_length()} bits"


_SHORT = _Short()


def shown(value: object) -> str:
    """What a message echoes of the input: its repr, of a long one the beginning and the end."""
    return cut(_SHORT.repr(value))


TURNS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # the order in which letters are shown
CONTROLS = re.compile(f"[\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029\\ud800-\\udfff{TURNS}]")


def plain(text: str) -> str:
    """A text of the input to be shown anywhere: on one line, and with the codes of signs that would steer a terminal or a page."""
    if text.isprintable():
        return text
    return CONTROLS.sub(lambda sign: " " if sign[0].isspace() else ascii(sign[0])[1:-1], text)


def cut(text: str) -> str:
    """A text of the input in a message: of a long one the beginning and the end."""
    return text if len(text) <= ECHOED + 2 else f"{text[: ECHOED // 2]}...{text[-ECHOED // 2 :]}"


def first_line(error: BaseException) -> str:
    """The first line of a library's message, cut where it is long, or the error's type if it has none."""
    return cut(next(iter(str(error).strip().splitlines()), type(error).__name__))


def telling_line(error: Exception) -> str:
    """The line of a compiler's long message that says what is wrong, cut where it is long; of a short message the first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not line.strip().startswith(("#", "//"))]
    for pattern in (r"\berror: ", r"^[\w.]*(Error|Exception): \S"):
        for line in lines:
            if re.search(pattern, line):
                return cut(line)
    return cut(lines[0]) if lines else type(error).__name__


def one_line(error: Exception) -> str:
    """The error's message on one line; a full or read-only disk is named, with how to go on."""
    explained = storage.explained(error) if isinstance(error, OSError) else None
    return plain(" ".join(word if len(word) <= LONGEST_WORD else cut(word) for word in (explained or str(error)).split()))
