"""tau-ResNet: Zhang, Yu, Yi, Chen, Liu, "Stabilize Deep ResNet with a Sharp Scaling Factor tau", arXiv:1903.07120.

Each block computes h = ReLU(shortcut(h) + tau * F(h)); with tau = 1/sqrt(L), L the number of residual blocks, the signal stays
bounded at any depth, with batch norm or without.
"""

import re
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reslab.errors import UserError
from reslab.models.layers import (
    Init,
    cifar_plan,
    conv3x3,
    global_average_pool,
    init_convolutions,
    scale_gradient,
    subsample_and_pad,
)
from reslab.schema import Size

_RULE = re.compile(r"(?P<c>\d+\.?\d*|\.\d+)\s*/\s*(?:sqrt\(L\)|L(?:\^(?P<p>\d+\.?\d*|\.\d+))?)")


def resolve_tau(tau: float | str, blocks: int) -> float:
    """The number behind tau: itself, or a rule c/sqrt(L), c/L or c/L^p with L = `blocks`.

    Raises UserError for a negative number or another rule.
    """
    if isinstance(tau, str):
        rule = _RULE.fullmatch(tau.strip())
        if rule is None:
            raise UserError(f"tau {tau!r} is not a number >= 0 or a rule such as 1/sqrt(L), 0.5/sqrt(L), 1/L, 1/L^0.25")
        power = 0.5 if "sqrt" in tau else float(rule["p"] or 1)
        number = float(rule["c"]) * blocks**-power
    else:
        number = float(tau)
    if not 0 <= number <= torch.finfo(torch.float32).max:
        raise UserError(f"tau {tau} is not allowed: a finite number >= 0, or a rule such as 1/sqrt(L)")
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
        x = self.shortcut_bn(x[:, :, :: self.stride, :: self.stride])
        return subsample_and_pad(x, self.out_channels, stride=1)

    def forward(self, x: Tensor, tau: float) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(self.shortcut(x) + tau * out)


class NormFreeBlock(nn.Module):
    """The block without batch norm: a scalar bias before and after each convolution, in Fixup's places; tau also scales bias2b."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.out_channels, self.stride = out_channels, stride
        self.changes_shape = in_channels != out_channels or stride != 1
        self.bias1a = nn.Parameter(torch.zeros(1))
        self.conv1 = conv3x3(in_channels, out_channels, stride)
        self.bias1b = nn.Parameter(torch.zeros(1))
        self.bias2a = nn.Parameter(torch.zeros(1))
        self.conv2 = conv3x3(out_channels, out_channels)
        self.bias2b = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, tau: Tensor) -> Tensor:
        shortcut = subsample_and_pad(x, self.out_channels, self.stride) if self.changes_shape else x
        out = F.relu(self.conv1(x + self.bias1a) + self.bias1b)
        out = self.conv2(out + self.bias2a) + self.bias2b
        return F.relu(shortcut + tau * out)


class BatchNormTauResNet(nn.Module):
    """The network with batch norm: tau is a fixed number, neither parameter nor buffer."""

    def __init__(self, plan: list[tuple[int, int, int]], *, tau: float, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.tau = tau
        self.conv1 = conv3x3(in_channels, plan[0][0])
        self.bn1 = nn.BatchNorm2d(plan[0][0])
        self.blocks = nn.ModuleList(BatchNormBlock(*shape) for shape in plan)
        self.fc = nn.Linear(plan[-1][1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))  # (B, 16, H, W)
        for block in self.blocks:
            x = block(x, self.tau)
        return self.fc(global_average_pool(x))


class NormFreeTauResNet(nn.Module):
    """The network without batch norm: one learnable tau shared by all blocks, its gradient averaged over them."""

    def __init__(self, plan: list[tuple[int, int, int]], *, tau: float, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.tau = nn.Parameter(torch.full((1,), tau))
        self.conv1 = conv3x3(in_channels, plan[0][0])
        self.blocks = nn.ModuleList(NormFreeBlock(*shape) for shape in plan)
        self.fc = nn.Linear(plan[-1][1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        tau = scale_gradient(self.tau, 1 / len(self.blocks))  # the blocks' gradients are summed: make it their mean
        x = F.relu(self.conv1(x))  # (B, 16, H, W); no scalar bias in the stem
        for block in self.blocks:
            x = block(x, tau)
        return self.fc(global_average_pool(x))


def tau_resnet(
    in_channels: int,
    num_classes: int,
    *,
    depth: int,
    norm: Literal["batch", "none"] = "batch",
    tau: float | str = 1.0,
    width: Size = 16,
    init: Init = "fan_out",
) -> nn.Module:
    """A tau-ResNet of 6n+2 layers; tau is a number or a rule in L, the number of residual blocks (3n)."""
    plan = cifar_plan(depth, width)
    network = BatchNormTauResNet if norm == "batch" else NormFreeTauResNet
    model = network(plan, tau=resolve_tau(tau, len(plan)), in_channels=in_channels, num_classes=num_classes)
    init_convolutions(model, init)
    return model
