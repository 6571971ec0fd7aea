"""Which instructions the libraries may use on a CPU: its fastest (native), or those of every processor with AVX2 (portable)."""

import os
import platform

from reslab.errors import UserError

VARIABLE = "RESLAB_NUMERICS"
NATIVE, PORTABLE = "native", "portable"
PINNED = {
    "ONEDNN_MAX_CPU_ISA": "AVX2",  # convolutions: no AVX-512, whose kernels sum in another order
    "ATEN_CPU_CAPABILITY": "avx2",  # torch's own loops
    "MKL_CBWR": "COMPATIBLE",  # products of matrices: the only branch that MKL promises on processors of all vendors
}
NEEDED = "they need a CPU with AVX2, under Linux on x86-64"
AVX2 = "AVX2"  # as torch.backends.cpu.get_cpu_capability names it


def chosen(of_study: str) -> str:
    """The numerics to train in: RESLAB_NUMERICS if set, else those of the study; raises UserError for any other word."""
    wish = os.environ.get(VARIABLE) or of_study
    if wish not in (NATIVE, PORTABLE):
        raise UserError(f"{VARIABLE}={wish} is not allowed; allowed: {NATIVE}, {PORTABLE}")
    return wish


def pin(wish: str) -> None:
    """Set what the libraries read once, when they first compute: call it before, best before torch is loaded.

    Processes that are started later inherit it. Native numerics set nothing, so that a user's own settings count.
    """
    if wish == PORTABLE:
        os.environ.update(PINNED)


def in_force(device: str, capability: str) -> str:
    """The numerics that a process computes in, for its record; `capability` is the one that torch says it uses.

    Portable are those of a CPU that has AVX2, under Linux on x86-64: elsewhere torch is built with other libraries.
    """
    place = (device, platform.system(), platform.machine()) == ("cpu", "Linux", "x86_64")
    pinned = all(os.environ.get(name) == value for name, value in PINNED.items())
    return PORTABLE if place and pinned and capability == AVX2 else NATIVE
