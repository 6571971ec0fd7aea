"""Shake-shake: Gastaldi, "Shake-Shake regularization", arXiv:1705.07485."""

from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reslab.config.schema import Depth, Size
from reslab.errors import UserError
from reslab.models.parts.init import initialized
from reslab.models.parts.layers import Network, Stem, conv1x1, conv3x3, relu_of, stages, subsample
from reslab.models.parts.plans import cifar_plan
from reslab.rng import NetworkDraws

Forward = Literal["shake", "even"]
Backward = Literal["shake", "even", "keep"]
Level = Literal["image", "batch"]
Form = Literal["gastaldi", "hysts", "hysts2018"]


@dataclass(frozen=True)
class Rule:
    """How two branches are mixed in training (section 2.2): at random or half and half; backward also as forward (keep).

    The draws are per image or per batch.
    """

    forward: Forward
    backward: Backward
    level: Level

    def shares(self, draws: NetworkDraws, count: int) -> tuple[Tensor, Tensor]:
        """The first branch's shares of the signal and of the gradient, each float64 (count or 1, 1, 1, 1)."""
        images = count if self.level == "image" else 0
        count = count if self.level == "image" else 1
        alpha, beta = (draws.uniform(count, stream, images=images).view(count, 1, 1, 1) for stream in range(2))
        alpha = alpha if self.forward == "shake" else torch.full_like(alpha, 0.5)
        given = {"shake": beta, "even": torch.full_like(beta, 0.5), "keep": alpha}
        return alpha, given[self.backward]


class Branch(nn.Module):
    """ReLU - conv3x3 - BN - ReLU - conv3x3 - BN."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(in_channels, out_channels, stride)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = conv3x3(out_channels, out_channels)
        self.bn2 = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        out = relu_of(self.bn1, self.conv1(F.relu(x)))
        return self.bn2(self.conv2(out))


class SkipModule(nn.Module):
    """Two views of the image, one shifted by a pixel, each subsampled and convolved to half of the channels (section 2.1).

    The author's code shifts right and down, pytorch_image_classification left and up.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, *, right: bool) -> None:
        super().__init__()
        if out_channels % 2:
            raise UserError(f"width {out_channels} is not allowed: an even number; each view of the image gives half")
        self.stride, self.right = stride, right
        self.conv1 = conv1x1(in_channels, out_channels // 2)
        self.conv2 = conv1x1(in_channels, out_channels // 2)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(x)
        # One row and column go, zeros come in at the other end.
        shifted = F.pad(x[:, :, :-1, :-1], (1, 0, 1, 0)) if self.right else F.pad(x[:, :, 1:, 1:], (0, 1, 0, 1))
        return self.bn(torch.cat([self.conv1(subsample(x, self.stride)), self.conv2(subsample(shifted, self.stride))], dim=1))


class ShakeBlock(nn.Module):
    """Shortcut plus a mixture of two branches; the gradient is mixed by other shares than the signal."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, rule: Rule, *, right: bool) -> None:
        super().__init__()
        self.rule = rule
        self.draws = NetworkDraws()
        self.branch1 = Branch(in_channels, out_channels, stride)
        self.branch2 = Branch(in_channels, out_channels, stride)
        changes = in_channels != out_channels
        self.shortcut = SkipModule(in_channels, out_channels, stride, right=right) if changes else nn.Identity()

    def mix(self, first: Tensor, second: Tensor) -> Tensor:
        if not self.training:
            return (first + second) / 2
        alpha, beta = self.rule.shares(self.draws, len(first))
        return mixed(first, alpha, beta) + mixed(second, 1 - alpha, 1 - beta)

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.mix(self.branch1(x), self.branch2(x))


def mixed(x: Tensor, forward: Tensor, backward: Tensor) -> Tensor:
    """`forward` * x, whose gradient is `backward` times that of the result."""
    forward, backward, constant = forward.to(x.dtype), backward.to(x.dtype), x.detach()
    return forward * constant + backward * (x - constant)


@initialized(init="fan_out", linear_bias="zero")
def shake_shake(
    in_channels: int,
    num_classes: int,
    *,
    depth: Depth,
    width: Size,
    forward: Forward = "shake",
    backward: Backward = "shake",
    level: Level = "image",
    form: Form = "gastaldi",
) -> nn.Module:
    """Shake-shake depth 2 x width d, 6n+2 layers; `forward`, `backward` and `level` are the rule: shake, shake, image is S-S-I.

    `form: gastaldi` is the author's network. `hysts`, that of pytorch_image_classification, shifts the other way in its shortcuts;
    `hysts2018`, which its first numbers were measured on, also has a stem of `width` channels with a ReLU, instead of 16 without,
    and no ReLU before pooling.
    """
    plan = cifar_plan(depth, width)
    stem_width = width if form == "hysts2018" else 16
    plan[0][0] = plan[0][0]._replace(in_channels=stem_width)
    stem = Stem(in_channels, stem_width, relu=form == "hysts2018")
    tail = nn.Identity() if form == "hysts2018" else nn.ReLU()
    body = stages(partial(ShakeBlock, rule=Rule(forward, backward, level), right=form == "gastaldi"), plan)
    return Network(stem, body, tail, channels=plan[-1][-1].out_channels, num_classes=num_classes)
