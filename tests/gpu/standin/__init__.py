"""A stand-in for CUDA: the GPU path of torch runs without a GPU. Kernels do nothing, launches are counted, rules enforced.

It shows what a step launches, whether it can be captured and how much memory the allocator takes. It shows no numbers (kernels do
nothing), no times, and no refusals of cuDNN and cuBLAS, each of whose calls counts as one kernel. `build.py` makes it and starts
programs on it; this is what such a program reads.
"""

import ctypes

_LIBRARY = ctypes.CDLL(None)  # all that is loaded


def is_active() -> bool:
    """Whether this program runs on the stand-in."""
    return hasattr(_LIBRARY, "standin_report")


def reset() -> None:
    """Forget all counts and anomalies; memory in use stays."""
    _LIBRARY.standin_reset()


def counts() -> dict[str, int]:
    """All that was booked since the last reset: names begin with captured|, eager|, call|, stub|, bytes|, graph or ANOMALY|."""
    report = _LIBRARY.standin_report
    report.restype = ctypes.c_char_p
    rows = (line.split("\t", 1) for line in report().decode().splitlines())
    return {name: int(count) for count, name in rows}


def captured() -> int:
    """Kernels, copies and fills recorded in captures."""
    return sum(beginning("captured|").values())


def anomalies() -> dict[str, int]:
    """What CUDA would have refused, and what does not belong beside a capture."""
    return beginning("ANOMALY|")


def beginning(start: str) -> dict[str, int]:
    """The counts whose names begin so, without that beginning."""
    return {name.removeprefix(start): count for name, count in counts().items() if name.startswith(start)}


def limit_memory(size: int) -> None:
    """Device memory in bytes, from now on."""
    _LIBRARY.standin_limit(ctypes.c_size_t(size))
