"""Fingerprints: logits of a network whose every tensor is filled by a rule, to compare implementations of one architecture.

u(i, salt) = ((i * 2654435761 + salt) mod 2^32) / 2^32 - 0.5 over the flattened tensor. Tensors of the same shape get equal values,
so the result depends on the computation alone, not on the names or the order of the modules.
"""

import math

import torch
from torch import Tensor, nn

SCALAR_BIAS = torch.tensor(0.05, dtype=torch.float32).double()  # the published rule writes these while they are float32


def hashed(count: int, salt: int) -> Tensor:
    """u(i, salt) for i < count, float64 in [-0.5, 0.5)."""
    index = torch.arange(count, dtype=torch.int64)
    return ((index * 2654435761 + salt) % 2**32).double() / 2**32 - 0.5


@torch.no_grad()
def fill(model: nn.Module) -> None:
    """Fill every parameter and running statistic by the rule; a learnable tau keeps its value.

    Other scalars (Fixup's multipliers, SkipInit's and ReZero's alphas) count as scalar biases; no published rule names them.
    """
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            parameter.copy_(_value(module, name, parameter).view_as(parameter))
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.copy_(0.2 * hashed(module.num_features, 5))
            module.running_var.copy_(1 + 0.4 * hashed(module.num_features, 6))


def _value(module: nn.Module, name: str, parameter: Tensor) -> Tensor:
    count = parameter.numel()
    if isinstance(module, nn.BatchNorm2d):
        return 1 + 0.2 * hashed(count, 3) if name == "weight" else 0.2 * hashed(count, 4)
    if isinstance(module, nn.Conv2d | nn.Linear):
        return hashed(count, 1) * math.sqrt(6 / parameter[0].numel()) if name == "weight" else 0.2 * hashed(count, 2)
    return parameter.detach() if name == "tau" else SCALAR_BIAS


@torch.no_grad()
def fingerprint(model: nn.Module, image_shape: tuple[int, int, int]) -> tuple[list[list[float]], float]:
    """The first four logits of the rule's two images and the Frobenius norm of all; the model is filled and becomes float64."""
    model = model.double().eval()
    fill(model)
    logits = model(4 * hashed(2 * math.prod(image_shape), 7).view(2, *image_shape))
    return logits[:, :4].tolist(), logits.norm().item()
