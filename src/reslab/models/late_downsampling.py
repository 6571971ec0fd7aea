"""ResNets-CIFAR10 (github.com/fattorib): the last block of a stage widens and downsamples, in its second convolution."""

from torch import Tensor, nn
from torch.nn import functional as F

from reslab.config.schema import Depth, Size
from reslab.models.parts.init import initialized
from reslab.models.parts.layers import Network, Stem, conv3x3, relu_of, subsample
from reslab.models.parts.plans import residual_depth


class LateBlock(nn.Module):
    """conv3x3 - BN - ReLU - conv3x3 (with the stride and the new channels) - BN, add the shortcut, ReLU.

    Where the channels change the shortcut takes every second pixel and has as many zero channels before the real ones as after.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv1 = conv3x3(in_channels, in_channels)
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv2 = conv3x3(in_channels, out_channels, stride)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.padding = (out_channels - in_channels) // 2

    def last_norm(self) -> nn.BatchNorm2d:
        return self.bn2

    def forward(self, x: Tensor) -> Tensor:
        out = relu_of(self.bn1, self.conv1(x))
        out = self.bn2(self.conv2(out))
        shortcut = F.pad(subsample(x, self.stride), (0, 0, 0, 0, self.padding, self.padding))
        return F.relu(shortcut + out)


@initialized(init="fan_in", linear_init="fan_in")
def late_downsampling_resnet(in_channels: int, num_classes: int, *, depth: Depth, width: Size = 16) -> nn.Module:
    """A ResNet of 6n+2 layers whose stages downsample in their last block: 304,378 parameters at depth 20 instead of 269,722."""
    blocks = residual_depth(depth, "basic")
    stages = []
    for stage in range(3):
        channels = width * 2**stage
        last = LateBlock(channels, channels * 2, 2) if stage < 2 else LateBlock(channels, channels, 1)
        stages.append(nn.Sequential(*(LateBlock(channels, channels, 1) for _ in range(blocks - 1)), last))
    return Network(Stem(in_channels, width), stages, nn.Identity(), channels=width * 4, num_classes=num_classes)
