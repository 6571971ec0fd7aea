"""Parts that several papers share: convolutions, activations, shortcuts, stems, and the network around the blocks."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reslab.errors import UserError
from reslab.models.parts.plans import BlockType, Plan

ShortcutOption = Literal["A", "A_both_sides", "B", "C"]


def conv3x3(in_channels: int, out_channels: int, stride: int = 1, *, groups: int = 1, bias: bool = False) -> nn.Conv2d:
    """A 3x3 convolution that keeps the size (halves it at stride 2)."""
    return nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, groups=groups, bias=bias)


def conv1x1(in_channels: int, out_channels: int, stride: int = 1, *, bias: bool = False) -> nn.Conv2d:
    """A 1x1 convolution."""
    return nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=bias)


def convolutions(block: BlockType, in_channels: int, out_channels: int, stride: int, *, bias: bool = False) -> list[nn.Conv2d]:
    """The convolutions of a residual branch: two 3x3 with the stride in the first, or 1x1, 3x3 with the stride, 1x1."""
    if block == "basic":
        return [conv3x3(in_channels, out_channels, stride, bias=bias), conv3x3(out_channels, out_channels, bias=bias)]
    width = bottleneck_width(out_channels)
    return [
        conv1x1(in_channels, width, bias=bias),
        conv3x3(width, width, stride, bias=bias),
        conv1x1(width, out_channels, bias=bias),
    ]


def bottleneck_width(out_channels: int) -> int:
    """A quarter of a bottleneck's channels; raises UserError if that is not a whole number."""
    if out_channels % 4:
        raise UserError(f"a bottleneck with {out_channels} channels is impossible: they must be divisible by 4; give another width")
    return out_channels // 4


def scalar_bias() -> nn.Parameter:
    """One number added to a whole feature map, 0 at first (Fixup, arXiv:1901.09321, section 3)."""
    return nn.Parameter(torch.zeros(1))


def relu_of(norm: nn.Module, x: Tensor) -> Tensor:
    """ReLU of a normalised x; by one kernel where the norm was given one (training/execution/fused_norm.py)."""
    together = getattr(norm, "with_relu", None)
    return F.relu(norm(x)) if together is None else together(x)


def subsample(x: Tensor, stride: int) -> Tensor:
    """Every `stride`-th pixel, (B, C, H, W) -> (B, C, H / stride, W / stride)."""
    return x[:, :, ::stride, ::stride]


def pad_channels(x: Tensor, out_channels: int, *, both_sides: bool = False) -> Tensor:
    """Add zero channels after the real ones; on `both_sides` half of them before (of an odd number the smaller half)."""
    new = out_channels - x.shape[1]
    before = new // 2 if both_sides else 0
    return F.pad(x, (0, 0, 0, 0, before, new - before))


def global_average_pool(x: Tensor) -> Tensor:
    """Mean over the image, (B, C, H, W) -> (B, C); unlike AdaptiveAvgPool2d its CUDA backward is deterministic."""
    return x.mean((2, 3))


def scale_gradient(x: Tensor, factor: float | Tensor) -> Tensor:
    """Return x exactly, with its gradient multiplied by `factor`."""
    constant = x.detach()
    return constant + factor * (x - constant)


class ZeroPadShortcut(nn.Module):
    """Option A of He et al. 2015, section 3.3: strided subsampling, then zeros for the new channels; no parameters.

    The paper does not say where the zeros are. After the real channels in most systems; on both sides in pytorch_resnet_cifar10.
    """

    def __init__(self, out_channels: int, stride: int, *, both_sides: bool = False) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.stride = stride
        self.both_sides = both_sides

    def forward(self, x: Tensor) -> Tensor:
        return pad_channels(subsample(x, self.stride), self.out_channels, both_sides=self.both_sides)


class Projection(nn.Module):
    """Options B and C: a 1x1 convolution with batch norm."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv = conv1x1(in_channels, out_channels, stride)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))


def make_shortcut(
    option: ShortcutOption, in_channels: int, out_channels: int, stride: int, *, projection: Callable[..., nn.Module] = Projection
) -> nn.Module:
    """A block's shortcut (He et al. 2015, section 4.1): A zero-pads, B projects where the shape changes, C projects everywhere.

    A has the zeros after the real channels, A_both_sides half of them before.
    """
    same_shape = in_channels == out_channels and stride == 1
    if option == "C" or (option == "B" and not same_shape):
        return projection(in_channels, out_channels, stride)
    return nn.Identity() if same_shape else ZeroPadShortcut(out_channels, stride, both_sides=option == "A_both_sides")


class Stem(nn.Module):
    """The first layer for small images: a 3x3 convolution, by default with batch norm and ReLU."""

    def __init__(self, in_channels: int, out_channels: int, *, norm: bool = True, relu: bool = True, bias: bool = False) -> None:
        super().__init__()
        self.conv = conv3x3(in_channels, out_channels, bias=bias)
        self.bn = nn.BatchNorm2d(out_channels) if norm else nn.Identity()
        self.relu = nn.ReLU() if relu else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return relu_of(self.bn, x) if isinstance(self.relu, nn.ReLU) else self.bn(x)


class ImageNetStem(nn.Module):
    """The first layers for large images: 7x7 convolution at stride 2, batch norm, ReLU, 3x3 max pooling at stride 2."""

    def __init__(self, in_channels: int, out_channels: int, *, norm: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 7, stride=2, padding=3, bias=False)
        self.bn = nn.BatchNorm2d(out_channels) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = relu_of(self.bn, self.conv(x))  # (B, 64, H / 2, W / 2)
        return F.max_pool2d(x, 3, stride=2, padding=1)  # (B, 64, H / 4, W / 4)


class Tail(nn.Module):
    """Batch norm and ReLU after the last block, for blocks that end without them."""

    def __init__(self, channels: int, *, relu: bool = True) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU() if relu else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return relu_of(self.bn, x) if isinstance(self.relu, nn.ReLU) else self.bn(x)


def stages(block: Callable[..., nn.Module], plan: Plan) -> list[nn.Sequential]:
    """One module per stage, one block per shape of the plan."""
    return [nn.Sequential(*(block(*shape) for shape in stage)) for stage in plan]


class Network(nn.Module):
    """Stem, stages of blocks, tail, global average pooling, classifier: what nearly all the papers have around their blocks."""

    def __init__(self, stem: nn.Module, stages: list[nn.Sequential], tail: nn.Module, *, channels: int, num_classes: int) -> None:
        super().__init__()
        self.stem = stem
        self.stages = nn.Sequential(*stages)
        self.tail = tail
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # (B, C, H, W)
        x = self.stages(x)  # (B, channels, H / 4, W / 4) with three stages
        x = self.tail(x)
        return self.fc(global_average_pool(x))
