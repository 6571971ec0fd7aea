"""The machine and the environment variables that describe it: project folder, cores, processes, memory for images."""

import ctypes
import os
import platform
from pathlib import Path

from reslab.errors import UserError

MOST = 1024  # processes or threads
DECODERS, RESIDENT, PROCESSES = "RESLAB_DECODERS", "RESLAB_RESIDENT_GIB", "RESLAB_PROCESSES"
DRIVER = "libcuda.so.1"
TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
MOST_GIB = 10**6
SHARE = 0.5  # of the device's free memory: weights, activations and the compiler's buffers need the rest


def project_root() -> Path:
    """The main checkout: DVC_ROOT inside a DVC stage (also in its temporary workspaces), else the current folder."""
    return Path(os.environ.get("DVC_ROOT", ".")).resolve()


def user_cache() -> Path:
    """Where compiled code is kept between runs: $XDG_CACHE_HOME/reslab, by default ~/.cache/reslab.

    Raises UserError for a user without a home, as in a container that is started under a number.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or in_home(Path("~/.cache"))) / "reslab"


def in_home(path: Path) -> Path:
    """A path with ~ written out; raises UserError where there is no such home."""
    try:
        return path.expanduser()
    except RuntimeError:  # Python's
        raise UserError(f"{path}: this user has no home directory here; set HOME (or XDG_CACHE_HOME) to a folder") from None


def cpu_name() -> str:
    """The processor as the system names it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def may_have_gpu() -> bool:
    """Whether torch may find a GPU here: without NVIDIA's driver library it cannot, so torch need not be loaded."""
    if wish := os.environ.get("RESLAB_DEVICE"):
        return wish != "cpu"
    try:
        ctypes.CDLL(DRIVER)  # ctypes.util.find_library starts a compiler and a linker to find out
    except OSError:
        return False
    return True


def cpu_count() -> int:
    """The number of cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def memory_bytes() -> int:
    """The memory of this machine, or of the container or job where that is less."""
    limits = [Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")]
    said = [path.read_text(encoding="ascii").strip() for path in limits if path.is_file()]
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([total, *(int(text) for text in said if text.isdecimal())])


def count_from_environment(name: str, default: int, *, least: int = 1) -> int:
    """A number of threads or processes from an environment variable; raises UserError for anything else."""
    value = os.environ.get(name) or str(default)
    number = int(value) if value.isdecimal() and len(value) <= len(str(MOST)) else -1
    if not least <= number <= MOST:
        raise UserError(f"{name}={value} is not allowed: a whole number from {least} to {MOST}")
    return number


def by_torchrun() -> bool:
    """Whether torchrun has started this process as one of several that train one network."""
    return all(name in os.environ for name in TORCHRUN) and os.environ["WORLD_SIZE"] != "1"


def decoders(default: int) -> int:
    """The number of processes that decode images: RESLAB_DECODERS if set (0: the calling process decodes); raises UserError."""
    return count_from_environment(DECODERS, default, least=0)


def resident_bytes(free: int | None) -> float:
    """The size in bytes up to which a split is kept on the device: RESLAB_RESIDENT_GIB if set, else a share of its `free` bytes.

    `free` is None for a device whose memory is the host's: it keeps everything. Raises UserError for a value that is not a size.
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
