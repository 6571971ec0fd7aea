"""How many cores there are, and numbers of processes and threads from the environment."""

import os

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
