"""The device, threads and numerics of a run: set by the machine and the environment; the study may ask for portable numerics."""

import ctypes
import os
import platform

import torch

from reslab.environment import count_from_environment, cpu_name, user_cache
from reslab.errors import UserError, cut, first_line
from reslab.training.execution.numerics import NATIVE, PORTABLE, chosen, in_force, pin
from reslab.training.execution.roots import use_exact_roots

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
OVERRIDE = "NVIDIA_TF32_OVERRIDE"


def choose_device() -> torch.device:
    """RESLAB_DEVICE if set, else the GPU if there is one, else the CPU. Raises UserError for a device that cannot be used."""
    os.environ.setdefault("CUDA_DEVICE_MAX_CONNECTIONS", "32")  # hardware queues; read when CUDA starts, 8 unless set
    wish = os.environ.get("RESLAB_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wish)
        if device.type not in ("cpu", "cuda"):
            raise RuntimeError("neither CPU nor CUDA")
        torch.zeros(1, device=device)
        if device.type == "cuda" and device.index is not None:
            torch.cuda.set_device(device)  # events and streams belong to the current device
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"RESLAB_DEVICE={wish}: not usable here ({first_line(error)}); allowed: cpu, cuda") from error
    return device if device.type == "cuda" else torch.device("cpu")  # cpu:1 is the same one


def prepare(device: torch.device, *, precision: str, fast: bool, numeric: str = NATIVE) -> None:
    """Set threads, allocator and numerics for one process.

    One CPU thread unless RESLAB_THREADS is set: float32 sums depend on the thread count, and several seeds train in
    processes of their own. Deterministic unless `fast`. `numeric`: the numerics that the study asks for. Raises UserError for a
    variable that makes NVIDIA's libraries compute in another precision.
    """
    if device.type == "cuda":
        _check_override(precision)
    wish = chosen(numeric)
    pin(wish)
    use_exact_roots(wish == PORTABLE and device.type == "cpu")
    torch.set_num_threads(count_from_environment("RESLAB_THREADS", 1))
    _keep_freed_memory()
    torch.set_deterministic_debug_mode("default" if fast else "error")  # use_deterministic_algorithms would import the compiler
    torch.utils.deterministic.fill_uninitialized_memory = False  # a check for bugs, at the price of a kernel for each new tensor
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(user_cache() / "compiled"))
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with a fixed workspace
        torch.backends.cudnn.benchmark = fast
        torch.backends.cudnn.deterministic = not fast
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"


def _check_override(precision: str) -> None:
    """NVIDIA's libraries obey the variable whatever torch asks them for; 0 is never tf32, which all other precisions want."""
    value = os.environ.get(OVERRIDE, "")
    if value and (value != "0" or precision == "tf32"):
        raise UserError(f"{OVERRIDE}={cut(value)}: NVIDIA's libraries would obey it against train.precision {precision}; unset it")


def _keep_freed_memory() -> None:
    """Make glibc keep large freed blocks: mapping the activations anew in each step takes 10-20 % of the time."""
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)


def describe(device: torch.device) -> dict:
    """The device, threads and versions, for a run's record."""
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name(),
        "threads": torch.get_num_threads(),
        "numerics": in_force(device.type, torch.backends.cpu.get_cpu_capability()),
        "torch": str(torch.__version__),  # its own class would load torch wherever the record goes
        "cuda": torch.version.cuda if device.type == "cuda" else None,
        "python": platform.python_version(),
    }
