"""ReZero: Bachlechner, Majumder, Mao, Cottrell, McAuley, "ReZero is All You Need", arXiv:2003.04887."""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reslab.config.schema import Depth, Size
from reslab.models.parts.init import initialized
from reslab.models.parts.layers import Network, ShortcutOption, Stem, conv3x3, make_shortcut, relu_of, stages
from reslab.models.parts.plans import cifar_plan


class ReZeroBlock(nn.Module):
    """conv3x3 - BN - ReLU - conv3x3 - BN, times alpha, add the shortcut, ReLU; batch norm stays."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, *, shortcut: ShortcutOption) -> None:
        super().__init__()
        self.conv1 = conv3x3(in_channels, out_channels, stride)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = conv3x3(out_channels, out_channels)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.alpha = nn.Parameter(torch.zeros(1))
        self.shortcut = make_shortcut(shortcut, in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = relu_of(self.bn1, self.conv1(x))
        out = self.bn2(self.conv2(out))
        return F.relu(self.shortcut(x) + self.alpha * out)


@initialized(init="fan_in")
def rezero_resnet(
    in_channels: int, num_classes: int, *, depth: Depth, shortcut: ShortcutOption = "A", width: Size = 16
) -> nn.Module:
    """A ResNet of 6n+2 layers with batch norm; each branch times a learnable number that starts at 0."""
    plan = cifar_plan(depth, width)
    body = stages(partial(ReZeroBlock, shortcut=shortcut), plan)
    return Network(Stem(in_channels, width), body, nn.Identity(), channels=plan[-1][-1].out_channels, num_classes=num_classes)
