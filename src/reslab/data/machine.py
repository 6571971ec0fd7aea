"""How much of the machine the data may use: processes that decode, memory of the device. It never changes what comes out."""

import os

from reslab.cores import count_from_environment
from reslab.errors import UserError

DECODERS, RESIDENT = "RESLAB_DECODERS", "RESLAB_RESIDENT_GIB"
MOST_GIB = 10**6
SHARE = 0.5  # of the device's free memory: weights, activations and the compiler's buffers need the rest


def decoders(default: int) -> int:
    """Processes that decode images: RESLAB_DECODERS if set (0: none, the process that asks); raises UserError."""
    return count_from_environment(DECODERS, default, least=0)


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
