"""RICAP: four images cropped and patched together."""

import torch
from torch import Tensor

from reslab.data.beta import beta as beta_numbers
from reslab.data.draws import Draws, Level
from reslab.schema import Positive
from reslab.targets import MixedTargets

CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))  # (lower, right)


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
    source = partners.gather(1, patch).view(shape)
    from_row = down.gather(1, patch).view(shape) + rows[:, None]
    from_column = across.gather(1, patch).view(shape) + columns
    return images[source, :, from_row, from_column].movedim(-1, 1)  # (B, C, H, W), channels_last
