"""In which number format a network computes, and its forward pass in it."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from reslab.rng import advance


@dataclass(frozen=True)
class Precision:
    """Formats of a run: `weights` for parameters and images, `autocast` for what torch computes in less, None for nothing."""

    name: str
    weights: torch.dtype = torch.float32
    autocast: torch.dtype | None = None

    @property
    def scales_loss(self) -> bool:
        """Whether gradients would underflow without a loss scale (Micikevicius et al., arXiv:1710.03740, section 3.2)."""
        return self.autocast is torch.float16

    @property
    def is_pure(self) -> bool:
        """Whether the weights themselves are in 16 bits: small updates are lost in rounding."""
        return self.weights.itemsize < 4

    @property
    def images(self) -> torch.dtype:
        """The format in which images are normalised: float32 or better."""
        return torch.promote_types(self.weights, torch.float32)

    def convert(self, model: nn.Module) -> nn.Module:
        """The model in this format; batch norm stays in float32 or better."""
        model.to(self.weights)
        for module in model.modules():
            if isinstance(module, _BatchNorm):
                module.to(self.images)
        return model

    def context(self, device: torch.device) -> AbstractContextManager:
        """What a forward pass runs in."""
        return nullcontext() if self.autocast is None else torch.autocast(device.type, self.autocast)


PRECISIONS = {
    precision.name: precision
    for precision in (
        Precision("float32"),
        Precision("tf32"),  # float32 whose products a GPU rounds to 10 bits: hardware.prepare
        Precision("float64", weights=torch.float64),
        Precision("bfloat16", autocast=torch.bfloat16),
        Precision("float16", autocast=torch.float16),
        Precision("pure_bfloat16", weights=torch.bfloat16),
        # model.half() with batch norm in float32 and no loss scale: the FP16 rows of pytorch_image_classification
        Precision("pure_float16", weights=torch.float16),
    )
}
FLOAT32 = PRECISIONS["float32"]


def forward(model: nn.Module, images: Tensor, precision: Precision, *, network: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    """Logits in float32 or better: (B, K) of images (B, C, H, W), (B, V, K) of views (B, V, C, H, W), a pass for each view.

    In training each pass has random numbers of its own, and batch norm takes statistics of each pass. `network`: another form of
    the model that computes the same, such as a compiled one.
    """
    if images.dim() == 5:
        return torch.stack([forward(model, view, precision, network=network) for view in images.unbind(1)], 1)
    if model.training:
        advance(model)
    if precision.is_pure:
        images = images.to(precision.weights)
    with precision.context(images.device):
        logits = (model if network is None else network)(images)
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
