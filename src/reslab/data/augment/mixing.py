"""Functions that mix the images of a batch or make views of them: `f(images, labels, draws, **options) -> (images, targets)`.

Images (B, C, H, W), labels int64 (B,). A partner is drawn by a permutation of the batch, so an image may be its own. At level
`batch`, that of the papers' code, one number serves the whole batch; at level `image` each has its own.
"""

from typing import Literal

import torch
from torch import Tensor

from reslab.config.schema import Fraction, Positive, Shade, Size
from reslab.data.augment.beta import beta as beta_numbers
from reslab.data.augment.boxes import box
from reslab.data.augment.draws import Draws, Level
from reslab.data.augment.erase import cutout
from reslab.targets import MixedTargets

CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))  # of RICAP's patches: (lower, right)


def mixup(
    images: Tensor, labels: Tensor, draws: Draws, *, alpha: Positive = 1.0, level: Level = "batch"
) -> tuple[Tensor, MixedTargets]:
    """Add the image times lambda and its partner times 1 - lambda, lambda ~ Beta(alpha, alpha); labels weighted alike.

    Float images (B, C, H, W) -> the same shape; targets (B, 2). Source: Zhang et al. 2017, arXiv:1710.09412, section 2.
    """
    partner = draws.permutation("partner")
    own = beta_numbers(draws.at(level).uniform("lambda"), alpha)
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
    own = beta_numbers(shared.uniform("lambda"), alpha)
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


def ricap(
    images: Tensor, labels: Tensor, draws: Draws, *, beta: Positive = 0.3, level: Level = "batch"
) -> tuple[Tensor, MixedTargets]:
    """Patch four images of the batch together at a random corner, each a random crop of itself; labels weigh as their areas.

    images (B, C, H, W) -> the same shape; targets (B, 4). The corner lies at round(W x), round(H y) with x, y ~ Beta(beta, beta);
    a crop's origin is uniform over all places where the patch fits. Source: Takahashi et al. 2018, arXiv:1811.09030, section 3.
    """
    (height, width), shared = images.shape[2:], draws.at(level)
    row, column = _corner(shared, "row", height, beta), _corner(shared, "column", width, beta)
    partners = torch.stack([draws.permutation(f"partner {patch}") for patch in range(4)], 1)  # (B, 4)
    heights = torch.stack([height - row if lower else row for lower, _ in CORNERS], 1)
    widths = torch.stack([width - column if right else column for _, right in CORNERS], 1)
    patches = torch.arange(4, device=row.device)  # of CORNERS: lower is half the number, right the rest
    down = _origins(shared, "top", height - heights) - row[:, None] * (patches // 2)
    across = _origins(shared, "left", width - widths) - column[:, None] * (patches % 2)
    weights = (heights * widths).double() / (height * width)
    mixed = _patched(images, row, column, partners=partners, down=down, across=across)
    return mixed, MixedTargets(labels[partners], weights.to(torch.promote_types(torch.float32, images.dtype)))


def _corner(draws: Draws, name: str, side: int, alpha: float) -> Tensor:
    return (beta_numbers(draws.uniform(f"corner {name}"), alpha) * side).round().long()


def _origins(draws: Draws, name: str, room: Tensor) -> Tensor:
    """A uniform origin in 0..room for each of the four crops, int64 (B, 4)."""
    return (draws.uniforms(name, 4) * (room + 1)).long()


def _patched(images: Tensor, row: Tensor, column: Tensor, *, partners: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """Gather each output pixel from its patch's image; `down` and `across` lead from its place to the place there."""
    rows = torch.arange(images.shape[2], device=images.device)
    columns = torch.arange(images.shape[3], device=images.device)
    lower, right = rows >= row[:, None], columns >= column[:, None]
    patch = (2 * lower[:, :, None] + right[:, None, :]).flatten(1)  # (B, H W)
    shape = (len(images), len(rows), len(columns))
    partner = partners.gather(1, patch).view(shape)
    from_row = down.gather(1, patch).view(shape) + rows[:, None]
    from_column = across.gather(1, patch).view(shape) + columns
    return images[partner, :, from_row, from_column].movedim(-1, 1)  # (B, C, H, W), channels_last
