"""VGG: Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", arXiv:1409.1556."""

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from reslab.errors import UserError
from reslab.models.init import initialized
from reslab.models.layers import conv3x3, global_average_pool
from reslab.models.plans import Blocks
from reslab.models.stochastic import dropout
from reslab.schema import Probability, Size

Norm = Literal["batch", "none"]
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


def vgg_stages(in_channels: int, widths: list[int], layers: list[int], *, norm: Norm, relu: str) -> nn.Sequential:
    """All stages; `relu` is every_conv or first_conv (of each stage)."""
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


class VGG(nn.Module):
    """Stages of 3x3 convolutions, global average pooling (of one pixel, for 32x32 images), one linear layer."""

    def __init__(self, stages: nn.Sequential, channels: int, num_classes: int) -> None:
        super().__init__()
        self.stages = stages
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        check_size(x, self.stages)
        x = self.stages(x)  # (B, 512, H / 32, W / 32)
        return self.fc(global_average_pool(x))


class ImageNetVGG(nn.Module):
    """Stages of 3x3 convolutions, 7x7 averages (the map itself, for 224x224 images), three linear layers with dropout."""

    def __init__(self, stages: nn.Sequential, channels: int, hidden: int, num_classes: int, p: float) -> None:
        super().__init__()
        self.stages = stages
        self.fc1 = nn.Linear(channels * 7 * 7, hidden)
        self.dropout1 = dropout(p)
        self.fc2 = nn.Linear(hidden, hidden)
        self.dropout2 = dropout(p)
        self.fc3 = nn.Linear(hidden, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        check_size(x, self.stages)
        x = self.stages(x)  # (B, 512, H / 32, W / 32)
        x = F.adaptive_avg_pool2d(x, 7).flatten(1) if x.shape[2:] != (7, 7) else x.flatten(1)
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
    relu: Literal["every_conv", "first_conv"] = "every_conv",
) -> nn.Module:
    """A VGG for small images, one linear layer on top; the defaults are the 13 convolutions that go by VGG-15.

    `relu: first_conv` has one ReLU a stage, after its first convolution: so were the numbers of pytorch_image_classification made.
    """
    return VGG(vgg_stages(in_channels, list(widths), list(layers), norm=norm, relu=relu), widths[-1], num_classes)


@initialized(init="fan_out", linear_bias="zero")
def imagenet_vgg(
    in_channels: int,
    num_classes: int,
    *,
    depth: int = 16,
    norm: Norm = "batch",
    hidden: Size = 4096,
    widths: Widths = tuple(WIDTHS),
    dropout: Probability = 0.5,
) -> nn.Module:
    """VGG-11, 13, 16 or 19 with three linear layers (Table 1)."""
    if depth not in IMAGENET_VGGS:
        raise UserError(f"depth {depth} is impossible: allowed are {', '.join(map(str, IMAGENET_VGGS))}")
    stages = vgg_stages(in_channels, list(widths), IMAGENET_VGGS[depth], norm=norm, relu="every_conv")
    return ImageNetVGG(stages, widths[-1], hidden, num_classes, dropout)
