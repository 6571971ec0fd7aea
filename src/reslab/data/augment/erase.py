"""Augmentations that erase a rectangle of each image: Cutout and Random Erasing."""

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from reslab.config.schema import Count, Fraction, FractionInterval, Interval, Shade, Size
from reslab.data.augment.boxes import box
from reslab.data.augment.draws import Draws, normal
from reslab.errors import UserError


def cutout(
    images: Tensor, draws: Draws, *, size: Size, probability: Fraction = 1.0, inside: bool = False, fill: Shade = 0.0
) -> Tensor:
    """Fill a square of `size` pixels a side around a uniform centre, each image with the given probability.

    images (B, C, H, W) -> the same shape. The centre may be any pixel (for an even size also the place past the last one), so the
    square is clipped at the border; `inside` keeps it whole. `fill` is in the images' units: 0 is black before normalisation and
    the mean colour after it, where the published numbers have it. Raises UserError if the square or the fill does not fit.
    Source: DeVries, Taylor 2017, arXiv:1708.04552, section 3.
    """
    _check_fill(images, fill)
    square = cutout_square(images, draws, size=size, inside=inside)
    chosen = draws.uniform("chosen") < probability
    return images.masked_fill(square & chosen[:, None, None, None], fill)


def cutout_square(images: Tensor, draws: Draws, *, size: int, inside: bool) -> Tensor:
    """The square that Cutout fills in each image, bool (B, 1, H, W)."""
    top = _square_start(draws, "top", side=images.shape[2], size=size, inside=inside)
    left = _square_start(draws, "left", side=images.shape[3], size=size, inside=inside)
    return box(images, top=top, bottom=top + size, left=left, right=left + size)


def _square_start(draws: Draws, name: str, *, side: int, size: int, inside: bool) -> Tensor:
    half, even = size // 2, 1 - size % 2
    if not inside:
        return draws.integers(name, side + even) - half
    if size > side:
        raise UserError(f"a square of {size} pixels does not fit inside images of {side}: make it smaller, or leave out `inside`")
    return draws.integers(name, side - size + 1)


def _check_fill(images: Tensor, fill: float) -> None:
    if images.dtype == torch.uint8 and not (0 <= fill <= 255 and fill == int(fill)):
        raise UserError(f"fill {fill:g} is not a pixel value: before {{name: normalize}} it must be a whole number from 0 to 255")


def random_erasing(
    images: Tensor,
    draws: Draws,
    *,
    probability: Fraction = 0.5,
    area: FractionInterval = (0.02, 0.4),
    aspect: Interval = (0.3, 1 / 0.3),
    aspect_scale: Literal["linear", "log"] = "linear",
    attempts: Annotated[Count, Field(le=100)] = 20,
    fill: Literal["scalar", "pixels"] = "scalar",
) -> Tensor:
    """Fill a rectangle of random area, aspect and place, each image with the given probability.

    images (B, C, H, W) -> the same shape. The area is a uniform share of the image, the aspect (height / width) uniform or
    log-uniform; of `attempts` pairs the first that is smaller than the image both ways is taken, or none. Its top is uniform in
    0..H-height-1 and its left in 0..W-width-1, so the last row and column stay, as in the code behind the published numbers.
    `fill` "scalar" is one U(0, 1) number for the rectangle, in the images' units (times 255 in pixels), as there; "pixels" draws
    each value: uniform in 0..255 for pixels as in the paper, standard normal for normalised floats.
    Source: Zhong et al. 2017, arXiv:1708.04896, algorithm 1.
    """
    height, width, fits = _shapes(images, draws, area=area, aspect=aspect, scale=aspect_scale, attempts=attempts)
    top = (draws.uniform("top") * (images.shape[2] - height)).long()
    left = (draws.uniform("left") * (images.shape[3] - width)).long()
    chosen = fits & (draws.uniform("chosen") < probability)
    erased = box(images, top=top, bottom=top + height, left=left, right=left + width) & chosen[:, None, None, None]
    return torch.where(erased, _noise(images, draws, fill), images)


def _shapes(
    images: Tensor, draws: Draws, *, area: Sequence[float], aspect: Sequence[float], scale: str, attempts: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Height, width (B,) of the first rectangle that fits, and whether one did."""
    (_, _, rows, columns), (least, most) = images.shape, area
    areas = (least + (most - least) * draws.uniforms("area", attempts)) * rows * columns
    low, high = aspect if scale == "linear" else (math.log(aspect[0]), math.log(aspect[1]))
    ratio = low + (high - low) * draws.uniforms("aspect", attempts)
    ratio = ratio if scale == "linear" else ratio.exp()
    heights, widths = (areas * ratio).sqrt().long(), (areas / ratio).sqrt().long()
    fits = (heights < rows) & (widths < columns)
    first = fits.int().argmax(1, keepdim=True)
    return heights.gather(1, first)[:, 0], widths.gather(1, first)[:, 0], fits.any(1)


def _noise(images: Tensor, draws: Draws, fill: str) -> Tensor:
    """The values that fill the rectangles, broadcastable to (B, C, H, W), of the images' type."""
    if fill == "scalar":
        numbers = draws.uniform("fill")[:, None, None, None]
    else:
        numbers = draws.uniforms("fill", images[0].numel()).view(images.shape)
    if images.dtype == torch.uint8:
        return (numbers * 256).to(torch.uint8)
    return numbers.to(images.dtype) if fill == "scalar" else normal(numbers).to(images.dtype)
