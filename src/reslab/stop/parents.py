"""Who has started this process: DVC, and the shell in between."""

import contextlib
import itertools
import multiprocessing
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil


def starters() -> "list[psutil.Process]":
    """The processes that must outlive a DVC stage: DVC, and a shell in between (bash becomes the stage, dash waits for it)."""
    return _early or _found()


def _found() -> "list[psutil.Process]":
    if "DVC_STAGE" not in os.environ:
        return []
    import psutil

    parents = psutil.Process().parents()
    shells = list(itertools.takewhile(_is_of_a_stage, parents))
    return parents[: len(shells) + 1]


def _is_of_a_stage(process: "psutil.Process") -> bool:
    """Whether the process belongs to a DVC stage."""
    import psutil

    with contextlib.suppress(psutil.Error):
        return "DVC_STAGE" in process.environ()
    return False


def is_running(process: "psutil.Process") -> bool:
    """Whether a process has not ended, even if its own parent has not noticed yet that it has."""
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


# Looked for at once: libraries take seconds to load, and if DVC ends meanwhile another process becomes the parent.
_early = _found() if multiprocessing.parent_process() is None else []
