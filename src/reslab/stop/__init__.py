"""Stopping a process within ten seconds of a signal, or of the end of its parent.

A thread watches for both while the main thread computes. The main thread is interrupted, unless it cooperates: then the code that
runs there checks `requested` where its state is consistent. What has not stopped in time is killed.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

from reslab.stop import streams
from reslab.stop.parents import is_running, starters
from reslab.stop.streams import SECONDS_BETWEEN_LOOKS

if TYPE_CHECKING:
    import psutil

# Of batch schedulers, of Ctrl-C, of a closed terminal; the last two of schedulers that warn before the end of the time.
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
SECONDS, SECONDS_OF_A_WORKER = 8.0, 5.0  # until a process is ended; the stage has something to do after its workers
GO_ON = "finished work is kept; run the same command again to resume"


class Stopped(SystemExit):
    """A request to stop, with its `reason`. As a SystemExit it ends an idle worker silently."""

    def __init__(self, reason: str, code: int = 1) -> None:
        super().__init__(code)
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        return Stopped, (self.reason, self.code)

    def __str__(self) -> str:
        return f"stopped by {self.reason}: {GO_ON}"


class _Request:
    """The request to stop this process, and whether it has been interrupted for it."""

    def __init__(self) -> None:
        self.stopped: Stopped | None = None
        self.interrupted = self.silent = False
        self.cooperating, self.counting = 0, threading.Lock()
        self.listeners: list[Callable[[], None]] = []

    def note(self, signum: int) -> None:
        self.stopped = self.stopped or Stopped(signal.Signals(signum).name, 128 + signum)

    def interrupt(self, signum: int, frame: Any) -> None:
        """The handler of a signal, which Python calls in the main thread."""
        self.note(signum)
        if not self.cooperating and not self.interrupted:
            self.interrupted = True
            raise self.stopped


_request = _Request()


def say(line: object) -> None:
    """Print a line to stderr, unless nobody can read it any more: what follows must happen all the same."""
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


def _unraisable(told: "sys.UnraisableHookArgs") -> None:
    """What Python cannot raise, as in a callback of C code: a request to stop that was lost there is not shown, but made again."""
    if isinstance(told.exc_value, Stopped):
        _request.interrupted = False
    else:
        _usual(told)


_usual, sys.unraisablehook = sys.unraisablehook, _unraisable


def requested() -> bool:
    """Whether this process has been asked to stop."""
    return _request.stopped is not None


def check() -> None:
    """Raise Stopped if this process has been asked to stop."""
    if _request.stopped is not None:
        _request.interrupted = True
        raise Stopped(_request.stopped.reason, _request.stopped.code)


def follow(stopped: Stopped) -> None:
    """Take over the request to stop that another process of this command got."""
    _request.stopped, _request.interrupted = _request.stopped or stopped, True


@contextlib.contextmanager
def cooperating() -> Iterator[None]:
    """A context that is not interrupted: the code in it checks `requested`."""
    with _request.counting:
        _request.cooperating += 1
    try:
        yield
    finally:
        with _request.counting:
            _request.cooperating -= 1


@contextlib.contextmanager
def speechless() -> Iterator[None]:
    """A context for all but one of the processes of a command: that one says that they were stopped, the others only end."""
    request = _request
    request.silent = True
    try:
        yield
    except Stopped as stopped:
        raise SystemExit(stopped.code) from None
    finally:
        request.silent = False


@contextlib.contextmanager
def on_request(listener: Callable[[], None]) -> Iterator[None]:
    """Call the listener, in another thread, when this process is asked to stop."""
    _request.listeners.append(listener)
    try:
        if requested():
            listener()
        yield
    finally:
        _request.listeners.remove(listener)


@contextlib.contextmanager
def listening() -> Iterator[None]:
    """Handle signals and, in a DVC stage, the end of DVC or of its shell; does nothing outside the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    global _request  # noqa: PLW0603 - one a process; a command that is called within another process leaves nothing behind
    _request = _Request()
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = _install(writer)
    thread = threading.Thread(target=_Listener(reader, SECONDS, starters()).listen, name="stop", daemon=True)
    thread.start()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(-1)
        os.close(writer)
        thread.join()
        _request = _Request()


def in_worker() -> None:
    """Handle signals in a process of a pool, and end it when its parent is gone: idle, it would wait for ever."""
    streams.prepare()
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    _install(writer)
    threading.Thread(target=_Listener(reader, SECONDS_OF_A_WORKER, []).listen, name="stop", daemon=True).start()
    end_with_parent()


def end_with_parent() -> None:
    """End this process of a pool when its parent is gone: idle, it would wait for ever, as it holds both ends of its queue."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        parent.join()
        os._exit(1)  # whatever it was doing

    if parent is not None:
        threading.Thread(target=watch, daemon=True).start()


def _install(writer: int) -> dict[int, Any]:
    """Handle the signals, each of which is also written into a pipe; return the handlers that were there before.

    What is ignored stays so: a command in the background of a script does not end by Ctrl-C.
    """
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    handled = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    return {number: signal.signal(number, _request.interrupt) for number in handled}


class _Listener:
    """The thread `stop`: it watches for signals and for the end of `parents`, and kills the process `seconds` later."""

    def __init__(self, pipe: int, seconds: float, parents: "list[psutil.Process]") -> None:
        self.pipe, self.seconds, self.parents = pipe, seconds, parents
        self.request, self.deadline, self.interrupted = _request, None, time.monotonic()

    def listen(self) -> None:
        """Listen until the pipe is closed."""
        while self._wait():
            if not self.request.stopped and not all(map(is_running, self.parents)):
                self.request.stopped = Stopped("the end of DVC")
            if self.request.stopped:
                self._stop()
        os.close(self.pipe)

    def _stop(self) -> None:
        """Call the listeners once, interrupt the main thread until it reacts, and kill the process when the time is over."""
        if self.deadline is None:
            streams.be_impatient()
            self.deadline = time.monotonic() + self.seconds
            for listener in list(self.request.listeners):
                listener()
        if time.monotonic() > self.deadline:
            if multiprocessing.parent_process() is None and not self.request.silent:
                say(self.request.stopped)
            os._exit(self.request.stopped.code)
        unheard = not (self.request.cooperating or self.request.interrupted)
        if unheard and time.monotonic() > self.interrupted + SECONDS_BETWEEN_LOOKS:
            self.interrupted = time.monotonic()
            signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)  # another thread may have taken the signal

    def _wait(self) -> bool:
        """Wait a moment for signals; False once the pipe is closed."""
        if not wait([self.pipe], SECONDS_BETWEEN_LOOKS):
            return True
        numbers = os.read(self.pipe, 4096)
        for number in SIGNALS:
            if number in numbers:
                self.request.note(number)
        return bool(numbers)
