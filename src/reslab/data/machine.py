"""How much of the machine the data may use: processes that decode, memory of the device. It never changes what comes out."""

import os

from reslab.errors import UserError

DECODERS, RESIDENT = "RESLAB_DECODERS", "RESLAB_RESIDENT_GIB"
MOST_PROCESSES, MOST_GIB = 1024, 10**6
SHARE = 0.5  # of the device's free memory: weights, activations and the compiler's buffers need the rest


def cores() -> int:
    """The cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def decoders(default: int) -> int:
    """Processes that decode images: RESLAB_DECODERS if set (0: none, the process that asks); raises UserError."""
    value = os.environ.get(DECODERS) or str(default)
    if not value.isdecimal() or int(value) > MOST_PROCESSES:
        raise UserError(f"{DECODERS}={value} is not allowed: a whole number from 0 to {MOST_PROCESSES}")
    return int(value)


def resident_bytes(free: int | None) -> float:
    """The largest split that is kept on the device whole: RESLAB_RESIDENT_GIB if set, else a share of its `free` bytes.

    None is for a device whose memory is the host's: there everything is kept. Raises UserError for what is no size.
    """
    value = os.environ.get(RESIDENT)
    if not value:
        return float("inf") if free is None else free * SHARE
    try:
        size = float(value)
    except ValueError:
        size = -1.0
    if not 0 <= size <= MOST_GIB:
        raise UserError(f"{RESIDENT}={value} is not allowed: a number of GiB from 0 to {MOST_GIB}")
    return size * 2**30
