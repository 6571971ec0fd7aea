"""Waiting for decoding processes, but not for ever: what they need is checked before, and those that make no progress are ended."""

import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path

from reslab.environment import DECODERS
from reslab.errors import UserError, first_line

MINUTES = 5  # without a batch
SHARED_MEMORY = Path("/dev/shm")  # of Linux; batches come through it
SHORT = "/tmp"  # where sockets are made if TMPDIR is too long for their addresses
LONGEST_ADDRESS = 107  # bytes
SOCKET = "/pymp-xxxxxxxx/listener-xxxxxxxx"  # what multiprocessing adds to TMPDIR


class _Waits:
    """Whoever waits for decoding processes, and for how long; one thread looks after all of them."""

    def __init__(self) -> None:
        self.looks: dict[int, int] = {}
        self.processes: dict[int, list[BaseProcess]] = {}
        self.given_up: set[int] = set()
        self.thread: threading.Thread | None = None
        self.starting = threading.Lock()

    def begin(self, processes: list[BaseProcess]) -> int:
        with self.starting:
            if self.thread is None:
                self.thread = threading.Thread(target=self._look_after, name="decoders", daemon=True)
                self.thread.start()
        key = id(processes)
        self.processes[key], self.looks[key] = processes, 0
        return key

    def end(self, key: int) -> bool:
        """End a wait; return whether its processes were given up."""
        del self.looks[key]
        given_up = key in self.given_up
        self.given_up.discard(key)
        return given_up

    def _look_after(self) -> None:
        """Look every second: looks are counted, not the time, in which all this may have been suspended."""
        while True:
            time.sleep(1)
            for key in list(self.looks):
                self.looks[key] = self.looks.get(key, 0) + 1
                if self.looks[key] > 60 * MINUTES:
                    self.given_up.add(key)
                    for process in list(self.processes[key]):
                        process.kill()


_waits = _Waits()


@contextmanager
def not_for_ever(processes: list[BaseProcess]) -> Iterator[None]:
    """A wait for decoding processes; raises UserError if one was killed, or if none made progress for minutes."""
    key = _waits.begin(processes)
    try:
        yield
    except (RuntimeError, ConnectionError, EOFError) as error:  # torch's, or a socket's, of a process that is not there any more
        if _waits.end(key):
            reason = f"decoding made no progress for {MINUTES} minutes: is the disk or the network of data/prepared slow or gone?"
            raise UserError(f"{reason} {DECODERS}=0 decodes without processes") from error
        said = first_line(error) if isinstance(error, RuntimeError) else "a decoding process was killed"
        raise UserError(f"{said} (out of memory? {DECODERS} sets the number of decoding processes)") from error
    except BaseException:
        _waits.end(key)
        raise
    _waits.end(key)


def check_shared_memory(batch: int, batches: int, *, each: int) -> None:
    """Raise UserError if shared memory has no room for `batches` times `batch` bytes; a process has `each` of them under way."""
    if not SHARED_MEMORY.is_dir():
        return
    free = shutil.disk_usage(SHARED_MEMORY).free
    if batch * batches > free:
        fitting = max(0, (free // batch - (batches % each or each)) // each)
        needed = (
            f"decoding needs {batch * batches / 2**20:.0f} MiB of shared memory, and {SHARED_MEMORY} has {free / 2**20:.0f} free"
        )
        raise UserError(f"{needed}; enlarge it (docker run --shm-size=8g), or set {DECODERS}={fitting}")


def check_addresses() -> None:
    """Raise UserError if there is no place for the sockets of decoding processes: TMPDIR is too long, and /tmp not writable."""
    if not has_room_for_addresses() and not os.access(SHORT, os.W_OK):
        longest = LONGEST_ADDRESS - len(SOCKET)
        raise UserError(f"TMPDIR={tempfile.gettempdir()} is too long for decoding processes: at most {longest} characters")


def has_room_for_addresses() -> bool:
    """Whether TMPDIR is short enough for the address of a socket in it."""
    return len(os.fsencode(tempfile.gettempdir())) + len(SOCKET) <= LONGEST_ADDRESS


@contextmanager
def own_child_signal() -> Iterator[None]:
    """Leave SIGCHLD as it is: torch's handler raises in whatever the main thread is doing; `not_for_ever` hears of deaths too."""
    before = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGCHLD) is not before:
            signal.signal(signal.SIGCHLD, before)
