"""VGG: Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", arXiv:1409.1556."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from reslab.config.schema import Depth, Probability, Size
from reslab.errors import UserError
from reslab.models.parts.init import initialized
from reslab.models.parts.layers import conv3x3, global_average_pool
from reslab.models.parts.plans import Blocks
from reslab.models.parts.stochastic import dropout

Norm = Literal["batch", "none"]
Relu = Literal["every_conv", "first_conv"]
Widths = Annotated[list[Size], Field(min_length=1, max_length=8)]  # channels of each stage

IMAGENET_VGGS = {11: [1, 1, 2, 2, 2], 13: [2, 2, 2, 2, 2], 16: [2, 2, 3, 3, 3], 19: [2, 2, 4, 4, 4]}  # Table 1: A, B, D, E
WIDTHS = [64, 128, 256, 512, 512]


def vgg_stage(in_channels: int, out_channels: int, layers: int, *, norm: Norm, relus: int) -> nn.Sequential:
    """Convolutions with bias, each with batch norm, the first `relus` of them with ReLU, then 2x2 max pooling."""
    modules: list[nn.Module] = []
    for layer in range(layers):
        modules.append(conv3x3(in_channels, out_channels, bias=True))
        if norm == "batch":
            modules.append(nn.BatchNorm2d(out_channels))
        if layer < relus:
            modules.append(nn.ReLU())
        in_channels = out_channels
    return nn.Sequential(*modules, nn.MaxPool2d(2))


def vgg_stages(in_channels: int, widths: list[int], layers: list[int], *, norm: Norm, relu: Relu) -> nn.Sequential:
    """All stages; a ReLU after every convolution, or after the first of each stage only (`relu`)."""
    if len(widths) != len(layers):
        raise UserError(f"layers {layers} and widths {widths} are not allowed: one number a stage in both")
    inputs = [in_channels, *widths[:-1]]
    return nn.Sequential(
        *(
            vgg_stage(before, after, count, norm=norm, relus=count if relu == "every_conv" else 1)
            for before, after, count in zip(inputs, widths, layers, strict=True)
        )
    )


def check_size(x: Tensor, stages: nn.Sequential) -> None:
    """Raise UserError for an image that the pooling layers would halve to nothing."""
    needed = 2 ** len(stages)
    if min(x.shape[2:]) < needed:
        raise UserError(
            f"{x.shape[2]}x{x.shape[3]} images are too small: each of the {len(stages)} stages halves them, which takes"
            f" {needed}x{needed}; give fewer stages, such as widths: [64, 128, 256, 512] and layers: [2, 2, 3, 3] for 28x28"
        )


def flat_features(channels: int, image_size: int, stages: int) -> int:
    """Numbers in the last feature map of a square image, halved (rounding down) by each stage."""
    return channels * (image_size // 2**stages) ** 2


class Head(nn.Module):
    """The last feature map as one vector: averaged over `pool` x `pool` windows of any map, or as it is, of one image size only."""

    def __init__(self, pool: int, image_size: int | None) -> None:
        super().__init__()
        self.pool, self.image_size = pool, image_size

    def forward(self, x: Tensor, image: Tensor) -> Tensor:
        if self.image_size is None:
            return self.pooled(x).flatten(1)
        if tuple(image.shape[2:]) != (self.image_size, self.image_size):
            raise UserError(f"{image.shape[2]}x{image.shape[3]} images do not fit image_size {self.image_size}")
        return x.flatten(1)

    def pooled(self, x: Tensor) -> Tensor:
        """The means over windows. On a GPU uneven ones are products: torch's own have no deterministic backward pass there."""
        height, width = x.shape[2:]
        if self.pool == 1:
            return global_average_pool(x)
        if height % self.pool == 0 and width % self.pool == 0:
            return F.avg_pool2d(x, (height // self.pool, width // self.pool))
        if x.is_cuda:
            rows, columns = (windows(side, self.pool, x) for side in (height, width))
            return rows @ x @ columns.T
        return F.adaptive_avg_pool2d(x, self.pool)


def windows(side: int, count: int, like: Tensor) -> Tensor:
    """The means of adaptive average pooling along one axis as a matrix (count, side)."""
    place, window = torch.arange(side, device=like.device), torch.arange(count, device=like.device)[:, None]
    inside = (place >= window * side // count) & (place < -(-(window + 1) * side // count))
    return (inside / inside.sum(1, keepdim=True)).to(like.dtype)


class VGG(nn.Module):
    """Stages of 3x3 convolutions and one linear layer."""

    def __init__(self, stages: nn.Sequential, channels: int, num_classes: int, image_size: int | None) -> None:
        super().__init__()
        self.stages = stages
        self.head = Head(1, image_size)
        self.fc = nn.Linear(flat_features(channels, image_size, len(stages)) if image_size else channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        check_size(x, self.stages)
        return self.fc(self.head(self.stages(x), x))  # the last map is (B, 512, H / 32, W / 32)


class ImageNetVGG(nn.Module):
    """Stages of 3x3 convolutions and three linear layers with dropout."""

    def __init__(
        self, stages: nn.Sequential, channels: int, num_classes: int, *, hidden: int, p: float, image_size: int | None
    ) -> None:
        super().__init__()
        self.stages = stages
        self.head = Head(7, image_size)
        self.fc1 = nn.Linear(flat_features(channels, image_size, len(stages)) if image_size else channels * 7 * 7, hidden)
        self.dropout1 = dropout(p)
        self.fc2 = nn.Linear(hidden, hidden)
        self.dropout2 = dropout(p)
        self.fc3 = nn.Linear(hidden, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        check_size(x, self.stages)
        x = self.head(self.stages(x), x)
        x = self.dropout1(F.relu(self.fc1(x)))
        x = self.dropout2(F.relu(self.fc2(x)))
        return self.fc3(x)


@initialized(init="fan_out", linear_bias="zero", gamma="uniform")
def vgg(
    in_channels: int,
    num_classes: int,
    *,
    layers: Blocks = (2, 2, 3, 3, 3),
    widths: Widths = tuple(WIDTHS),
    norm: Norm = "batch",
    relu: Relu = "every_conv",
    image_size: Size | None = None,
) -> nn.Module:
    """A VGG for small images, one linear layer on top; the defaults are the 13 convolutions that go by VGG-15.

    `relu: first_conv` has one ReLU a stage, after its first convolution: so were the numbers of pytorch_image_classification made.
    With `image_size` the linear layer takes the whole last feature map, as there.
    # Deviation: without it the map is averaged, so that any image fits; for 32x32 images (a map of one pixel) it is the same.
    """
    stages = vgg_stages(in_channels, list(widths), list(layers), norm=norm, relu=relu)
    return VGG(stages, widths[-1], num_classes, image_size)


@initialized(init="fan_out", linear_bias="zero", gamma="uniform")
def imagenet_vgg(
    in_channels: int,
    num_classes: int,
    *,
    depth: Depth | None = None,
    layers: Blocks | None = None,
    widths: Widths = tuple(WIDTHS),
    norm: Norm = "batch",
    relu: Relu = "every_conv",
    hidden: Size = 4096,
    dropout: Probability = 0.5,
    image_size: Size | None = None,
) -> nn.Module:
    """VGG with three linear layers: `depth` 11, 13, 16 or 19 (Table 1), or `layers`, the convolutions of each stage.

    Without `image_size` the last feature map is averaged to 7x7, as in torchvision, so that any image fits; with it the
    first linear layer takes the whole map. For 224x224 images it is the same.
    """
    if (depth is None) == (layers is None) or (depth is not None and depth not in IMAGENET_VGGS):
        known = ", ".join(map(str, IMAGENET_VGGS))
        raise UserError(f"give either depth ({known}) or layers, the convolutions of each stage, such as [2, 2, 3, 3, 3]")
    stages = vgg_stages(in_channels, list(widths), layers or IMAGENET_VGGS[depth], norm=norm, relu=relu)
    return ImageNetVGG(stages, widths[-1], num_classes, hidden=hidden, p=dropout, image_size=image_size)
