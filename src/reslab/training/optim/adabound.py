"""AdaBound: Luo, Xiong, Liu, Sun, "Adaptive Gradient Methods with Dynamic Bound of Learning Rate", arXiv:1902.09843."""

from collections.abc import Iterable

import torch
from torch import Tensor

from reslab.training.optim.without_compiler import without_compiler


@without_compiler
class AdaBound(torch.optim.Optimizer):
    """Adam whose rate per weight is clipped to bounds that close on `final_lr` (Algorithm 2).

    m and v as in Adam; rate = clip(lr sqrt(1 - beta2^t) / (1 - beta1^t) / (sqrt(v) + eps), low, high) with
    low, high = final_lr (1 - 1 / (gamma t + 1)), final_lr (1 + 1 / (gamma t)); w = w - rate * m. The bounds follow the schedule as
    lr does. `decoupled`: weight decay as in AdamW (Loshchilov, Hutter, arXiv:1711.05101, Algorithm 2), w = w - (lr / base lr) wd w,
    not as a part of g.
    """

    # Deviation: as in the authors' code, bias is corrected and the rate is not divided by sqrt(t).

    def __init__(
        self,
        params: Iterable,
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        final_lr: float,
        gamma: float,
        weight_decay: float,
        decoupled: bool,
    ) -> None:
        moments = {"beta1": betas[0], "beta2": betas[1], "eps": eps}
        bounds = {"final_ratio": final_lr / lr, "gamma": gamma}
        decay = {"weight_decay": weight_decay, "decoupled": decoupled}
        super().__init__(params, {"lr": lr, "step": 0} | moments | bounds | decay)

    @torch.no_grad()
    def step(self) -> None:
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            weights = [parameter for parameter in group["params"] if parameter.grad is not None]
            if weights:
                group["step"] += 1
                self._update(group, weights)

    def _update(self, group: dict, weights: list[Tensor]) -> None:
        gradients = self._decay(group, weights, [weight.grad for weight in weights])
        means, squares = (self._state(weights, name) for name in ("mean", "square"))
        torch._foreach_lerp_(means, gradients, 1 - group["beta1"])
        torch._foreach_mul_(squares, group["beta2"])
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - group["beta2"])
        rates = self._rates(group, squares)
        torch._foreach_addcmul_(weights, rates, means, -1.0)

    def _decay(self, group: dict, weights: list[Tensor], gradients: list[Tensor]) -> list[Tensor]:
        if not group["decoupled"]:
            return torch._foreach_add(gradients, weights, alpha=group["weight_decay"])
        torch._foreach_mul_(weights, 1 - group["weight_decay"] * group["lr"] / group["initial_lr"])
        return gradients

    def _rates(self, group: dict, squares: list[Tensor]) -> tuple[Tensor, ...]:
        step, final = group["step"], group["final_ratio"] * group["lr"]
        size = group["lr"] * (1 - group["beta2"] ** step) ** 0.5 / (1 - group["beta1"] ** step)
        rates = torch._foreach_sqrt(squares)
        torch._foreach_add_(rates, group["eps"])
        torch._foreach_reciprocal_(rates)
        torch._foreach_mul_(rates, size)
        torch._foreach_clamp_min_(rates, final * (1 - 1 / (group["gamma"] * step + 1)))
        torch._foreach_clamp_max_(rates, final * (1 + 1 / (group["gamma"] * step)))
        return rates

    def _state(self, weights: list[Tensor], name: str) -> list[Tensor]:
        for weight in weights:
            if name not in self.state[weight]:
                self.state[weight][name] = torch.zeros_like(weight)
        return [self.state[weight][name] for weight in weights]
