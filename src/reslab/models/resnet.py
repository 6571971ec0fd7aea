"""Plain and residual networks: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", arXiv:1512.03385."""

from functools import partial
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from reslab.config.schema import Depth, Size
from reslab.models.parts.init import initialized
from reslab.models.parts.layers import (
    ImageNetStem,
    Network,
    ShortcutOption,
    Stem,
    bottleneck_width,
    conv1x1,
    conv3x3,
    make_shortcut,
    relu_of,
    stages,
)
from reslab.models.parts.plans import Blocks, BlockType, cifar_plan, imagenet_plan


class PlainBlock(nn.Module):
    """conv3x3 - BN - ReLU - conv3x3 - BN - ReLU: the two layers of a residual block without its shortcut."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(in_channels, out_channels, stride)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = conv3x3(out_channels, out_channels)
        self.bn2 = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        out = relu_of(self.bn1, self.conv1(x))
        return relu_of(self.bn2, self.conv2(out))


class BasicBlock(nn.Module):
    """conv3x3 - BN - ReLU - conv3x3 - BN, add the shortcut, ReLU (Fig. 2)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, shortcut: ShortcutOption) -> None:
        super().__init__()
        self.conv1 = conv3x3(in_channels, out_channels, stride)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = conv3x3(out_channels, out_channels)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut = make_shortcut(shortcut, in_channels, out_channels, stride)

    def last_norm(self) -> nn.BatchNorm2d:
        return self.bn2

    def forward(self, x: Tensor) -> Tensor:
        out = relu_of(self.bn1, self.conv1(x))
        out = self.bn2(self.conv2(out))
        return F.relu(self.shortcut(x) + out)


class Bottleneck(nn.Module):
    """1x1 to a quarter of the channels, 3x3 (with the stride), 1x1 back, each with BN; add the shortcut, ReLU (Fig. 5).

    # Deviation: the paper puts the stride into the first 1x1; everyone since, torchvision too, into the 3x3.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, shortcut: ShortcutOption) -> None:
        super().__init__()
        width = bottleneck_width(out_channels)
        self.conv1 = conv1x1(in_channels, width)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv3x3(width, width, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = conv1x1(width, out_channels)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.shortcut = make_shortcut(shortcut, in_channels, out_channels, stride)

    def last_norm(self) -> nn.BatchNorm2d:
        return self.bn3

    def forward(self, x: Tensor) -> Tensor:
        out = relu_of(self.bn1, self.conv1(x))
        out = relu_of(self.bn2, self.conv2(out))
        out = self.bn3(self.conv3(out))
        return F.relu(self.shortcut(x) + out)


BLOCKS = {"basic": BasicBlock, "bottleneck": Bottleneck}


@initialized(init="fan_in")
def plain(in_channels: int, num_classes: int, *, depth: Depth, width: Size = 16) -> nn.Module:
    """The plain counterpart of `resnet`: the same layers and, with option A, the same parameters, but no shortcuts."""
    plan = cifar_plan(depth, width)
    return Network(
        Stem(in_channels, width),
        stages(PlainBlock, plan),
        nn.Identity(),
        channels=plan[-1][-1].out_channels,
        num_classes=num_classes,
    )


@initialized(init="fan_in")
def resnet(
    in_channels: int,
    num_classes: int,
    *,
    depth: Depth,
    block: BlockType = "basic",
    shortcut: ShortcutOption = "A",
    width: Size = 16,
    expand_first_stage: bool = True,
) -> nn.Module:
    """A residual network for small images, of 6n+2 layers in basic blocks or 9n+2 in bottlenecks (section 4.2).

    Shortcut option A is the paper's on CIFAR, A_both_sides pytorch_resnet_cifar10's; pytorch_image_classification has B, and no
    expansion in the first stage.
    """
    plan = cifar_plan(depth, width, block, expand_first_stage=expand_first_stage)
    body = stages(partial(BLOCKS[block], shortcut=shortcut), plan)
    return Network(Stem(in_channels, width), body, nn.Identity(), channels=plan[-1][-1].out_channels, num_classes=num_classes)


@initialized(init="fan_in")
def imagenet_plain(in_channels: int, num_classes: int, *, depth: Literal[18, 34] = 34, width: Size = 64) -> nn.Module:
    """The plain counterpart of ResNet-18 and 34 for large images (Table 1, Fig. 3)."""
    _, plan = imagenet_plan(depth, "basic", None, width)
    body = stages(PlainBlock, plan)
    return Network(
        ImageNetStem(in_channels, width), body, nn.Identity(), channels=plan[-1][-1].out_channels, num_classes=num_classes
    )


@initialized(init="fan_out")
def imagenet_resnet(
    in_channels: int,
    num_classes: int,
    *,
    depth: Depth | None = None,
    block: BlockType | None = None,
    blocks: Blocks | None = None,
    shortcut: ShortcutOption = "B",
    width: Size = 64,
    expand_first_stage: bool = True,
) -> nn.Module:
    """A residual network for large images (Table 1): `depth` 18, 34, 50, 101, 152, 200, or `block` and `blocks` per stage."""
    block, plan = imagenet_plan(depth, block, blocks, width, expand_first_stage=expand_first_stage)
    body = stages(partial(BLOCKS[block], shortcut=shortcut), plan)
    return Network(
        ImageNetStem(in_channels, width), body, nn.Identity(), channels=plan[-1][-1].out_channels, num_classes=num_classes
    )
