"""The clocks of one process: wall, CPU with all its children, memory."""

import resource
import time
from contextlib import suppress
from pathlib import Path

import torch


def cpu_seconds() -> float:
    """User and system seconds of this process and of its children, those that ended and those that live (these need psutil)."""
    try:
        import psutil  # a bare machine with a GPU may not have it
    except ModuleNotFoundError:
        both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(usage.ru_utime + usage.ru_stime for usage in both)
    this = psutil.Process()
    total = sum(this.cpu_times()[:4])  # user, system, and both of the children that ended
    for child in this.children(recursive=True):
        with suppress(psutil.Error):
            total += sum(child.cpu_times()[:4])
    return total


def wait_for(device: torch.device) -> None:
    """Let the device finish what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Clock:
    """Seconds since it was made, by wall and by CPU, with the device waited for at both ends."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        wait_for(device)
        self.wall, self.cpu = time.perf_counter(), cpu_seconds()

    def read(self) -> tuple[float, float]:
        """Wall and CPU seconds."""
        wait_for(self.device)
        return time.perf_counter() - self.wall, cpu_seconds() - self.cpu


def peak_memory(device: torch.device) -> int:
    """The most bytes that were in use: allocated on the GPU, or resident in this process (its workers not counted)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")  # getrusage's figure survives exec: it may be the parent's
    lines = status.read_text().splitlines() if status.exists() else []
    high = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    return 1024 * (high[0] if high else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
