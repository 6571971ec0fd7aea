"""Autocast's weights in 16 bits, cast all together: two kernels a step in place of two for each layer, to the same bits."""

import torch
from torch import Tensor, nn
from torch.func import functional_call


class CastTogether:
    """A network whose convolutions and linear layers find their weights cast already, so that autocast has none left to cast."""

    def __init__(self, model: nn.Module, dtype: torch.dtype) -> None:
        self.model, self.dtype = model, dtype
        self.weights = {
            f"{path}.{name}": weight
            for path, layer in model.named_modules()
            if type(layer) in (nn.Conv2d, nn.Linear)
            for name, weight in layer.named_parameters(recurse=False)
            if weight.dtype == torch.float32 and weight.requires_grad
        }

    def cast(self) -> dict[str, Tensor]:
        """The cast weights by name; their gradients come back in float32."""
        return dict(zip(self.weights, _Cast.apply(self.dtype, *self.weights.values()), strict=True))

    def __call__(self, images: Tensor) -> Tensor:
        """The network's forward pass."""
        return called_with(self.model, self.cast(), images)


def called_with(model: nn.Module, weights: dict[str, Tensor], images: Tensor) -> Tensor:
    """The forward pass of a model with other tensors in the place of some of its weights."""
    return functional_call(model, weights, (images,))


class _Cast(torch.autograd.Function):
    """Cast tensors to another format by one kernel, and their gradients back by another."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, dtype: torch.dtype, *weights: Tensor) -> tuple[Tensor, ...]:
        ctx.dtype = weights[0].dtype
        return _cast(weights, dtype)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return None, *_cast(gradients, ctx.dtype)


def _cast(tensors: tuple[Tensor, ...], dtype: torch.dtype) -> tuple[Tensor, ...]:
    copies = [torch.empty_like(tensor, dtype=dtype) for tensor in tensors]
    torch._foreach_copy_(copies, list(tensors))
    return tuple(copies)
