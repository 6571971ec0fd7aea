"""SkipInit: De, Smith, "Batch Normalization Biases Residual Blocks Towards the Identity Function", arXiv:2002.10444.

Each residual branch is multiplied by a learnable number of its own; tau-ResNet shares one among all blocks.
"""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reslab.config.schema import Depth, Size
from reslab.models.parts.init import initialized
from reslab.models.parts.layers import Network, ShortcutOption, Stem, conv1x1, conv3x3, make_shortcut, stages
from reslab.models.parts.plans import cifar_plan
from reslab.models.tau_resnet import resolve_tau


class SkipInitBlock(nn.Module):
    """ReLU - conv3x3 - ReLU - conv3x3, times alpha, add the shortcut; biases instead of batch norm."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, *, alpha: float, shortcut: ShortcutOption) -> None:
        super().__init__()
        self.conv1 = conv3x3(in_channels, out_channels, stride, bias=True)
        self.conv2 = conv3x3(out_channels, out_channels, bias=True)
        self.alpha = nn.Parameter(torch.full((1,), alpha))
        self.shortcut = make_shortcut(shortcut, in_channels, out_channels, stride, projection=conv1x1)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv2(F.relu(self.conv1(F.relu(x))))
        return self.shortcut(x) + self.alpha * out


@initialized(init="fan_in")
def skipinit_resnet(
    in_channels: int,
    num_classes: int,
    *,
    depth: Depth,
    alpha: float | str = 0.0,
    shortcut: ShortcutOption = "A",
    width: Size = 16,
) -> nn.Module:
    """A pre-activation ResNet of 6n+2 layers without batch norm; each branch times a learnable number that starts at `alpha`.

    `alpha` is a number or a rule in L, the number of blocks, as tau-ResNet's; the paper has 0 and 1/sqrt(L).
    """
    plan = cifar_plan(depth, width)
    number = resolve_tau(alpha, sum(map(len, plan)), name="alpha")
    body = stages(partial(SkipInitBlock, alpha=number, shortcut=shortcut), plan)
    stem = Stem(in_channels, width, norm=False, relu=False, bias=True)
    return Network(stem, body, nn.ReLU(), channels=plan[-1][-1].out_channels, num_classes=num_classes)
