"""Batch norm by kernels of our own where a step is recorded but not compiled: the same numbers up to the order of sums."""

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from reslab.errors import telling_line
from reslab.runs.gpu_memory import out_of_memory
from reslab.training.execution.cuda_graph import RecordingError
from reslab.training.execution.executor import Launch

TILE, MOST_PROGRAMS, WIDEST = 4096, 128, 64  # elements of a tile; programs side by side; channels of a program
TYPES = (torch.float32, torch.bfloat16, torch.float16)


def fuse(model: nn.Module) -> list[nn.BatchNorm2d]:
    """Give every batch norm of a network that can use them the kernels; return those batch norms. None without Triton."""
    norms = [module for module in model.modules() if type(module) is nn.BatchNorm2d and _can(module)] if find_spec("triton") else []
    for norm in norms:
        norm.forward, norm.with_relu = partial(normalized, norm), partial(normalized, norm, relu=True)
    return norms


def release(norms: list[nn.BatchNorm2d]) -> None:
    """Give batch norms their own forward pass back."""
    for norm in norms:
        del norm.forward, norm.with_relu


def with_own_kernels(model: nn.Module, attempt: Callable[[], Launch]) -> tuple[Launch, dict[str, str]]:
    """What an attempt makes with the kernels; without them, and why, if it fails with them. Raises what it raises without."""
    norms = fuse(model)
    try:
        return attempt(), {}
    except Exception as error:
        release(norms)
        if not norms or out_of_memory(error) or isinstance(error, RecordingError):
            raise
        return attempt(), {"own kernels of batch norm": telling_line(error)}


def _can(norm: nn.BatchNorm2d) -> bool:
    return norm.affine and norm.track_running_stats and norm.momentum is not None and norm.weight.dtype == torch.float32


def normalized(norm: nn.BatchNorm2d, x: Tensor, *, relu: bool = False) -> Tensor:
    """The forward pass of a batch norm, (B, C, H, W) -> the same, with ReLU if wanted."""
    if not norm.training or not _fits(x):
        y = nn.BatchNorm2d.forward(norm, x)
        return y.relu() if relu else y
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
    return _Normalized.apply(x, norm.weight, norm.bias, norm, relu)


def _fits(x: Tensor) -> bool:
    """Whether images are in the layout that the kernels take, and a channel has more than one value."""
    return x.dtype in TYPES and x.is_contiguous(memory_format=torch.channels_last) and x.numel() > x.shape[1]


class Shape:
    """How the rows of images (B, C, H, W) are shared out among programs."""

    def __init__(self, x: Tensor) -> None:
        self.channels = x.shape[1]
        self.rows = x.numel() // self.channels
        self.width = min(WIDEST, 1 << (self.channels - 1).bit_length())
        self.height = TILE // self.width
        self.tiles = -(-self.rows // (self.height * MOST_PROGRAMS))
        self.programs = -(-self.rows // (self.height * self.tiles))
        self.grid = (self.programs, -(-self.channels // self.width))
        self.sizes = (self.rows, self.channels, self.tiles)
        self.tile = {"ROWS": self.height, "WIDTH": self.width}
        self.all = self.tile | {"PROGRAMS": MOST_PROGRAMS}

    def partial(self, x: Tensor) -> Tensor:
        """Room for what each program finds of each channel, twice."""
        return torch.empty(2, self.programs, self.channels, dtype=torch.float32, device=x.device)


class _Normalized(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, norm: nn.BatchNorm2d, relu: bool) -> Tensor:
        from reslab.training.execution import norm_kernels as kernels

        shape, out = Shape(x), torch.empty_like(x)
        found, kept = shape.partial(x), torch.empty(2, shape.channels, dtype=torch.float32, device=x.device)
        kernels.statistics[shape.grid](x, *found, *shape.sizes, **shape.tile)
        statistics = (*found, weight, bias, norm.running_mean, norm.running_var, *kept)
        kernels.normalize[shape.grid](x, out, *statistics, *shape.sizes, norm.momentum, norm.eps, **shape.all, RELU=relu)
        ctx.relu = relu
        ctx.save_for_backward(x, weight, kept, out if relu else x)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        from reslab.training.execution import norm_kernels as kernels

        x, weight, kept, out = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        shape, to_x = Shape(x), torch.empty_like(x)
        found, to_rest = shape.partial(x), torch.empty(2, shape.channels, dtype=torch.float32, device=x.device)
        kernels.gradient_sums[shape.grid](x, out, gradient, kept[0], *found, *shape.sizes, **shape.tile, RELU=ctx.relu)
        rest = (weight, *kept, *found, to_x, *to_rest)
        kernels.gradients[shape.grid](x, out, gradient, *rest, *shape.sizes, **shape.all, RELU=ctx.relu)
        return to_x, *to_rest, None, None
