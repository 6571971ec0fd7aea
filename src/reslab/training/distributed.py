"""One network over several processes: each computes its part of every batch, and all make the same update.

A batch is cut into contiguous parts (ranks.py). The loss is a share of the whole batch's mean, so that gradients are only added up:
all of them in one flat tensor, within the step, which a CUDA graph can record with NCCL. Weights, running statistics and the state
of the optimizer are equal in all processes at any time; process 0's checkpoint is everybody's. Torch's own DistributedDataParallel
would add hooks and buckets that gain nothing at these sizes, and its SyncBatchNorm takes no CPU tensors and waits for the host.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from reslab.rng import NetworkDraws, advance
from reslab.runs.ranks import Ranks


def add_gradients(model: nn.Module, ranks: Ranks, *numbers: Tensor) -> tuple[Tensor, ...]:
    """Add up the gradients of all processes in place, and return the sums of some `numbers` (), float64."""
    if ranks.alone:
        return numbers
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    _add_flat(gradients, ranks)
    return ranks.add(torch.stack(numbers)).unbind()


def _add_flat(tensors: Sequence[Tensor], ranks: Ranks) -> None:
    """Replace tensors by their sums over all processes, by one addition in float32, or float64 if there is any."""
    if not tensors:
        return
    dtype = torch.float64 if any(tensor.dtype == torch.float64 for tensor in tensors) else torch.float32
    flat = torch.empty(sum(tensor.numel() for tensor in tensors), dtype=dtype, device=tensors[0].device)
    pieces = [piece.view(tensor.shape) for piece, tensor in zip(flat.split([t.numel() for t in tensors]), tensors, strict=True)]
    torch._foreach_copy_(pieces, list(tensors))
    ranks.add(flat)
    torch._foreach_copy_(list(tensors), pieces)


@dataclass(frozen=True)
class Cut:
    """How a batch of `size` images is computed: in `chunks` with statistics of their own; this process has those in `mine`."""

    size: int
    chunks: int
    mine: range
    before: int = 0  # images of the chunk that are another process's and come first
    shared: bool = False  # the batch is one chunk, of which each process has a part


def cut(size: int, ranks: Ranks, *, ghost_batch_size: int | None, per_process: bool) -> Cut:
    """The cut of a batch: into ghost batches, each of one process; into each process's part; or else not at all."""
    parts = ranks.parts(size, 1 if per_process else ghost_batch_size or 1)
    if not per_process and ghost_batch_size is None:
        return Cut(size, 1, range(1), parts[ranks.rank].start, shared=True)
    counts = [-(-(part.stop - part.start) // (ghost_batch_size or size)) for part in parts]
    first = sum(counts[: ranks.rank])
    return Cut(size, sum(counts), range(first, first + counts[ranks.rank]))


@contextmanager
def computing_part(model: nn.Module, images: Tensor, ranks: Ranks, made: Cut | None) -> Iterator[None]:
    """Gradients of this process's `images` (B, ...) are computed while this lasts, as one process would of the whole batch.

    A process that has no chunk of a batch computes on no images in eval mode, to have a gradient of zero to add.
    """
    if made is None:
        yield
        return
    views = images.shape[1] if images.dim() == 5 else 1
    modes = {module: module.training for module in model.modules()}
    with nullcontext() if made.shared else own_statistics(model, ranks, made, views), drawing(model, made, views):
        if not made.mine:
            model.eval()
        yield
        for module, training in modes.items():
            module.training = training


@contextmanager
def drawing(model: nn.Module, made: Cut, views: int) -> Iterator[None]:
    """Random layers draw the numbers that belong to this process's images and chunks while this lasts."""
    layers = [module for module in model.modules() if isinstance(module, NetworkDraws)]
    for layer in layers:
        layer.before = made.before
    advance(model, made.mine.start * views)
    yield
    advance(model, (made.chunks - made.mine.stop) * views)
    for layer in layers:
        layer.before = 0


@contextmanager
def own_statistics(model: nn.Module, ranks: Ranks, made: Cut, views: int) -> Iterator[None]:
    """Running statistics take in the chunks of all processes in order, as one process would one after the other."""
    norms = [norm for norm in model.modules() if isinstance(norm, _BatchNorm) and norm.training and norm.track_running_stats]
    before = [tuple(statistic.clone() for statistic in _statistics(norm)) for norm in norms]
    counted = [_count(norm) for norm in norms]
    yield
    mine, after, every = len(made.mine) * views, (made.chunks - made.mine.stop) * views, made.chunks * views
    found = []
    for norm, old, count in zip(norms, before, counted, strict=True):
        for now, then in zip(_statistics(norm), old, strict=True):
            if norm.momentum is None:  # the mean of all so far
                share = ((count + mine) * now - count * then) / (count + every)
                kept = count / (count + every)
            else:
                stays = 1 - norm.momentum
                share, kept = (now - stays**mine * then) * stays**after, stays**every
            now.copy_(share + kept * then if ranks.first else share)
            found.append(now)
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked.add_(every - mine)
    _add_flat(found, ranks)


def _statistics(norm: _BatchNorm) -> tuple[Tensor, Tensor]:
    return norm.running_mean, norm.running_var


def _count(norm: _BatchNorm) -> int:
    """The batches that a cumulative average has taken in; the others' counters are not read, for the host would wait."""
    return int(norm.num_batches_tracked) if norm.momentum is None else 0


class AcrossProcesses:
    """Batch norm over the whole batch, of which each process has a part: of which size, and the means of all processes' numbers."""

    def __init__(self, model: nn.Module, ranks: Ranks) -> None:
        self.ranks, self.size = ranks, 0
        self.shares: dict[tuple, Tensor] = {}  # of the batch, by process: made once, outside of a recording
        for norm in model.modules():
            if isinstance(norm, _BatchNorm):
                norm.__class__, norm.across = BatchNormAcross, self

    def share_of(self, like: Tensor) -> Tensor:
        """The share of the batch that each process has, (N, 1)."""
        key = self.size, like.dtype, like.device
        if key not in self.shares:
            shares = [(part.stop - part.start) / self.size for part in self.ranks.parts(self.size)]
            self.shares[key] = torch.tensor(shares, dtype=like.dtype, device=like.device)[:, None]
        return self.shares[key]

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of each channel of the whole batch, (C,) each; x (B, C, H, W) is this process's part."""
        table = x.new_zeros((self.ranks.count, 2, x.shape[1]))
        if len(x):
            mean = x.mean((0, 2, 3))
            table[self.ranks.rank, 0] = mean
            table[self.ranks.rank, 1] = (x - mean[:, None, None]).square().mean((0, 2, 3))
        self.ranks.add(table)
        share, (means, variances) = self.share_of(x), table.unbind(1)
        mean = (share * means).sum(0)
        return mean, (share * (variances + (means - mean).square())).sum(0)


class BatchNormAcross(nn.BatchNorm2d):
    """Batch norm whose statistics in training are those of all processes' parts together; otherwise torch's."""

    across: AcrossProcesses

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        factor = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        values = self.across.size * x.shape[2] * x.shape[3]
        y, mean, variance = _Normalize.apply(x, self.weight, self.bias, self.eps, self.across)
        with torch.no_grad():
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), factor)
            self.running_var.lerp_((variance * (values / (values - 1))).to(self.running_var.dtype), factor)
        return y


