"""What torch's compiler is told: on a GPU as few kernels as it can make, and no choice by timing where results must repeat."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from reslab.training.casts import CastTogether, called_with

LEAN = {  # a graph of small kernels takes about as long as it has kernels
    "combo_kernels": True,  # independent small kernels become one: casts, gradients, updates
    "combo_kernel_max_num_nodes": 64,
    "triton.cooperative_reductions": True,  # a reduction over the whole GPU, and what follows it, is one kernel instead of three
    "triton.force_cooperative_reductions": True,  # batch norm's reductions too, which torch 2.15 thinks too small
}


def compiled(function: Callable, device: torch.device, *, fullgraph: bool = False) -> Callable:
    """The function as the compiler makes it for tensors on a device, anew for each shape."""
    # Once more, for the compiler, which was not loaded when hardware.prepare chose.
    torch.use_deterministic_algorithms(torch.are_deterministic_algorithms_enabled())
    return torch.compile(function, fullgraph=fullgraph, dynamic=False, **options(device))


def options(device: torch.device) -> dict:
    """The options for a device, those that this version of torch has."""
    if device.type != "cuda":
        return {}
    wanted = LEAN | {"deterministic": torch.are_deterministic_algorithms_enabled()}
    known = torch.compiler.list_options() if hasattr(torch.compiler, "list_options") else torch._inductor.list_options()
    return {"options": {name: value for name, value in wanted.items() if name in known}}


class Compiled:
    """A model compiled for batches of one size; batches of another size (the last of an epoch) run eagerly."""

    def __init__(self, model: nn.Module, size: int, casts: CastTogether | None = None) -> None:
        self.model, self.size, self.casts = model, size, casts
        self.fast = compiled(called_with if casts else model, next(model.parameters()).device, fullgraph=True)

    def __call__(self, images: Tensor) -> Tensor:
        if len(images) != self.size:
            return (self.casts or self.model)(images)
        return self.fast(self.model, self.casts.cast(), images) if self.casts else self.fast(images)
