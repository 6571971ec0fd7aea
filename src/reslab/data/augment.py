"""Augmentations: batched pure functions on uint8 images, `f(images, draws, **options) -> images`, on any device."""

import torch
from torch import Tensor
from torch.nn import functional as F

from reslab.data.draws import Draws
from reslab.errors import UserError


def pad_crop(images: Tensor, draws: Draws, *, padding: int) -> Tensor:
    """Pad each side with zeros (in pixel space) and crop a window of the old size at a uniform offset, per image.

    images (B, C, H, W) -> the same shape. Source: He et al. 2015, arXiv:1512.03385, section 4.2 (padding 4).
    """
    if padding < 1:
        raise UserError(f"padding {padding} is not allowed: at least 1")
    size, count, (height, width) = images.shape, 2 * padding + 1, images.shape[2:]
    padded = F.pad(images, (padding, padding, padding, padding))
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # (B, C, count, count, H, W), a view
    top, left = draws.integers("top", count), draws.integers("left", count)
    rows = torch.arange(size[0], device=images.device)
    return windows[rows, :, top, left]


def flip(images: Tensor, draws: Draws, *, probability: float = 0.5) -> Tensor:
    """Mirror left-right, each image with the given probability.

    images (B, C, H, W) -> the same shape. Source: He et al. 2015, section 4.2.
    """
    if not 0 <= probability <= 1:
        raise UserError(f"probability {probability} is not allowed: 0 to 1")
    chosen = draws.uniform("flip") < probability
    return torch.where(chosen[:, None, None, None], images.flip(3), images)


AUGMENTATIONS = {
    "flip": flip,
    "pad_crop": pad_crop,
}
