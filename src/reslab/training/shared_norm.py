"""Batch norm over the whole batch, of which each process has a part: two small tensors are added up in each layer and step.

All processes must add up in the same order, also where one runs compiled code, which may change the order of what is independent.
So each sum needs a number that the one before leaves, always 0: the forward pass hands it from layer to layer, its gradient goes
back from layer to layer.
"""

import math
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm
from torch.nn.modules.batchnorm import _BatchNorm

from reslab.errors import UserError
from reslab.runs.ranks import Ranks, add_over_processes

MEND = "train with one process, or with `train.batch_norm.across: process`"


class Order:
    """The order of the sums within a step, which it encloses: `last` is what the latest sum left.

    A part that is computed again has an order of its own within, or each such part would hold the one before.
    """

    def __init__(self, device: torch.device) -> None:
        self.first = self.last = torch.zeros(1, device=device)
        self.outer: list[Tensor] = []

    def __enter__(self) -> None:
        self.outer.append(self.last)
        self.last = self.first

    def __exit__(self, *_: object) -> None:
        self.last = self.outer.pop()  # what was last within holds all that was computed


def share_statistics(model: nn.Module, ranks: Ranks) -> Order | None:
    """Let all batch norms of a model use the statistics of all processes' images in training; None if it has none.

    The order must enclose each step. Raises UserError for batch norms that would give other numbers: with a forward pass of
    their own, or without running statistics.
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    if not norms:
        return None
    for norm in norms:
        name = type(norm).__name__
        if type(norm).forward is not _BatchNorm.forward:
            raise UserError(f"{name} has a forward pass of its own, which several processes cannot share; {MEND}")
        if not norm.track_running_stats:
            raise UserError(
                f"{name} without running statistics depends on the batches that each process scores; train with one process"
            )
    order = Order(norms[0].running_mean.device)
    for norm in norms:
        norm.__class__, norm.ranks, norm.order = shared_kind(type(norm)), ranks, order
    return order


@cache
def shared_kind(kind: type[_BatchNorm]) -> type["SharedBatchNorm"]:
    """The class that is a kind of batch norm in all but its forward pass."""
    return type(f"Shared{kind.__name__}", (SharedBatchNorm, kind), {})


class SharedBatchNorm(_BatchNorm):
    """A batch norm whose statistics in training are those of all processes' parts together; otherwise torch's."""

    ranks: Ranks
    order: Order

    def forward(self, x: Tensor) -> Tensor:
        """Normalize a process's part (B, C, ...) of a batch."""
        if not self.training:
            return batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        factor = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        before = self.order.last
        told = _Normalize.apply(x, self.weight, self.bias, before, self.eps, self.ranks.rank, self.ranks.count)
        y, mean, variance, count, self.order.last = told
        with torch.no_grad():
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), factor)
            self.running_var.lerp_((variance * (count / (count - 1).clamp(min=1))).to(self.running_var.dtype), factor)
        return y


@torch.library.custom_op("reslab::add_over_processes", mutates_args=("x",))
def _add(x: Tensor) -> None:
    """`add_over_processes` as an operation that the compiler leaves as it is."""
    add_over_processes(x)


@_add.register_fake
def _(x: Tensor) -> None:
    pass


def added(x: Tensor) -> Tensor:
    """A tensor that nobody else has, replaced by its sum over all processes."""
    _add(x)
    return x


class _Normalize(torch.autograd.Function):
    """Batch norm's two passes; each adds up one small tensor over all processes.

    Also returned: mean and biased variance of each channel of the whole batch, (C,), the number of its values, (1,), and the 0 (1,)
    for the next one in the order.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, before: Tensor, eps: float, rank: int, processes: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        mean, variance, count = _moments(x.to(torch.promote_types(x.dtype, torch.float32)), before, rank, processes)
        exact = weight if weight is None else weight.to(mean.dtype)
        ctx.save_for_backward(x, weight, mean, variance, count)
        ctx.eps, ctx.learns, ctx.format = eps, weight is not None, before.dtype
        ctx.mark_non_differentiable(mean, variance, count)
        # Torch's own normalizes by numbers that are given: one kernel.
        y = batch_norm(x, mean, variance, exact, bias if bias is None else bias.to(mean.dtype), eps=eps)
        return y, mean, variance, count, count * 0

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *others: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, variance, count = ctx.saved_tensors
        scale = (variance + ctx.eps).rsqrt()
        exact = weight.to(mean.dtype) if ctx.learns else torch.ones_like(mean)
        of_weight, of_bias = torch.zeros_like(mean), torch.zeros_like(mean)
        if len(x):
            _, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
                gradient, x, exact, mean, variance, mean, scale, False, ctx.eps, [False, True, True]
            )
        means = added(torch.stack([of_bias, of_weight]) + others[-1]) / count
        slope = scale * exact
        of_scaled = -slope * scale * means[1]  # x's share, which is the same for all values of a channel
        constant = -slope * means[0] - of_scaled * mean
        of_x = torch.addcmul(
            torch.addcmul(_like(constant, x), _like(of_scaled, x), x.to(mean.dtype)), _like(slope, x), gradient.to(mean.dtype)
        )
        learned = (of_weight.to(weight.dtype), of_bias.to(weight.dtype)) if ctx.learns else (None, None)
        zero = (means[0, :1] > math.inf).to(ctx.format)  # not 0 times a mean, which may be infinite
        return of_x.to(x.dtype), *learned, zero, None, None, None


def _moments(x: Tensor, before: Tensor, rank: int, processes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and variance of each channel of the whole batch, (C,) each, and its number of values (1,); x is this process's part."""
    channels = x.shape[1]
    here = torch.zeros((3, channels), dtype=x.dtype, device=x.device)
    if len(x):
        rest = [0, *range(2, x.dim())]  # torch.var_mean over them takes ten times as long on a CPU
        mean = x.mean(rest)
        variance = (x - _like(mean, x)).square().mean(rest)
        here = torch.stack([mean, variance, torch.full_like(mean, x.numel() // channels)])
    others = [here.new_zeros((3, channels))] * (processes - 1)
    table = added(torch.stack([*others[:rank], here, *others[rank:]]) + before)
    means, variances, counts = table.unbind(1)
    count = counts[:, :1].sum(0)
    share = counts[:, :1] / count
    mean = (share * means).sum(0)
    return mean, (share * (variances + (means - mean).square())).sum(0), count


def _like(channels: Tensor, x: Tensor) -> Tensor:
    """Numbers of channels (C,) -> (C, 1, ...), for a batch (B, C, ...)."""
    return channels.view(-1, *[1] * (x.dim() - 2))
