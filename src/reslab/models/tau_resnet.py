"""tau-ResNet: Zhang, Yu, Yi, Chen, Liu, "Stabilize Deep ResNet with a Sharp Scaling Factor tau", arXiv:1903.07120.

Each block computes h = ReLU(shortcut(h) + tau * F(h)); with tau = 1/sqrt(L), L the number of residual blocks, the signal stays
bounded at any depth, with batch norm or without. For large images, ResNet-50, 101 and 152 have every bottleneck's branch times tau;
L in tau's rule is then the number of blocks of the longest stage.
"""

import re
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reslab.config.schema import Depth, Size
from reslab.errors import UserError, shown
from reslab.models.parts.init import initialized
from reslab.models.parts.layers import (
    ImageNetStem,
    Stem,
    bottleneck_width,
    conv1x1,
    conv3x3,
    global_average_pool,
    make_shortcut,
    pad_channels,
    relu_of,
    scalar_bias,
    scale_gradient,
    stages,
    subsample,
)
from reslab.models.parts.plans import Blocks, cifar_plan, imagenet_plan

Norm = Literal["batch", "none"]

_RULE = re.compile(r"(?P<c>\d+\.?\d*|\.\d+)\s*/\s*(?:sqrt\(L\)|L(?:\^(?P<p>\d+\.?\d*|\.\d+))?)")


def resolve_tau(tau: float | str, blocks: int, *, name: str = "tau") -> float:
    """The number behind tau: itself, or a rule c/sqrt(L), c/L or c/L^p with L = `blocks`.

    Raises UserError for a negative number or another rule.
    """
    if isinstance(tau, str):
        rule = _RULE.fullmatch(tau.strip())
        if rule is None:
            raise UserError(f"{name} {shown(tau)} is not a number >= 0 or a rule such as 1/sqrt(L), 0.5/sqrt(L), 1/L, 1/L^0.25")
        power = 0.5 if "sqrt" in tau else float(rule["p"] or 1)
        number = float(rule["c"]) * blocks**-power
    else:
        number = float(tau)
    if not 0 <= number <= torch.finfo(torch.float32).max:
        raise UserError(f"{name} {shown(tau)} is not allowed: a finite number >= 0, or a rule such as 1/sqrt(L)")
    return number


class BatchNormBlock(nn.Module):
    """conv3x3 - BN - ReLU - conv3x3 - BN, times tau, add the shortcut, ReLU.

    Where the shape changes the shortcut is: every second pixel, BN on the input channels, zeros for the new channels.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.out_channels, self.stride = out_channels, stride
        self.conv1 = conv3x3(in_channels, out_channels, stride)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = conv3x3(out_channels, out_channels)
        self.bn2 = nn.BatchNorm2d(out_channels)
        changes_shape = in_channels != out_channels or stride != 1
        self.shortcut_bn = nn.BatchNorm2d(in_channels) if changes_shape else None

    def shortcut(self, x: Tensor) -> Tensor:
        if self.shortcut_bn is None:
            return x
        return pad_channels(self.shortcut_bn(subsample(x, self.stride)), self.out_channels)

    def last_norm(self) -> nn.BatchNorm2d:
        return self.bn2

    def forward(self, x: Tensor, tau: float) -> Tensor:
        out = relu_of(self.bn1, self.conv1(x))
        out = self.bn2(self.conv2(out))
        return F.relu(self.shortcut(x) + tau * out)


class NormFreeBlock(nn.Module):
    """The block without batch norm: a scalar bias before and after each convolution, in Fixup's places; tau also scales bias2b."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.out_channels, self.stride = out_channels, stride
        self.changes_shape = in_channels != out_channels or stride != 1
        self.bias1a = scalar_bias()
        self.conv1 = conv3x3(in_channels, out_channels, stride)
        self.bias1b = scalar_bias()
        self.bias2a = scalar_bias()
        self.conv2 = conv3x3(out_channels, out_channels)
        self.bias2b = scalar_bias()

    def forward(self, x: Tensor, tau: Tensor) -> Tensor:
        shortcut = pad_channels(subsample(x, self.stride), self.out_channels) if self.changes_shape else x
        out = F.relu(self.conv1(x + self.bias1a) + self.bias1b)
        out = self.conv2(out + self.bias2a) + self.bias2b
        return F.relu(shortcut + tau * out)


