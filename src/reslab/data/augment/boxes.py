"""Rectangles in a batch of images, and what an augmentation can be applied to."""

import torch
from torch import Tensor

from reslab.errors import UserError


def box(images: Tensor, *, top: Tensor, bottom: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Which pixels lie in rows top..bottom-1 and columns left..right-1, bool (B, 1, H, W).

    The edges, int64 (B,), may lie outside the image.
    """
    rows = torch.arange(images.shape[2], device=images.device)
    columns = torch.arange(images.shape[3], device=images.device)
    vertical = (rows >= top[:, None]) & (rows < bottom[:, None])
    horizontal = (columns >= left[:, None]) & (columns < right[:, None])
    return (vertical[:, :, None] & horizontal[:, None, :])[:, None]


def need_bytes(images: Tensor) -> None:
    """Raises UserError unless the images are still uint8."""
    if images.dtype != torch.uint8:
        raise UserError("works on pixels 0..255 only: put it before {name: normalize}")
