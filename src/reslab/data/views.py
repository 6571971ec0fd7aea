"""Several views of an image that is scored: what a network says of them is averaged."""

import torch
from torch import Tensor
from torch.nn import functional as F


def five_windows(images: Tensor, *, padding: int) -> Tensor:
    """The four corners and the middle of images padded by zeros, in the images' own size: (B, C, H, W) -> (B, 5, C, H, W).

    They are the outermost and the middle one of the windows that `pad_crop` draws in training.
    """
    height, width = images.shape[2:]
    padded = F.pad(images, (padding,) * 4)
    ends = (0, 2 * padding)
    places = [*((top, left) for top in ends for left in ends), (padding, padding)]
    return torch.stack([padded[:, :, top : top + height, left : left + width] for top, left in places], 1)


def with_mirrored(views: Tensor) -> Tensor:
    """Each view and its mirror image: (B, V, C, H, W) -> (B, 2V, C, H, W)."""
    return torch.cat([views, views.flip(4)], 1)
