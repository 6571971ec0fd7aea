"""The exponential moving average of a network's weights (Polyak, Juditsky 1992; as in Tarvainen, Valpola, arXiv:1703.01780)."""

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def weight_average(model: nn.Module, *, decay: float) -> AveragedModel:
    """A copy of the model that moves to `decay` * itself + (1 - decay) * the model at each update; the first one copies.

    Running statistics are averaged too; counters and keys, which are integers, are copied.
    """
    blend = get_ema_multi_avg_fn(decay)

    def update(averages: list[Tensor], currents: list[Tensor], count: Tensor) -> None:
        if averages[0].is_floating_point():
            blend(averages, currents, count)
        else:
            torch._foreach_copy_(averages, currents)

    return AveragedModel(model, multi_avg_fn=update, use_buffers=True)
