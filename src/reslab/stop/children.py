"""Processes that a command starts: none outlives it."""

import multiprocessing
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from multiprocessing import resource_tracker
from multiprocessing.context import SpawnContext
from typing import Any

from reslab import stop

PR_SET_PDEATHSIG = 1  # of Linux's prctl


def run(command: Sequence[str], *, check: bool = True, **options: Any) -> subprocess.CompletedProcess:
    """Run a command to its end; raises CalledProcessError if it fails, unless `check` says not to."""
    return subprocess.run(command, check=check, preexec_fn=with_starter(), **options)


def start(command: Sequence[str], **options: Any) -> subprocess.Popen:
    """Start a command."""
    return subprocess.Popen(command, preexec_fn=with_starter(), **options)  # noqa: PLW1509


def spawning() -> SpawnContext:
    """A context in which Python starts processes afresh: a forked one would hang in torch's threads or in CUDA.

    The process by which Python tidies up after them ignores two signals only; it inherits that the others are held back.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, stop.SIGNALS)
    try:
        resource_tracker.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return multiprocessing.get_context("spawn")


def with_starter() -> Callable[[], None] | None:
    """What a new process calls before its command starts: it then gets SIGTERM when the thread that started it ends, on Linux."""
    if sys.platform != "linux":
        return None
    import ctypes

    prctl = ctypes.CDLL(None).prctl  # found here: between fork and exec as little as possible should happen
    return lambda: prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
