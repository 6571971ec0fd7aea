"""Augmentations: batched pure functions, `f(images, draws, **options) -> images`, on any device.

Images are uint8 (B, C, H, W), or floats after normalisation; the same type and shape come back.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from reslab.config.schema import Fraction, Size
from reslab.data.augment.draws import Draws
from reslab.errors import UserError


def pad_crop(images: Tensor, draws: Draws, *, padding: Size, mode: Literal["zero", "reflect"] = "zero") -> Tensor:
    """Pad each side and crop a window of the old size at a uniform offset, per image.

    images (B, C, H, W) -> the same shape. `mode`: zeros (black in pixel space, the mean colour after normalisation), or the image
    mirrored at its edge pixels. Raises UserError if the image is too small to be mirrored. Source: He et al. 2015,
    arXiv:1512.03385, section 4.2 (padding 4, zeros).
    """
    size, count, (height, width) = images.shape, 2 * padding + 1, images.shape[2:]
    if padding > max(height, width):
        raise UserError(f"padding {padding} is not allowed: some windows of {height}x{width} images would contain padding only")
    padded = F.pad(images, (padding, padding, padding, padding)) if mode == "zero" else _mirrored(images, padding)
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # (B, C, count, count, H, W), a view
    top, left = draws.integers("top", count), draws.integers("left", count)
    rows = torch.arange(size[0], device=images.device)
    return windows[rows, :, top, left]


def _mirrored(images: Tensor, padding: int) -> Tensor:
    """Reflection without repeating the edge; torch's own has no uint8 form."""
    height, width = images.shape[2:]
    if padding >= min(height, width):
        raise UserError(
            f"padding {padding} by reflection needs images of more than {padding} pixels a side, these have {height}x{width}"
        )
    rows, columns = (_reflected(side, padding, images.device) for side in (height, width))
    return images[:, :, rows[:, None], columns]


def _reflected(side: int, padding: int, device: torch.device) -> Tensor:
    place = torch.arange(-padding, side + padding, device=device).abs()
    return side - 1 - (side - 1 - place).abs()


def flip(images: Tensor, draws: Draws, *, probability: Fraction = 0.5) -> Tensor:
    """Mirror left-right, each image with the given probability.

    images (B, C, H, W) -> the same shape. Source: He et al. 2015, section 4.2.
    """
    chosen = draws.uniform("flip") < probability
    return torch.where(chosen[:, None, None, None], images.flip(3), images)
