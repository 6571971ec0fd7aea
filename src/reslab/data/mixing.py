"""What mixes the images of a batch or makes views of them: `f(images, labels, draws, **options) -> (images, targets)`.

Images (B, C, H, W), labels int64 (B,). A partner is drawn by a permutation of the batch, so an image may be its own. At level
`batch`, the sources' own, one number serves the whole batch; at level `image` each has its own.
"""

from typing import Literal

import torch
from torch import Tensor

from reslab.data.beta import beta
from reslab.data.boxes import box
from reslab.data.draws import Draws, Level
from reslab.data.erase import cutout
from reslab.data.ricap import ricap
from reslab.schema import Fraction, Positive, Shade, Size
from reslab.targets import MixedTargets


def mixup(
    images: Tensor, labels: Tensor, draws: Draws, *, alpha: Positive = 1.0, level: Level = "batch"
) -> tuple[Tensor, MixedTargets]:
    """Add the image times lambda and its partner times 1 - lambda, lambda ~ Beta(alpha, alpha); labels weighted alike.

    Float images (B, C, H, W) -> the same shape; targets (B, 2). Source: Zhang et al. 2017, arXiv:1710.09412, section 2.
    """
    partner = draws.permutation("partner")
    own = beta(draws.at(level).uniform("lambda"), alpha)
    share = own.to(images.dtype)[:, None, None, None]
    return images * share + images[partner] * (1 - share), _pair(images, labels, partner, own)


def cutmix(
    images: Tensor,
    labels: Tensor,
    draws: Draws,
    *,
    alpha: Positive = 1.0,
    weight: Literal["area", "drawn"] = "area",
    level: Level = "batch",
) -> tuple[Tensor, MixedTargets]:
    """Paste a rectangle of the partner over the image at the same place; its sides are sqrt(1 - lambda) of the image's.

    images (B, C, H, W) -> the same shape; targets (B, 2). lambda ~ Beta(alpha, alpha), the centre is uniform and the rectangle
    clipped at the border. `weight` of the own label: "area", the share of pixels left; "drawn", lambda itself, which the clipping
    makes wrong (some published numbers were made so). Source: Yun et al. 2019, arXiv:1905.04899, section 3.1.
    """
    partner, shared = draws.permutation("partner"), draws.at(level)
    own = beta(shared.uniform("lambda"), alpha)
    top, bottom = _stretch(shared.uniform("centre row"), own, images.shape[2])
    left, right = _stretch(shared.uniform("centre column"), own, images.shape[3])
    pasted = box(images, top=top, bottom=bottom, left=left, right=right)
    if weight == "area":
        own = 1 - ((bottom - top) * (right - left)).double() / images[0, 0].numel()
    return torch.where(pasted, images[partner], images), _pair(images, labels, partner, own)


def _stretch(centre: Tensor, own: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """First and last-plus-one pixel of the rectangle along one axis, int64 (B,)."""
    half = side * (1 - own).sqrt() / 2
    low, high = centre * side - half, centre * side + half
    return low.clamp(min=0).round().long(), high.clamp(max=side).round().long()


def _pair(images: Tensor, labels: Tensor, partner: Tensor, own: Tensor) -> MixedTargets:
    own = own.to(torch.promote_types(torch.float32, images.dtype))
    return MixedTargets(torch.stack([labels, labels[partner]], 1), torch.stack([own, 1 - own], 1))


def dual_cutout(
    images: Tensor,
    labels: Tensor,
    draws: Draws,
    *,
    size: Size,
    probability: Fraction = 1.0,
    inside: bool = False,
    fill: Shade = 0.0,
) -> tuple[Tensor, Tensor]:
    """Two views of each image, each with a Cutout of its own.

    images (B, C, H, W) -> (B, 2, C, H, W); the labels stay. Options as `cutout`. Source: Dual-Cutout in
    github.com/hysts/pytorch_image_classification.
    """
    options = {"size": size, "probability": probability, "inside": inside, "fill": fill}
    views = [cutout(images, draws.substream(f"view {view}"), **options) for view in range(2)]
    return torch.stack([view.movedim(1, -1) for view in views]).permute(1, 0, 4, 2, 3), labels  # each view is channels_last


MIXINGS = {
    "cutmix": cutmix,
    "dual_cutout": dual_cutout,
    "mixup": mixup,
    "ricap": ricap,
}