class TauResNet(nn.Module):
    """Stem, stages whose blocks all get the same tau, global average pooling, classifier.

    With batch norm tau is a fixed number, neither parameter nor buffer; without, one learnable parameter shared by all blocks.
    """

    def __init__(
        self, stem: nn.Module, stages: list[nn.Sequential], *, tau: float, norm: Norm, channels: int, num_classes: int
    ) -> None:
        super().__init__()
        self.tau = tau if norm == "batch" else nn.Parameter(torch.full((1,), tau))
        self.stem = stem
        self.stages = nn.ModuleList(stages)
        self.blocks = sum(map(len, stages))
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        tau = self.tau
        if isinstance(tau, Tensor):
            tau = scale_gradient(tau, 1 / self.blocks)  # the blocks' gradients are summed: make it their mean
        x = self.stem(x)  # (B, 16, H, W)
        for stage in self.stages:
            for block in stage:
                x = block(x, tau)
        return self.fc(global_average_pool(x))


@initialized(init="fan_out")
def tau_resnet(
    in_channels: int,
    num_classes: int,
    *,
    depth: Depth,
    norm: Norm = "batch",
    tau: float | str = 1.0,
    width: Size = 16,
) -> nn.Module:
    """A tau-ResNet of 6n+2 layers; tau is a number or a rule in L, the number of residual blocks (3n)."""
    plan = cifar_plan(depth, width)
    return TauResNet(
        Stem(in_channels, width, norm=norm == "batch"),  # no scalar bias in the stem without batch norm
        stages(BatchNormBlock if norm == "batch" else NormFreeBlock, plan),
        tau=resolve_tau(tau, sum(map(len, plan))),
        norm=norm,
        channels=plan[-1][-1].out_channels,
        num_classes=num_classes,
    )


class BatchNormBottleneck(nn.Module):
    """1x1 - 3x3 (with the stride) - 1x1, each with BN, times tau, add the shortcut (a projection where the shape changes), ReLU."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        width = bottleneck_width(out_channels)
        self.conv1 = conv1x1(in_channels, width)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv3x3(width, width, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = conv1x1(width, out_channels)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.shortcut = make_shortcut("B", in_channels, out_channels, stride)

    def last_norm(self) -> nn.BatchNorm2d:
        return self.bn3

    def forward(self, x: Tensor, tau: float) -> Tensor:
        out = relu_of(self.bn1, self.conv1(x))
        out = relu_of(self.bn2, self.conv2(out))
        out = self.bn3(self.conv3(out))
        return F.relu(self.shortcut(x) + tau * out)


class NormFreeBottleneck(nn.Module):
    """The bottleneck without batch norm: a scalar bias before and after each convolution; the projection is a bare convolution."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        width = bottleneck_width(out_channels)
        self.bias1a = scalar_bias()
        self.conv1 = conv1x1(in_channels, width)
        self.bias1b = scalar_bias()
        self.bias2a = scalar_bias()
        self.conv2 = conv3x3(width, width, stride)
        self.bias2b = scalar_bias()
        self.bias3a = scalar_bias()
        self.conv3 = conv1x1(width, out_channels)
        self.bias3b = scalar_bias()
        self.shortcut = make_shortcut("B", in_channels, out_channels, stride, projection=conv1x1)

    def forward(self, x: Tensor, tau: Tensor) -> Tensor:
        out = F.relu(self.conv1(x + self.bias1a) + self.bias1b)
        out = F.relu(self.conv2(out + self.bias2a) + self.bias2b)
        out = self.conv3(out + self.bias3a) + self.bias3b
        return F.relu(self.shortcut(x) + tau * out)


@initialized(init="fan_out")
def imagenet_tau_resnet(
    in_channels: int,
    num_classes: int,
    *,
    depth: Depth | None = None,
    blocks: Blocks | None = None,
    norm: Norm = "batch",
    tau: float | str = 1.0,
    width: Size = 64,
) -> nn.Module:
    """A tau-ResNet of bottlenecks: `depth` 50, 101 or 152, or `blocks` per stage.

    tau is a number or a rule in L, the number of blocks of the longest stage (6, 23, 36); the paper has 2/sqrt(L).
    """
    _, plan = imagenet_plan(depth, "bottleneck", blocks, width)
    return TauResNet(
        ImageNetStem(in_channels, width, norm=norm == "batch"),
        stages(BatchNormBottleneck if norm == "batch" else NormFreeBottleneck, plan),
        tau=resolve_tau(tau, max(map(len, plan))),
        norm=norm,
        channels=plan[-1][-1].out_channels,
        num_classes=num_classes,
    )
