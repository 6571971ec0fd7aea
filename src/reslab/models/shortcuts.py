"""Shortcuts that change the signal: He, Zhang, Ren, Sun, "Identity Mappings", arXiv:1603.05027, section 3 and Table 1."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reslab.config.schema import Depth, Finite, Probability, Size, bind
from reslab.models.parts.init import initialized
from reslab.models.parts.layers import Network, Projection, Stem, conv1x1, conv3x3, make_shortcut, relu_of, stages
from reslab.models.parts.plans import Shape, cifar_plan
from reslab.models.parts.stochastic import dropout


class Scaled(nn.Module):
    """skip * shortcut + residual * branch (Fig. 2b)."""

    def __init__(self, shape: Shape, skip: float, residual: float) -> None:
        super().__init__()
        self.skip, self.residual = skip, residual
        self.match = make_shortcut("A", *shape)

    def forward(self, x: Tensor, branch: Tensor) -> Tensor:
        return self.skip * self.match(x) + self.residual * branch


class Gated(nn.Module):
    """(1 - g) * shortcut + g * branch, or + branch, with g a sigmoid of a 1x1 convolution of the input (Fig. 2c, d)."""

    def __init__(self, shape: Shape, bias: float, *, exclusive: bool) -> None:
        super().__init__()
        self.bias, self.exclusive = bias, exclusive
        self.match = make_shortcut("A", *shape)
        self.gate = conv1x1(*shape, bias=True)

    def initialize(self) -> None:
        nn.init.constant_(self.gate.bias, self.bias)

    def forward(self, x: Tensor, branch: Tensor) -> Tensor:
        gate = torch.sigmoid(self.gate(x))
        return (1 - gate) * self.match(x) + (gate * branch if self.exclusive else branch)


class Projected(nn.Module):
    """A 1x1 convolution with batch norm on every shortcut (Fig. 2e)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.projection = Projection(*shape)

    def forward(self, x: Tensor, branch: Tensor) -> Tensor:
        return self.projection(x) + branch


class Dropped(nn.Module):
    """Dropout on the shortcut (Fig. 2f)."""

    def __init__(self, shape: Shape, p: float) -> None:
        super().__init__()
        self.match = nn.Sequential(make_shortcut("A", *shape), dropout(p))

    def forward(self, x: Tensor, branch: Tensor) -> Tensor:
        return self.match(x) + branch


def constant(shape: Shape, *, skip: Finite = 1.0, residual: Finite = 1.0) -> nn.Module:
    """Constant scaling; 1 and 1 is the identity shortcut. The paper tried skip 0.5 with residual 1 and 0.5."""
    return Scaled(shape, skip, residual)


def exclusive_gating(shape: Shape, *, bias: Finite) -> nn.Module:
    """Highway networks' gate; the paper tried biases from 0 to -10, -6 was best."""
    return Gated(shape, bias, exclusive=True)


def shortcut_only_gating(shape: Shape, *, bias: Finite) -> nn.Module:
    """The gate on the shortcut alone; the paper tried biases 0 and -6."""
    return Gated(shape, bias, exclusive=False)


def conv(shape: Shape) -> nn.Module:
    """A 1x1 convolution on every shortcut."""
    return Projected(shape)


def dropped(shape: Shape, *, p: Probability = 0.5) -> nn.Module:
    """Dropout on every shortcut; the paper's ratio is 0.5."""
    return Dropped(shape, p)


SHORTCUTS = {
    "constant": constant,
    "conv1x1": conv,
    "dropout": dropped,
    "exclusive_gating": exclusive_gating,
    "shortcut_only_gating": shortcut_only_gating,
}


class ShortcutBlock(nn.Module):
    """conv3x3 - BN - ReLU - conv3x3 - BN, joined with the shortcut by `make`, ReLU."""

    def __init__(self, *shape: int, make: Callable[[Shape], nn.Module]) -> None:
        super().__init__()
        in_channels, out_channels, stride = shape
        self.conv1 = conv3x3(in_channels, out_channels, stride)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = conv3x3(out_channels, out_channels)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.join = make(Shape(*shape))

    def last_norm(self) -> nn.BatchNorm2d:
        return self.bn2

    def forward(self, x: Tensor) -> Tensor:
        out = relu_of(self.bn1, self.conv1(x))
        out = self.bn2(self.conv2(out))
        return F.relu(self.join(x, out))


@initialized(init="fan_in")
def shortcut_resnet(in_channels: int, num_classes: int, *, depth: Depth, shortcut: dict[str, Any], width: Size = 16) -> nn.Module:
    """A ResNet of 6n+2 layers (Table 1: 110) with another shortcut, such as {name: constant, skip: 0.5, residual: 0.5}.

    # Deviation: where the shape changes, what is scaled, gated or dropped is option A's shortcut; the paper does not specify it.
    """
    plan = cifar_plan(depth, width)
    body = stages(partial(ShortcutBlock, make=bind(SHORTCUTS, shortcut, "shortcut")), plan)
    return Network(Stem(in_channels, width), body, nn.Identity(), channels=plan[-1][-1].out_channels, num_classes=num_classes)
