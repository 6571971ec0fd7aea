"""Fixup: Zhang, Dauphin, Ma, "Fixup Initialization: Residual Learning Without Normalization", arXiv:1901.09321."""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reslab.config.schema import Depth, Size
from reslab.models.parts.init import initialized
from reslab.models.parts.layers import conv3x3, global_average_pool, pad_channels, scalar_bias, stages, subsample
from reslab.models.parts.plans import Plan, cifar_plan


class FixupBlock(nn.Module):
    """A basic block without batch norm: a scalar bias before each convolution and activation, a scalar multiplier (section 3).

    The first convolution starts 1/sqrt(blocks) smaller, the second at zero.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, *, blocks: int) -> None:
        super().__init__()
        self.out_channels, self.stride, self.blocks = out_channels, stride, blocks
        self.bias1a = scalar_bias()
        self.conv1 = conv3x3(in_channels, out_channels, stride)
        self.bias1b = scalar_bias()
        self.bias2a = scalar_bias()
        self.conv2 = conv3x3(out_channels, out_channels)
        self.scale = nn.Parameter(torch.ones(1))
        self.bias2b = scalar_bias()

    @torch.no_grad()
    def initialize(self) -> None:
        self.conv1.weight.mul_(self.blocks**-0.5)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        biased = x + self.bias1a
        out = F.relu(self.conv1(biased) + self.bias1b)
        out = self.conv2(out + self.bias2a) * self.scale + self.bias2b
        changes_shape = self.stride != 1 or x.shape[1] != self.out_channels
        shortcut = pad_channels(subsample(biased, self.stride), self.out_channels) if changes_shape else x
        return F.relu(shortcut + out)


class FixupNet(nn.Module):
    """Stem with a scalar bias, stages, global average pooling, classifier with a scalar bias before it."""

    def __init__(self, in_channels: int, num_classes: int, plan: Plan) -> None:
        super().__init__()
        self.conv = conv3x3(in_channels, plan[0][0].in_channels)
        self.bias1 = scalar_bias()
        self.stages = nn.Sequential(*stages(partial(FixupBlock, blocks=sum(map(len, plan))), plan))
        self.bias2 = scalar_bias()
        self.fc = nn.Linear(plan[-1][-1].out_channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv(x) + self.bias1)
        x = self.stages(x)
        return self.fc(global_average_pool(x) + self.bias2)


@initialized(init="fan_out", linear_init="zero", linear_bias="zero")
def fixup_resnet(in_channels: int, num_classes: int, *, depth: Depth, width: Size = 16) -> nn.Module:
    """A ResNet of 6n+2 layers without batch norm; in the paper its scalars learn at lr/10 (`scalar_lr: 0.1`)."""
    return FixupNet(in_channels, num_classes, cifar_plan(depth, width))
