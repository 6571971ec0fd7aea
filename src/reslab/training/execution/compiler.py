"""What torch's compiler is told: on a GPU as few kernels as it can make, and no choice by timing where results must repeat."""

from collections.abc import Callable
from typing import Any

import torch
import torch._functorch.config
from torch import Tensor, nn

from reslab.training.casts import CastTogether, called_with

MOST = 4096  # networks that a process compiles: torch gives up after 8 that share a `forward`, where a GPU trains many side by side
FORCED = "triton.force_cooperative_reductions"
LEAN = {  # a graph of small kernels takes about as long as it has kernels
    "combo_kernels": True,  # independent small kernels become one: casts, gradients, updates
    "combo_kernel_max_num_nodes": 64,
    "triton.cooperative_reductions": True,  # a reduction over the whole GPU, and what follows it, is one kernel instead of three
    FORCED: True,  # batch norm's reductions too, which torch 2.15 thinks too small
}


def compiled(function: Callable, device: torch.device, *, fullgraph: bool = False) -> Callable:
    """The function as the compiler makes it for tensors on a device, anew for each shape."""
    # Once more, for the compiler, which was not loaded when hardware.prepare chose.
    torch.use_deterministic_algorithms(torch.are_deterministic_algorithms_enabled())
    torch._dynamo.config.recompile_limit = torch._dynamo.config.accumulated_recompile_limit = MOST
    how = {"fullgraph": fullgraph, "dynamic": False}
    fast = torch.compile(function, **how, **options(device))
    return fast if device.type != "cuda" else _Sparing(fast, torch.compile(function, **how, **options(device, forced=False)))


def options(device: torch.device, *, forced: bool = True) -> dict:
    """The options for a device, those that this version of torch has."""
    if device.type != "cuda":
        return {}
    wanted = LEAN | {"deterministic": torch.are_deterministic_algorithms_enabled()}
    known = torch.compiler.list_options() if hasattr(torch.compiler, "list_options") else torch._inductor.list_options()
    return {"options": {name: value for name, value in wanted.items() if name in known and (forced or name != FORCED)}}


class _Sparing:
    """A compiled function, made again without forced reductions for shapes that are too small for them (torch 2.11)."""

    def __init__(self, fast: Callable, plain: Callable) -> None:
        self.fast, self.plain, self.small = fast, plain, set()

    def __call__(self, *inputs: Any) -> Any:
        shapes = tuple(part.shape for part in inputs if isinstance(part, Tensor))
        if shapes not in self.small:
            try:
                with torch._functorch.config.patch(force_non_lazy_backward_lowering=True):  # 2.11 refuses some backward passes too
                    return self.fast(*inputs)
            except torch._inductor.exc.InductorError:  # before anything was computed
                self.small.add(shapes)
        return self.plain(*inputs)


class Compiled:
    """A model compiled for batches of one size; batches of another size (the last of an epoch) run eagerly."""

    def __init__(self, model: nn.Module, size: int, casts: CastTogether | None = None) -> None:
        self.model, self.size, self.casts = model, size, casts
        self.fast = compiled(called_with if casts else model, next(model.parameters()).device, fullgraph=True)

    def __call__(self, images: Tensor) -> Tensor:
        if len(images) != self.size:
            return (self.casts or self.model)(images)
        return self.fast(self.model, self.casts.cast(), images) if self.casts else self.fast(images)
