"""Batch norm's running statistics: how they average, when they start anew, and networks that train with fixed ones."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@dataclass(frozen=True)
class BatchNormRule:
    """`momentum`: the share of the newest batch, or cumulative: 1/n of the n-th since the last `reset`.

    None leaves the model's own. `frozen`: the running statistics are used in training and never change; gamma and beta still learn.
    `across`: whether batch norm sees the whole batch or, where several processes train a network, the part of each.
    """

    momentum: float | Literal["cumulative"] | None = None
    reset: Literal["never", "epoch"] = "never"
    frozen: bool = False
    across: Literal["batch", "process"] = "batch"

    def prepare(self, model: nn.Module) -> None:
        """Set the momentum of every batch norm."""
        for module in _batch_norms(model):
            if self.momentum is not None:
                module.momentum = None if self.momentum == "cumulative" else self.momentum

    def begin_epoch(self, model: nn.Module) -> None:
        """Put the model into training mode, with new statistics if `reset` is epoch."""
        self.train(model)
        if self.reset == "epoch":
            for module in _batch_norms(model):
                module.reset_running_stats()

    def train(self, model: nn.Module) -> None:
        """Put the model into training mode, but frozen batch norms into eval mode."""
        model.train()
        if self.frozen:
            for module in _batch_norms(model):
                module.eval()


class CountedTogether:
    """The counters of a network's batch norms in one tensor: one kernel counts a batch, not one a layer."""

    def __init__(self, model: nn.Module) -> None:
        self.norms = [module for module in _batch_norms(model) if module.num_batches_tracked is not None]
        self.counts = torch.stack([norm.num_batches_tracked for norm in self.norms]) if self.norms else None
        for place, norm in enumerate(self.norms):
            norm.num_batches_tracked = self.counts[place]

    def __call__(self, network: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        """The network's forward pass; its batch norms do not count while it lasts."""
        # All of them, or none where they are frozen. The same tensors are put back: a trial of a level knows them by identity.
        counting = [(norm, norm.num_batches_tracked) for norm in self.norms if norm.training]
        for norm, _ in counting:
            norm.num_batches_tracked = None
        try:
            return network(images)
        finally:
            for norm, count in counting:
                norm.num_batches_tracked = count
            if counting:
                self.counts.add_(1)


def _batch_norms(model: nn.Module) -> list[_BatchNorm]:
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]
