"""One network over several processes: each computes its part of every batch, and all make the same update.

A batch is cut into contiguous parts (ranks.py). The loss is a share of the whole batch's mean, so that gradients are only added up:
all of them in one flat tensor, within the step, which a CUDA graph can record with NCCL. Weights, running statistics and the state
of the optimizer are equal in all processes at any time; process 0's checkpoint is everybody's. Torch's own DistributedDataParallel
would add hooks and buckets that gain nothing at these sizes, and its SyncBatchNorm takes no CPU tensors and waits for the host.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from operator import add

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
    pieces = [_shaped(piece, tensor) for piece, tensor in zip(flat.split([t.numel() for t in tensors]), tensors, strict=True)]
    torch._foreach_copy_(pieces, list(tensors))
    ranks.add(flat)
    torch._foreach_copy_(list(tensors), pieces)


def _shaped(numbers: Tensor, like: Tensor) -> Tensor:
    """A view of a tensor's numbers with its strides, if they can be had: then one kernel copies many tensors."""
    if like.dim() == 4 and like.is_contiguous(memory_format=torch.channels_last):
        return numbers.as_strided(like.shape, like.stride())
    return numbers.view(like.shape)


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
        try:
            yield
        finally:
            for module, training in modes.items():
                module.training = training


@contextmanager
def drawing(model: nn.Module, made: Cut, views: int) -> Iterator[None]:
    """Random layers draw the numbers that belong to this process's images and chunks while this lasts."""
    layers = [module for module in model.modules() if isinstance(module, NetworkDraws)]
    for layer in layers:
        layer.before = made.before
    advance(model, made.mine.start * views)
    try:
        yield
    finally:
        for layer in layers:
            layer.before = 0
    advance(model, (made.chunks - made.mine.stop) * views)


@contextmanager
def own_statistics(model: nn.Module, ranks: Ranks, made: Cut, views: int) -> Iterator[None]:
    """Running statistics take in the chunks of all processes in order, as one process would one after the other."""
    norms = [norm for norm in model.modules() if isinstance(norm, _BatchNorm) and norm.training and norm.track_running_stats]
    statistics = [statistic for norm in norms for statistic in (norm.running_mean, norm.running_var)]
    before, counted = [statistic.clone() for statistic in statistics], [_count(norm) for norm in norms]
    yield
    if not norms:
        return
    mine, after, every = len(made.mine) * views, (made.chunks - made.mine.stop) * views, made.chunks * views
    factors = [
        _factors(norm.momentum, count, mine, after, every) for norm, count in zip(norms, counted, strict=True) for _ in range(2)
    ]
    of_now, of_before, kept = map(list, zip(*factors, strict=True))
    if ranks.first:  # what all keep of the old numbers comes in once
        of_before = list(map(add, of_before, kept))
    torch._foreach_mul_(statistics, of_now)  # few kernels, for however many layers
    torch._foreach_add_(statistics, torch._foreach_mul(before, of_before))
    for norm in norms:
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked.add_(every - mine)
    _add_flat(statistics, ranks)


def _factors(momentum: float | None, count: int, mine: int, after: int, every: int) -> tuple[float, float, float]:
    """What the statistic of this process and the one before the batch count in its share, and the latter in the whole."""
    if momentum is None:  # the mean of all so far
        return (count + mine) / (count + every), -count / (count + every), count / (count + every)
    stays = 1 - momentum
    return stays**after, -(stays ** (mine + after)), stays**every


def _count(norm: _BatchNorm) -> int:
    """The batches that a cumulative average has taken in; the others' counters are not read, for the host would wait."""
    return int(norm.num_batches_tracked) if norm.momentum is None else 0
