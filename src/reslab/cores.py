"""How many cores there are, numbers of processes and threads from the environment, and processes that end with their parent."""

import multiprocessing
import os
import threading

from reslab.errors import UserError

MOST = 1024  # processes or threads


def cpu_count() -> int:
    """The cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def count_from_environment(name: str, default: int, *, least: int = 1) -> int:
    """A number of threads or processes from an environment variable; raises UserError for anything else."""
    value = os.environ.get(name) or str(default)
    if not value.isdecimal() or not least <= int(value) <= MOST:
        raise UserError(f"{name}={value} is not allowed: a whole number from {least} to {MOST}")
    return int(value)


def end_with_parent() -> None:
    """End this process of a pool when its parent is gone: idle, it would wait for ever, as it holds both ends of its queue."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        parent.join()
        os._exit(1)  # whatever it was doing

    if parent is not None:
        threading.Thread(target=watch, daemon=True).start()
