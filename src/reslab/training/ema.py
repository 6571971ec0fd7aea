"""The exponential moving average of a network's weights (Polyak, Juditsky 1992; as in Tarvainen, Valpola, arXiv:1703.01780)."""

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


class WeightAverage(AveragedModel):
    """A copy of the model that moves to `decay` * itself + (1 - decay) * the model at each update; the first one copies.

    Running statistics are averaged too; counters and keys, which are integers, are copied. It differs from torch's class in that
    the count of updates is never read by the host.
    """

    def __init__(self, model: nn.Module, *, decay: float) -> None:
        super().__init__(model, device=next(model.parameters()).device, use_buffers=True)
        self.decay = decay

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Take in the model's present weights."""
        pairs = list(zip(_tensors(self.module), _tensors(model), strict=True))
        for average, current in pairs:
            if not average.is_floating_point():
                average.copy_(current)
        averages, currents = (list(side) for side in zip(*(pair for pair in pairs if pair[0].is_floating_point()), strict=True))
        kept = self.decay * (self.n_averaged > 0).to(averages[0].dtype)
        torch._foreach_mul_(averages, kept)
        torch._foreach_add_(averages, torch._foreach_mul(currents, 1 - kept))
        self.n_averaged += 1


def _tensors(model: nn.Module) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]
