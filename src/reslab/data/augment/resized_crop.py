"""Random windows resized to one size, each image with a window of its own, as two matrix products on the whole batch."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from reslab.config.schema import FractionInterval, Interval, Size, SizeInterval
from reslab.data.augment.draws import Draws
from reslab.errors import UserError

ATTEMPTS = 10


def random_resized_crop(
    images: Tensor,
    draws: Draws,
    *,
    scale: FractionInterval = (0.08, 1.0),
    ratio: Interval = (3 / 4, 4 / 3),
) -> Tensor:
    """Crop a window of random area and aspect and resize it to the old size, bilinear with antialiasing, per image.

    images (B, C, H, W) -> the same shape. The area is a uniform share of the image, the aspect (width / height) log-uniform; of 10
    pairs the first that fits is taken, else the largest central window of an allowed aspect. It is torchvision's transform; its
    batched form takes one window for all, hence the resize of our own.
    Source: Szegedy et al. 2015, arXiv:1409.4842, section 6.
    """
    size = [torch.full_like(draws.index, side) for side in images.shape[2:]]
    top, left, height, width = aspect_windows(draws, *size, scale=scale, ratio=ratio)
    return resized_crop(images, top=top, left=left, height=height, width=width)


def aspect_windows(
    draws: Draws,
    rows: Tensor,
    columns: Tensor,
    *,
    scale: FractionInterval = (0.08, 1.0),
    ratio: Interval = (3 / 4, 4 / 3),
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The windows of `random_resized_crop` in images of `rows` x `columns` pixels: top, left, height, width, int64 (B,) each."""
    return _placed(draws, rows, columns, *_sides(draws, rows[:, None], columns[:, None], scale=scale, ratio=ratio))


def scale_jitter(images: Tensor, draws: Draws, *, shorter: SizeInterval = (256, 480), side: Size = 224) -> Tensor:
    """Cut `side` pixels out of the image with its shorter side resized to a uniform whole number of `shorter`, per image.

    images (B, C, H, W) -> the same shape: where H is not `side`, the window shows as much of the image as it would there.
    Raises UserError if `side` is larger than the image can be. Source: He et al. 2015, arXiv:1512.03385, section 3.4, after
    Simonyan, Zisserman 2014, arXiv:1409.1556, section 3.1.
    """
    size = [torch.full_like(draws.index, length) for length in images.shape[2:]]
    top, left, height, width = scaled_windows(draws, *size, shorter=shorter, side=side)
    return resized_crop(images, top=top, left=left, height=height, width=width)


def scaled_windows(
    draws: Draws, rows: Tensor, columns: Tensor, *, shorter: SizeInterval = (256, 480), side: Size = 224
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The windows of `scale_jitter` in images of `rows` x `columns` pixels: top, left, height, width, int64 (B,) each."""
    if side > shorter[0]:
        raise UserError(f"side {side} is not allowed: images of {shorter[0]} pixels, the least of `shorter`, have no such window")
    scale = shorter[0] + draws.integers("shorter", shorter[1] - shorter[0] + 1)
    length = (torch.minimum(rows, columns) * side / scale).round().long().clamp(min=1)
    return _placed(draws, rows, columns, length, length)


def _placed(draws: Draws, rows: Tensor, columns: Tensor, height: Tensor, width: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Windows of a size at uniform places: top, left, height, width."""
    top = (draws.uniform("top") * (rows - height + 1)).long()
    left = (draws.uniform("left") * (columns - width + 1)).long()
    return top, left, height, width


def _sides(draws: Draws, rows: Tensor, columns: Tensor, *, scale: Sequence[float], ratio: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Height and width of each image's window, int64 (B,), in images of int64 (B, 1) rows and columns."""
    area = (scale[0] + (scale[1] - scale[0]) * draws.uniforms("area", ATTEMPTS)) * rows * columns
    low, high = math.log(ratio[0]), math.log(ratio[1])
    aspect = (low + (high - low) * draws.uniforms("aspect", ATTEMPTS)).exp()
    widths, heights = (area * aspect).sqrt().round().long(), (area / aspect).sqrt().round().long()
    fits = (widths > 0) & (widths <= columns) & (heights > 0) & (heights <= rows)
    first, some = fits.int().argmax(1, keepdim=True), fits.any(1, keepdim=True)
    central = (columns.double() / rows).clamp(ratio[0], ratio[1])
    height = torch.where(some, heights.gather(1, first), torch.minimum(rows, (columns / central).round().long()))
    width = torch.where(some, widths.gather(1, first), torch.minimum(columns, (rows * central).round().long()))
    return height[:, 0], width[:, 0]


def resized_crop(images: Tensor, *, top: Tensor, left: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """Each image's window, resized to the images' own size: (B, C, H, W) of the same type; edges int64 (B,)."""
    dtype = images.dtype if images.is_floating_point() else torch.float32
    vertical = _resampling(top, height, images.shape[2]).to(dtype)  # (B, H, H)
    horizontal = _resampling(left, width, images.shape[3]).to(dtype)  # (B, W, W)
    resized = vertical[:, None] @ images.to(dtype) @ horizontal[:, None].mT
    return resized if images.is_floating_point() else resized.round().clamp(0, 255).to(images.dtype)


def _resampling(start: Tensor, length: Tensor, side: int) -> Tensor:
    """Matrices (B, side, side) that take a row to its stretch [start, start + length) resized to `side`: triangle filters."""
    place = torch.arange(side, device=start.device, dtype=torch.float64) + 0.5
    zoom = (length / side).double()[:, None, None]
    centres = start[:, None, None] + place[None, :, None] * zoom
    weights = (1 - (place[None, None, :] - centres).abs() / zoom.clamp(min=1)).clamp(min=0)
    stretch = (place > start[:, None]) & (place < (start + length)[:, None])
    weights = weights * stretch[:, None, :]
    return weights / weights.sum(2, keepdim=True)
