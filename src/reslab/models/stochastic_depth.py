"""Stochastic depth: Huang, Sun, Liu, Sedra, Weinberger, "Deep Networks with Stochastic Depth", arXiv:1603.09382."""

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from reslab.config.schema import Depth, Fraction, Size
from reslab.models.parts.init import initialized
from reslab.models.parts.layers import Network, ShortcutOption, Stem, conv3x3, make_shortcut, relu_of
from reslab.models.parts.plans import Shape, cifar_plan
from reslab.rng import NetworkDraws

Level = Literal["batch", "image"]


def linear_decay(position: int, blocks: int, last: float) -> float:
    """The survival probability of block `position` (1 for the first) of `blocks`: from 1 down to `last` (eq. 4)."""
    return 1 - position / blocks * (1 - last)


class StochasticDepthBlock(nn.Module):
    """conv3x3 - BN - ReLU - conv3x3 - BN, kept with probability `survival`, add the shortcut, ReLU (section 3).

    In evaluation the branch is multiplied by that probability (eq. 5). The draw is per mini-batch (the paper's) or per image.
    """

    def __init__(self, shape: Shape, *, survival: float, shortcut: ShortcutOption, level: Level) -> None:
        super().__init__()
        self.survival, self.level = survival, level
        self.draws = NetworkDraws()
        self.conv1 = conv3x3(*shape)
        self.bn1 = nn.BatchNorm2d(shape.out_channels)
        self.conv2 = conv3x3(shape.out_channels, shape.out_channels)
        self.bn2 = nn.BatchNorm2d(shape.out_channels)
        self.shortcut = make_shortcut(shortcut, *shape)

    def last_norm(self) -> nn.BatchNorm2d:
        return self.bn2

    def share(self, x: Tensor) -> Tensor | float:
        """The factor of the branch: 0 or 1 in training, (B or 1, 1, 1, 1); its mean in evaluation."""
        if not self.training:
            return self.survival
        images = len(x) if self.level == "image" else 0
        count = len(x) if self.level == "image" else 1
        return (self.draws.uniform(count, images=images) < self.survival).to(x.dtype).view(count, 1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        out = relu_of(self.bn1, self.conv1(x))
        out = self.bn2(self.conv2(out))
        # Deviation: a dropped branch is computed and multiplied by 0, so that its batch statistics are updated too; the paper skips
        # it. A skip would need the host to know the draw, which neither a compiler nor a CUDA graph allows.
        return F.relu(self.shortcut(x) + self.share(out) * out)


@initialized(init="fan_in")
def stochastic_depth_resnet(
    in_channels: int,
    num_classes: int,
    *,
    depth: Depth,
    survival: Fraction = 0.5,
    level: Level = "batch",
    shortcut: ShortcutOption = "A",
    width: Size = 16,
) -> nn.Module:
    """A ResNet of 6n+2 layers (paper: 110, 1202) whose blocks drop out, the last with probability 1 - `survival`."""
    plan = cifar_plan(depth, width)
    blocks = sum(map(len, plan))
    body, position = [], 0
    for shapes in plan:
        survivals = [linear_decay(position + i + 1, blocks, survival) for i in range(len(shapes))]
        body.append(
            nn.Sequential(
                *(
                    StochasticDepthBlock(shape, survival=kept, shortcut=shortcut, level=level)
                    for shape, kept in zip(shapes, survivals, strict=True)
                )
            )
        )
        position += len(shapes)
    return Network(Stem(in_channels, width), body, nn.Identity(), channels=plan[-1][-1].out_channels, num_classes=num_classes)
