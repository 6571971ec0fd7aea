"""tau-ResNet for large images: Zhang, Yu, Yi, Chen, Liu, "Stabilize Deep ResNet with a Sharp Scaling Factor tau", arXiv:1903.07120.

ResNet-50, 101 and 152 with every bottleneck's branch times tau; L in tau's rule is the number of blocks of the longest stage.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from reslab.models.init import initialized
from reslab.models.layers import ImageNetStem, bottleneck_width, conv1x1, conv3x3, make_shortcut, scalar_bias, stages
from reslab.models.plans import Blocks, imagenet_plan
from reslab.models.tau_resnet import Norm, TauResNet, resolve_tau
from reslab.schema import Size


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
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
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
    depth: int | None = None,
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
