"""Optimizers by name, `f(model, **options)`, and which parameters learn at which rate."""

from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from reslab.errors import UserError
from reslab.schema import NonNegative


def parameter_groups(model: nn.Module, *, lr: float, scalar_lr: float) -> list[dict]:
    """Split parameters into `all` at rate lr and `scalars` at lr * scalar_lr; an empty group is left out.

    Scalars are the parameters of one element: tau and the scalar biases of networks without batch norm, which learn at lr/10
    (tau-ResNet, and Fixup, arXiv:1901.09321, whose author gives the reason: their gradients sum over all channels).
    """
    scalars = [parameter for parameter in model.parameters() if parameter.numel() == 1]
    others = [parameter for parameter in model.parameters() if parameter.numel() != 1]
    groups = [
        {"name": "all", "params": others, "lr": lr, "initial_lr": lr},
        {"name": "scalars", "params": scalars, "lr": lr * scalar_lr, "initial_lr": lr * scalar_lr},
    ]
    return [group for group in groups if group["params"]]


def sgd(
    model: nn.Module,
    *,
    lr: NonNegative,
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    nesterov: bool = False,
    weight_decay: NonNegative = 0.0,
    scalar_lr: NonNegative = 1.0,
) -> torch.optim.Optimizer:
    """Stochastic gradient descent with momentum; weight decay on every parameter.

    `scalar_lr` multiplies the rate of one-element parameters.
    """
    if nesterov and momentum == 0:
        raise UserError("nesterov needs momentum above 0")
    groups = parameter_groups(model, lr=lr, scalar_lr=scalar_lr)
    return torch.optim.SGD(groups, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay, fused=True)


OPTIMIZERS = {
    "sgd": sgd,
}
