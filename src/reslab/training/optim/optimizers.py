"""Optimizers by name, `f(model, **options)`; `weight_decay`, `no_decay` and `scalar_lr` make the parameter groups.

SGD, Adam and AdamW are fused kernels, the others work on all tensors of a group at once (foreach).
"""

import torch
from torch import nn

from reslab.config.schema import NonNegative, Positive, Probability
from reslab.errors import UserError
from reslab.training.optim.adabound import AdaBound
from reslab.training.optim.groups import Kinds, parameter_groups
from reslab.training.optim.lars import Lars, LarsRule
from reslab.training.optim.without_compiler import without_compiler

Adadelta = without_compiler(torch.optim.Adadelta)
Adagrad = without_compiler(torch.optim.Adagrad)
Adam = without_compiler(torch.optim.Adam)
AdamW = without_compiler(torch.optim.AdamW)
RMSprop = without_compiler(torch.optim.RMSprop)
SGD = without_compiler(torch.optim.SGD)


def sgd(
    model: nn.Module,
    *,
    lr: NonNegative,
    momentum: Probability = 0.0,
    nesterov: bool = False,
    weight_decay: NonNegative = 0.0,
    no_decay: Kinds = (),
    scalar_lr: NonNegative = 1.0,
) -> torch.optim.Optimizer:
    """Stochastic gradient descent with momentum; weight decay on every parameter that `no_decay` does not name.

    `scalar_lr` multiplies the rate of one-element parameters.
    """
    if nesterov and momentum == 0:
        raise UserError("nesterov needs momentum above 0")
    groups = parameter_groups(model, lr=lr, scalar_lr=scalar_lr, weight_decay=weight_decay, no_decay=no_decay)
    optimizer = SGD(groups, lr=lr, momentum=momentum, nesterov=nesterov, fused=True)
    for group in optimizer.param_groups if momentum > 0 else ():
        for parameter in group["params"]:  # torch's own is unset memory if a loss scale skips the first step
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def adam(
    model: nn.Module,
    *,
    lr: NonNegative,
    beta1: Probability = 0.9,
    beta2: Probability = 0.999,
    eps: Positive = 1e-8,
    amsgrad: bool = False,
    weight_decay: NonNegative = 0.0,
    no_decay: Kinds = (),
    scalar_lr: NonNegative = 1.0,
) -> torch.optim.Optimizer:
    """Adam (Kingma, Ba, arXiv:1412.6980, Algorithm 1) with L2 decay; `amsgrad`: Reddi et al., arXiv:1904.09237, Algorithm 2."""
    groups = parameter_groups(model, lr=lr, scalar_lr=scalar_lr, weight_decay=weight_decay, no_decay=no_decay)
    return Adam(groups, lr=lr, betas=(beta1, beta2), eps=eps, amsgrad=amsgrad, fused=True)


def adamw(
    model: nn.Module,
    *,
    lr: NonNegative,
    beta1: Probability = 0.9,
    beta2: Probability = 0.999,
    eps: Positive = 1e-8,
    amsgrad: bool = False,
    weight_decay: NonNegative = 0.0,
    no_decay: Kinds = (),
    scalar_lr: NonNegative = 1.0,
) -> torch.optim.Optimizer:
    """Adam with decoupled decay, w - lr wd w (Loshchilov, Hutter, arXiv:1711.05101, Algorithm 2)."""
    groups = parameter_groups(model, lr=lr, scalar_lr=scalar_lr, weight_decay=weight_decay, no_decay=no_decay)
    return AdamW(groups, lr=lr, betas=(beta1, beta2), eps=eps, amsgrad=amsgrad, fused=True)


def rmsprop(
    model: nn.Module,
    *,
    lr: NonNegative,
    alpha: Probability = 0.99,
    eps: Positive = 1e-8,
    momentum: Probability = 0.0,
    centered: bool = False,
    weight_decay: NonNegative = 0.0,
    no_decay: Kinds = (),
    scalar_lr: NonNegative = 1.0,
) -> torch.optim.Optimizer:
    """RMSprop (Tieleman, Hinton, lecture 6.5, 2012); `centered`: divided by the variance (Graves, arXiv:1308.0850, eq. 38-45)."""
    groups = parameter_groups(model, lr=lr, scalar_lr=scalar_lr, weight_decay=weight_decay, no_decay=no_decay)
    return RMSprop(groups, lr=lr, alpha=alpha, eps=eps, momentum=momentum, centered=centered, foreach=True)