class _Normalize(torch.autograd.Function):
    """Batch norm's two passes; each adds up one small tensor over all processes."""

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx, x: Tensor, weight: Tensor, bias: Tensor, eps: float, across: AcrossProcesses
    ) -> tuple[Tensor, Tensor, Tensor]:
        values = x.to(torch.promote_types(x.dtype, torch.float32))
        mean, variance = across.moments(values)
        scale = (variance + eps).rsqrt()
        ctx.save_for_backward(x, weight, mean, scale)
        ctx.across = across
        ctx.size = across.size * x.shape[2] * x.shape[3]
        ctx.mark_non_differentiable(mean, variance)
        y = (values - _map(mean)) * _map(scale * weight) + _map(bias)
        return y.to(x.dtype), mean, variance

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, scale = ctx.saved_tensors
        dtype = mean.dtype
        normalized, gradient = (x.to(dtype) - _map(mean)) * _map(scale), gradient.to(dtype)
        of_bias, of_weight = gradient.sum((0, 2, 3)), (gradient * normalized).sum((0, 2, 3))
        means = ctx.across.ranks.add(torch.stack([of_bias, of_weight])) / ctx.size
        of_x = _map(scale * weight) * (gradient - _map(means[0]) - normalized * _map(means[1]))
        return of_x.to(x.dtype), of_weight.to(weight.dtype), of_bias.to(weight.dtype), None, None


def _map(channels: Tensor) -> Tensor:
    """Numbers of channels (C,) -> (C, 1, 1), for maps."""
    return channels[:, None, None]
