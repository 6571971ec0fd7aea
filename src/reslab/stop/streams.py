"""The standard streams of our processes: a message that cannot be shown must not end what computes."""

import io
import os
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import ClassVar

STDOUT = "/dev/stdout"
SECONDS_BETWEEN_LOOKS = 0.5


class _Stream(io.FileIO):
    """A standard stream; where nobody reads it, a command that is told to stop does not wait for its room."""

    impatient: ClassVar[bool] = False

    def write(self, data: bytes) -> int | None:
        while not select.select([], [self], [], SECONDS_BETWEEN_LOOKS)[1]:
            if self.impatient:
                return len(data)
        return super().write(data[: select.PIPE_BUF])  # as much as there is room for


class _Messages(_Stream):
    """Standard error, which drops what it cannot write: a log on a full disk, a closed terminal, a reader that is gone."""

    def write(self, data: bytes) -> int:
        with suppress(OSError):
            return super().write(data) or len(data)  # nothing, of a stream that does not block
        return len(data)


class _Results(_Stream):
    """Standard output, whose first error names it, as a full one is not the project's disk; what follows is dropped."""

    failed = False

    def write(self, data: bytes) -> int | None:
        if self.failed:
            return len(data)
        try:
            return super().write(data)
        except OSError as error:
            self.failed = True
            raise OSError(error.errno, error.strerror, STDOUT) from error


def be_impatient() -> None:
    """From now on drop what a stream has no room for."""
    _Stream.impatient = True


@contextmanager
def flushed() -> Iterator[None]:
    """Write out in the end what was printed; raises OSError if that is all that fails, SystemExit if nobody reads it any more."""
    try:
        yield
    except BaseException as ended:
        if not isinstance(ended, SystemExit) or ended.code:
            with suppress(OSError):
                sys.stdout.flush()
        else:
            _flush()
        raise
    _flush()


def _flush() -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError as error:
        raise SystemExit(1) from error


def prepare() -> None:
    """Give this process its standard streams, once; a name that a stream cannot show is written in escapes.

    One that is closed becomes /dev/null: the next file to be opened would take its place, and get all messages.
    """
    _open_closed()
    sys.stdout = _with(sys.stdout, sys.__stdout__, _Results)
    sys.stderr = _with(sys.stderr, sys.__stderr__, _Messages)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _open_closed() -> None:
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it gets the lowest free number
    for name, number in ("stdout", 1), ("stderr", 2):
        if getattr(sys, name) is None:  # what is printed to None goes to standard output
            setattr(sys, name, os.fdopen(number, "w", encoding="utf-8", closefd=False))


def _with(stream: io.TextIOBase, original: io.TextIOBase | None, kind: Callable[..., io.FileIO]) -> io.TextIOBase:
    """The stream over a file of that `kind`, unless another program has put its own in its place."""
    if stream is not original or not isinstance(stream, io.TextIOWrapper) or stream.closed:
        return stream
    stream.flush()
    file = io.BufferedWriter(kind(stream.fileno(), "w", closefd=False))
    ways = {"line_buffering": stream.line_buffering, "write_through": stream.write_through}
    return io.TextIOWrapper(file, stream.encoding, stream.errors, **ways)
