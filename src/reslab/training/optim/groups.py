"""Which parameters learn at which rate and with which weight decay: parameter groups from lists of kinds."""

from collections.abc import Sequence
from typing import Literal

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from reslab.config.schema import NonNegative

Kind = Literal["batch_norm", "bias", "branch", "linear", "scalars"]
Kinds = Sequence[Kind]

OUTSIDE_BRANCHES = {"stem", "shortcut"}  # parts of a module's path, in every family


def kinds(model: nn.Module) -> dict[nn.Parameter, set[Kind]]:
    """The kinds of each parameter, in the order of `model.parameters()`; a parameter may be of several, or of none.

    - batch_norm: gamma and beta;
    - bias: all biases, beta included;
    - branch: the weights of convolutions that are neither in a stem nor in a shortcut;
    - linear: the weights of linear layers;
    - scalars: parameters of one element that belong to no layer: tau, scalar biases, multipliers.
    """
    found: dict[nn.Parameter, set[Kind]] = {parameter: set() for parameter in model.parameters()}
    for path, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            found[parameter] |= {kind for kind, is_one in _tests(path, module, name, parameter).items() if is_one}
    return found


def _tests(path: str, module: nn.Module, name: str, parameter: nn.Parameter) -> dict[Kind, bool]:
    in_branch = not OUTSIDE_BRANCHES & set(path.split("."))
    return {
        "batch_norm": isinstance(module, _BatchNorm),
        "bias": name == "bias",
        "branch": isinstance(module, nn.Conv2d) and name == "weight" and in_branch,
        "linear": isinstance(module, nn.Linear) and name == "weight",
        "scalars": parameter.numel() == 1 and not isinstance(module, nn.Conv2d | nn.Linear | _BatchNorm),
    }


def parameter_groups(
    model: nn.Module, *, lr: NonNegative, scalar_lr: NonNegative = 1.0, weight_decay: NonNegative = 0.0, no_decay: Kinds = ()
) -> list[dict]:
    """Split parameters by rate (lr, or lr * scalar_lr for `scalars`) and by decay (none for the kinds of `no_decay`).

    An empty group is left out. Scalars are the parameters of one element: tau and the scalar biases of networks without batch
    norm, which learn at lr/10 (tau-ResNet, and Fixup, arXiv:1901.09321, whose author gives the reason: their gradients sum over
    all channels). `no_decay: [batch_norm]` is the rule of the published tables of pytorch_image_classification (0 where the name
    contains "bn"); [batch_norm, bias, linear, branch] is what its last version does by mistake.
    """
    groups = {
        name: {"name": name, "params": [], "lr": rate, "initial_lr": rate, "weight_decay": decay}
        for name, rate, decay in (
            ("all", lr, weight_decay),
            ("scalars", lr * scalar_lr, weight_decay),
            ("no_decay", lr, 0.0),
            ("scalars_no_decay", lr * scalar_lr, 0.0),
        )
    }
    for parameter, of_kinds in kinds(model).items():
        parts = ["scalars"] * ("scalars" in of_kinds) + ["no_decay"] * bool(of_kinds & set(no_decay))
        groups["_".join(parts) or "all"]["params"].append(parameter)
    return [group for group in groups.values() if group["params"]]
