"""Initialisation: five options that every family has, each family with the defaults of the system that published its numbers."""

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any, Literal

from torch import nn

from reslab.errors import UserError

Fan = Literal["fan_in", "fan_out"]
LinearInit = Literal["uniform", "fan_in", "fan_out", "zero"]
BiasInit = Literal["uniform", "zero"]
Gamma = Literal["one", "uniform", "near_one"]
INITIALISATION = {"init": Fan, "linear_init": LinearInit, "linear_bias": BiasInit, "gamma": Gamma, "zero_last_gamma": bool}


def initialized(
    *, init: Fan, linear_init: LinearInit = "uniform", linear_bias: BiasInit = "uniform", gamma: Gamma = "one"
) -> Callable[[Callable], Callable]:
    """Give a family's function the options of `initialize`, with these defaults, and apply them to what it builds.

    init: convolutions from N(0, 2 / fan), by fan-in or fan-out ("Delving Deep into Rectifiers", arXiv:1502.01852, eq. 10, 14).
    linear_init, linear_bias: linear layers likewise, zero, or `uniform` in +-1/sqrt(fan_in) (torch's own).
    gamma: batch norm's scale 1, U(0, 1) (Torch7's own), or near_one, N(1, 0.002) (torch-residual-networks).
    zero_last_gamma: 0 for the last batch norm of each residual branch (Goyal et al., arXiv:1706.02677, section 5.1).
    """
    defaults = {"init": init, "linear_init": linear_init, "linear_bias": linear_bias, "gamma": gamma, "zero_last_gamma": False}

    def decorate(build: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
        @functools.wraps(build)
        def construct(in_channels: int, num_classes: int, **options: Any) -> nn.Module:
            given = {name: options.pop(name) for name in defaults if name in options}
            model = build(in_channels, num_classes, **options)
            refuse_idle(model, given)
            if not next(model.parameters()).is_meta:  # which has no numbers to draw
                initialize(model, **defaults | given)
            return model

        signature = inspect.signature(build)
        added = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=INITIALISATION[name])
            for name, default in defaults.items()
        ]
        construct.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *added])
        return construct

    return decorate


def refuse_idle(model: nn.Module, given: dict[str, Any]) -> None:
    """Raise UserError for an option that this network has nothing for."""
    if given.get("gamma", "one") != "one" and not any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        raise UserError(f"gamma {given['gamma']} is not allowed: this network has no batch norm")
    if given.get("zero_last_gamma") and not last_norms(model):
        raise UserError(
            "zero_last_gamma is not allowed: the branches of this network do not end in batch norm, or start at zero anyway"
        )


def last_norms(model: nn.Module) -> list[nn.BatchNorm2d]:
    """The last batch norm of each residual branch that ends in one."""
    norms = [module.last_norm() for module in model.modules() if hasattr(module, "last_norm")]
    return [norm for norm in norms if norm is not None]


def initialize(
    model: nn.Module, *, init: Fan, linear_init: LinearInit, linear_bias: BiasInit, gamma: Gamma, zero_last_gamma: bool
) -> None:
    """Draw all weights, in the order of the modules; then let modules with an `initialize` of their own (Fixup's) have theirs."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            _draw_convolution(module, init)
        elif isinstance(module, nn.BatchNorm2d):
            _draw_gamma(module, gamma)
        elif isinstance(module, nn.Linear):
            _draw_linear(module, linear_init, linear_bias)
    for norm in last_norms(model) if zero_last_gamma else []:
        nn.init.zeros_(norm.weight)
    for module in model.modules():
        if hasattr(module, "initialize"):
            module.initialize()


def _draw_convolution(module: nn.Conv2d, init: Fan) -> None:
    nn.init.kaiming_normal_(module.weight, mode=init, nonlinearity="relu")
    if module.bias is not None:
        nn.init.zeros_(module.bias)


def _draw_gamma(module: nn.BatchNorm2d, gamma: Gamma) -> None:
    if gamma == "uniform":
        nn.init.uniform_(module.weight)
    elif gamma == "near_one":
        nn.init.normal_(module.weight, 1, 0.002)


def _draw_linear(module: nn.Linear, weight: LinearInit, bias: BiasInit) -> None:
    bound = 1 / math.sqrt(module.in_features)
    if weight == "uniform":
        nn.init.uniform_(module.weight, -bound, bound)
    elif weight == "zero":
        nn.init.zeros_(module.weight)
    else:
        nn.init.kaiming_normal_(module.weight, mode=weight, nonlinearity="relu")
    if bias == "uniform":
        nn.init.uniform_(module.bias, -bound, bound)
    else:
        nn.init.zeros_(module.bias)
