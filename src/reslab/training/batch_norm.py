"""Batch norm's running statistics: how they average, when they start anew, and networks that train with fixed ones."""

from dataclasses import dataclass
from typing import Literal

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@dataclass(frozen=True)
class BatchNormRule:
    """`momentum`: the share of the newest batch, or cumulative: 1/n of the n-th since the last `reset`.

    None leaves the model's own. `frozen`: the running statistics are used in training and never change; gamma and beta still learn.
    """

    momentum: float | Literal["cumulative"] | None = None
    reset: Literal["never", "epoch"] = "never"
    frozen: bool = False

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


def _batch_norms(model: nn.Module) -> list[_BatchNorm]:
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]
