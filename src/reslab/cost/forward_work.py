"""Counting the work of a forward pass: arithmetic, memory traffic, calls."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._pytree import tree_leaves

from reslab.cost.counts import ForwardWork
from reslab.models.analysis.count import MultiplyAdds
from reslab.runs.ranks import apart

IMAGES = 2  # batch norm refuses to train on one


class Traffic(MultiplyAdds):
    """Count the operations under it, the bytes of images and features that they read and write, and their multiply-adds."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = self.bytes = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        outputs = super().__torch_dispatch__(function, types, args, kwargs)
        if not _is_view(function):
            self.operations += 1
            tensors = [leaf for leaf in tree_leaves((args, outputs)) if isinstance(leaf, Tensor)]
            self.bytes += sum(tensor.nbytes for tensor in tensors if not isinstance(tensor, nn.Parameter))
        return outputs


def _is_view(function: Any) -> bool:
    aliases = [value.alias_info for value in function._schema.returns]
    return any(alias is not None and not alias.is_write for alias in aliases)


def forward_work(model: nn.Module, image_shape: tuple[int, int, int]) -> ForwardWork:
    """Count a forward pass in training mode on images (C, H, W); on the meta device it costs no memory."""
    images, traffic = torch.empty(IMAGES, *image_shape, device=next(model.parameters()).device), Traffic()
    with torch.no_grad(), apart(), traffic:  # what batch norm exchanges with other processes is no work
        model.train()(images)
    parameters = [parameter.numel() for parameter in model.parameters() if parameter.requires_grad]
    return ForwardWork(
        multiply_adds=traffic.multiply_adds / IMAGES,
        bytes=traffic.bytes / IMAGES,
        operations=traffic.operations,
        parameters=sum(parameters),
        tensors=len(parameters),
        norms=sum(isinstance(module, _BatchNorm) for module in model.modules()),
    )
