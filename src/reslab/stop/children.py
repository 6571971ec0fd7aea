"""Other programs that a command starts: none outlives it."""

import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

PR_SET_PDEATHSIG = 1  # of Linux's prctl


def run(command: Sequence[str], *, check: bool = True, **options: Any) -> subprocess.CompletedProcess:
    """Run a command to its end; raises CalledProcessError if it fails, unless `check` says not to."""
    return subprocess.run(command, check=check, preexec_fn=with_starter(), **options)


def start(command: Sequence[str], **options: Any) -> subprocess.Popen:
    """Start a command."""
    return subprocess.Popen(command, preexec_fn=with_starter(), **options)  # noqa: PLW1509


def with_starter() -> Callable[[], None] | None:
    """What a new process calls before its command starts: it then gets SIGTERM when the thread that started it ends, on Linux."""
    if sys.platform != "linux":
        return None
    import ctypes

    prctl = ctypes.CDLL(None).prctl  # found here: between fork and exec as little as possible should happen
    return lambda: prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
