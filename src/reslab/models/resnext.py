"""ResNeXt: Xie, Girshick, Dollár, Tu, He, "Aggregated Residual Transformations for Deep Neural Networks", arXiv:1611.05431."""

from torch import Tensor, nn
from torch.nn import functional as F

from reslab.config.schema import Depth, Size
from reslab.models.parts.init import initialized
from reslab.models.parts.layers import ImageNetStem, Network, Stem, conv1x1, conv3x3, make_shortcut, relu_of
from reslab.models.parts.plans import Blocks, Plan, cifar_plan, imagenet_plan


class GroupedBottleneck(nn.Module):
    """1x1 to `width` channels, 3x3 in `cardinality` groups (with the stride), 1x1; shortcut B; ReLU last (Fig. 3c)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, *, width: int, cardinality: int) -> None:
        super().__init__()
        self.conv1 = conv1x1(in_channels, width)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv3x3(width, width, stride, groups=cardinality)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = conv1x1(width, out_channels)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.shortcut = make_shortcut("B", in_channels, out_channels, stride)

    def last_norm(self) -> nn.BatchNorm2d:
        return self.bn3

    def forward(self, x: Tensor) -> Tensor:
        out = relu_of(self.bn1, self.conv1(x))
        out = relu_of(self.bn2, self.conv2(out))
        out = self.bn3(self.conv3(out))
        return F.relu(self.shortcut(x) + out)


def grouped_stages(plan: Plan, cardinality: int, base_width: int) -> list[nn.Sequential]:
    """Stage s has cardinality * base_width * 2**s channels between its 1x1 convolutions."""
    return [
        nn.Sequential(
            *(GroupedBottleneck(*shape, width=cardinality * base_width * 2**stage, cardinality=cardinality) for shape in shapes)
        )
        for stage, shapes in enumerate(plan)
    ]


@initialized(init="fan_out", linear_bias="zero")
def resnext(
    in_channels: int, num_classes: int, *, depth: Depth, cardinality: Size, base_width: Size, width: Size = 64
) -> nn.Module:
    """ResNeXt-depth, cardinality x base_width d, for small images: 9n+2 layers (section 5.3: 29, 8x64d and 16x64d)."""
    plan = cifar_plan(depth, width, "bottleneck")
    body = grouped_stages(plan, cardinality, base_width)
    return Network(Stem(in_channels, width), body, nn.Identity(), channels=plan[-1][-1].out_channels, num_classes=num_classes)


@initialized(init="fan_out", linear_bias="zero")
def imagenet_resnext(
    in_channels: int,
    num_classes: int,
    *,
    depth: Depth | None = None,
    blocks: Blocks | None = None,
    cardinality: Size = 32,
    base_width: Size = 4,
    width: Size = 64,
) -> nn.Module:
    """ResNeXt for large images (Table 1): `depth` 50, 101, 152, 200, or `blocks` per stage."""
    _, plan = imagenet_plan(depth, "bottleneck", blocks, width)
    body = grouped_stages(plan, cardinality, base_width)
    return Network(
        ImageNetStem(in_channels, width), body, nn.Identity(), channels=plan[-1][-1].out_channels, num_classes=num_classes
    )