def adagrad(
    model: nn.Module,
    *,
    lr: NonNegative,
    lr_decay: NonNegative = 0.0,
    initial_accumulator: NonNegative = 0.0,
    eps: Positive = 1e-10,
    weight_decay: NonNegative = 0.0,
    no_decay: Kinds = (),
    scalar_lr: NonNegative = 1.0,
) -> torch.optim.Optimizer:
    """Adagrad (Duchi, Hazan, Singer, JMLR 12, 2011): each weight's rate falls with the sum of its squared gradients."""
    groups = parameter_groups(model, lr=lr, scalar_lr=scalar_lr, weight_decay=weight_decay, no_decay=no_decay)
    return Adagrad(groups, lr=lr, lr_decay=lr_decay, initial_accumulator_value=initial_accumulator, eps=eps, foreach=True)


def adadelta(
    model: nn.Module,
    *,
    lr: NonNegative = 1.0,
    rho: Probability = 0.9,
    eps: Positive = 1e-6,
    weight_decay: NonNegative = 0.0,
    no_decay: Kinds = (),
    scalar_lr: NonNegative = 1.0,
) -> torch.optim.Optimizer:
    """Adadelta (Zeiler, arXiv:1212.5701, Algorithm 1), which has no rate of its own: `lr` multiplies its steps."""
    groups = parameter_groups(model, lr=lr, scalar_lr=scalar_lr, weight_decay=weight_decay, no_decay=no_decay)
    return Adadelta(groups, lr=lr, rho=rho, eps=eps, foreach=True)


def lars(
    model: nn.Module,
    *,
    lr: NonNegative,
    rule: LarsRule,
    trust_coefficient: Positive | None = None,
    momentum: Probability = 0.9,
    weight_decay: NonNegative = 0.0,
    no_decay: Kinds = (),
    scalar_lr: NonNegative = 1.0,
) -> torch.optim.Optimizer:
    """LARS (arXiv:1708.03888) by the paper's `rule` or by pytorch_image_classification's, `hysts`, for its published numbers.

    `trust_coefficient` is eta: 0.001 in the paper, 1 in the other.
    """
    eta = trust_coefficient or {"paper": 0.001, "hysts": 1.0}[rule]
    groups = parameter_groups(model, lr=lr, scalar_lr=scalar_lr, weight_decay=weight_decay, no_decay=no_decay)
    return Lars(groups, lr=lr, momentum=momentum, weight_decay=weight_decay, rule=rule, trust_coefficient=eta)


def adabound(
    model: nn.Module,
    *,
    lr: Positive,
    beta1: Probability = 0.9,
    beta2: Probability = 0.999,
    eps: Positive = 1e-8,
    final_lr: Positive = 0.1,
    gamma: Positive = 1e-3,
    decoupled: bool = False,
    weight_decay: NonNegative = 0.0,
    no_decay: Kinds = (),
    scalar_lr: Positive = 1.0,
) -> torch.optim.Optimizer:
    """AdaBound (arXiv:1902.09843), `decoupled` AdaBoundW: from Adam to SGD at `final_lr`, the faster the larger `gamma`."""
    groups = parameter_groups(model, lr=lr, scalar_lr=scalar_lr, weight_decay=weight_decay, no_decay=no_decay)
    bounds = {"final_lr": final_lr, "gamma": gamma}
    return AdaBound(groups, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay, decoupled=decoupled, **bounds)


OPTIMIZERS = {
    "adabound": adabound,
    "adadelta": adadelta,
    "adagrad": adagrad,
    "adam": adam,
    "adamw": adamw,
    "lars": lars,
    "rmsprop": rmsprop,
    "sgd": sgd,
}
