"""Augmentations: batched pure functions on uint8 images, `f(images, draws, **options) -> images`, on any device."""

import torch
from torch import Tensor
from torch.nn import functional as F

from reslab.data.draws import Draws
from reslab.schema import Fraction, Size


def pad_crop(images: Tensor, draws: Draws, *, padding: Size) -> Tensor:
    """Pad each side with zeros (in pixel space) and crop a window of the old size at a uniform offset, per image.

    images (B, C, H, W) -> the same shape. Source: He et al. 2015, arXiv:1512.03385, section 4.2 (padding 4).
    """
    size, count, (height, width) = images.shape, 2 * padding + 1, images.shape[2:]
    padded = F.pad(images, (padding, padding, padding, padding))
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # (B, C, count, count, H, W), a view
    top, left = draws.integers("top", count), draws.integers("left", count)
    rows = torch.arange(size[0], device=images.device)
    return windows[rows, :, top, left]


def flip(images: Tensor, draws: Draws, *, probability: Fraction = 0.5) -> Tensor:
    """Mirror left-right, each image with the given probability.

    images (B, C, H, W) -> the same shape. Source: He et al. 2015, section 4.2.
    """
    chosen = draws.uniform("flip") < probability
    return torch.where(chosen[:, None, None, None], images.flip(3), images)


AUGMENTATIONS = {
    "flip": flip,
    "pad_crop": pad_crop,
}
