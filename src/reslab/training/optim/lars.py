"""LARS: layer-wise adaptive rates. You, Gitman, Ginsburg, "Large Batch Training of Convolutional Networks", arXiv:1708.03888."""

from collections.abc import Callable, Iterable
from typing import Literal

import torch
from torch import Tensor

from reslab.training.optim.without_compiler import without_compiler

SMALLEST_NORM, EPS = 1e-2, 1e-9  # of rule hysts

LarsRule = Literal["paper", "hysts"]


def paper_rates(weight: Tensor, gradient: Tensor, *, weight_decay: float, trust_coefficient: float) -> Tensor:
    """Eq. 6: eta |w| / (|g| + beta |w|) for the norms (n,) of n tensors."""
    # Deviation: 1 where the weights or the gradient are zero; by the letter, what starts at zero (biases) would stay there.
    rates = trust_coefficient * weight / (gradient + weight_decay * weight)
    return torch.where((weight > 0) & (gradient > 0), rates, 1.0)


def hysts_rates(weight: Tensor, gradient: Tensor, *, weight_decay: float, trust_coefficient: float) -> Tensor:
    """pytorch_image_classification: eta |w| / (eps + |g| + wd |w|), and 1 for tensors whose norm is below 0.01."""
    rates = trust_coefficient * weight / (EPS + gradient + weight_decay * weight)
    return torch.where(weight < SMALLEST_NORM, 1.0, rates)


RULES: dict[str, Callable[..., Tensor]] = {"paper": paper_rates, "hysts": hysts_rates}


@without_compiler
class Lars(torch.optim.Optimizer):
    """v = m v + lr * local * (g + wd w); w = w - v, with a local rate for each tensor (Algorithm 1).

    The rate is inside the momentum buffer, so that a drop of the rate acts on what comes after it only. The norms of a group are
    computed together and stay on the device.
    """

    def __init__(
        self, params: Iterable, *, lr: float, momentum: float, weight_decay: float, rule: LarsRule, trust_coefficient: float
    ) -> None:
        options = {"momentum": momentum, "weight_decay": weight_decay, "rule": rule, "trust_coefficient": trust_coefficient}
        super().__init__(params, {"lr": lr} | options)

    @torch.no_grad()
    def step(self) -> None:
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            weights = [parameter for parameter in group["params"] if parameter.grad is not None]
            if weights:
                self._update(group, weights)

    def _update(self, group: dict, weights: list[Tensor]) -> None:
        gradients, decay = [weight.grad for weight in weights], group["weight_decay"]
        norms = (torch.stack(torch._foreach_norm(tensors)) for tensors in (weights, gradients))
        rates = RULES[group["rule"]](*norms, weight_decay=decay, trust_coefficient=group["trust_coefficient"])
        steps = torch._foreach_add(gradients, weights, alpha=decay)
        torch._foreach_mul_(steps, list((rates * group["lr"]).unbind()))
        velocities = [self._velocity(weight) for weight in weights]
        torch._foreach_mul_(velocities, group["momentum"])
        torch._foreach_add_(velocities, steps)
        torch._foreach_sub_(weights, velocities)

    def _velocity(self, weight: Tensor) -> Tensor:
        state = self.state[weight]
        if "velocity" not in state:
            state["velocity"] = torch.zeros_like(weight)
        return state["velocity"]
