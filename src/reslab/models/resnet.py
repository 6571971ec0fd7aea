"""Plain and residual networks for small images: He, Zhang, Ren, Sun, "Deep Residual Learning", arXiv:1512.03385, section 4.2."""

from collections.abc import Callable
from functools import partial
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from reslab.models.layers import Init, cifar_plan, conv1x1, conv3x3, global_average_pool, init_convolutions, subsample_and_pad
from reslab.schema import Size


class ZeroPadShortcut(nn.Module):
    """Option A: strided subsampling, then zeros for the new channels; no parameters."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return subsample_and_pad(x, self.out_channels, self.stride)


def projection_shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """Options B and C: a 1x1 convolution with batch norm."""
    return nn.Sequential(conv1x1(in_channels, out_channels, stride), nn.BatchNorm2d(out_channels))


def make_shortcut(option: str, in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """The shortcut of one block: A zero-pads and B projects where the shape changes, C projects everywhere (section 4.1)."""
    same_shape = in_channels == out_channels and stride == 1
    if option == "C" or (option == "B" and not same_shape):
        return projection_shortcut(in_channels, out_channels, stride)
    return nn.Identity() if same_shape else ZeroPadShortcut(in_channels, out_channels, stride)


class PlainBlock(nn.Module):
    """conv3x3 - BN - ReLU - conv3x3 - BN - ReLU: the two layers of a residual block without its shortcut."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(in_channels, out_channels, stride)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = conv3x3(out_channels, out_channels)
        self.bn2 = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)))


class BasicBlock(nn.Module):
    """conv3x3 - BN - ReLU - conv3x3 - BN, add the shortcut, ReLU (Fig. 2)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, shortcut: str) -> None:
        super().__init__()
        self.conv1 = conv3x3(in_channels, out_channels, stride)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = conv3x3(out_channels, out_channels)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut = make_shortcut(shortcut, in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(self.shortcut(x) + out)


class CifarNet(nn.Module):
    """Stem, three stages of n blocks with 16, 32, 64 channels, global average pooling, classifier (section 4.2)."""

    def __init__(
        self, block: Callable[..., nn.Module], plan: list[tuple[int, int, int]], *, in_channels: int, num_classes: int, init: Init
    ) -> None:
        super().__init__()
        stem_channels, last_channels = plan[0][0], plan[-1][1]
        self.conv1 = conv3x3(in_channels, stem_channels)
        self.bn1 = nn.BatchNorm2d(stem_channels)
        self.blocks = nn.Sequential(*(block(*shape) for shape in plan))
        self.fc = nn.Linear(last_channels, num_classes)
        init_convolutions(self, init)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))  # (B, 16, H, W)
        x = self.blocks(x)  # (B, 64, H / 4, W / 4)
        return self.fc(global_average_pool(x))


def resnet(
    in_channels: int,
    num_classes: int,
    *,
    depth: int,
    shortcut: Literal["A", "B", "C"] = "A",
    width: Size = 16,
    init: Init = "fan_in",
) -> nn.Module:
    """A residual network of 6n+2 layers with shortcut option A (the paper's on CIFAR), B or C."""
    block = partial(BasicBlock, shortcut=shortcut)
    return CifarNet(block, cifar_plan(depth, width), in_channels=in_channels, num_classes=num_classes, init=init)


def plain(in_channels: int, num_classes: int, *, depth: int, width: Size = 16, init: Init = "fan_in") -> nn.Module:
    """The plain counterpart: the same layers and, with option A, the same parameters, but no shortcuts."""
    return CifarNet(PlainBlock, cifar_plan(depth, width), in_channels=in_channels, num_classes=num_classes, init=init)
