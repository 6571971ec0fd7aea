"""A draw by one Triton kernel, to the same bits as rng.uniform, which takes 17 kernels where nothing compiles it."""

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor

from reslab.rng import uniform

PROGRAM = 256  # numbers of a program
TRIED = 1000  # numbers by which the kernel is tried
Uniform = Callable[[Tensor, Tensor], Tensor]


def best_uniform(device: torch.device) -> Uniform:
    """What makes uniform numbers of `index` (B,) and a key () on a device: the kernel where it works, else rng.uniform."""
    return by_kernel if device.type == "cuda" and find_spec("triton") and works(device) else uniform


@cache
def works(device: torch.device) -> bool:
    """Whether the kernel can be made and launched here and gives the bits of rng.uniform."""
    index = torch.arange(TRIED, device=device) * 7919
    key = torch.tensor(-(2**62) - 12345, device=device)
    try:
        return agree(by_kernel(index, key), uniform(index, key))
    except Exception:  # noqa: BLE001 - Triton needs a C compiler, a driver that it knows, a folder for what it makes
        return False


def agree(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same bits."""
    return torch.equal(one, other)


def by_kernel(index: Tensor, key: Tensor) -> Tensor:
    """One float64 in [0, 1) per element of the int64 tensor `index`; compiled code takes the other form, which fuses better."""
    if torch.compiler.is_compiling() or not index.is_contiguous():
        return uniform(index, key)
    from reslab.data.augment.draw_kernel_code import uniform_kernel

    found = torch.empty_like(index, dtype=torch.float64)
    uniform_kernel[(-(-index.numel() // PROGRAM),)](index, key, found, index.numel(), SIZE=PROGRAM)
    return found
