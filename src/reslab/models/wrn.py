"""Wide residual networks: Zagoruyko, Komodakis, "Wide Residual Networks", arXiv:1605.07146."""

from functools import partial

from torch import Tensor, nn

from reslab.config.schema import Depth, Probability, Size
from reslab.models.parts.init import initialized
from reslab.models.parts.layers import Network, Stem, Tail, conv1x1, conv3x3, relu_of, stages
from reslab.models.parts.plans import blocks_per_stage, make_plan
from reslab.models.parts.stochastic import dropout


class WideBlock(nn.Module):
    """BN - ReLU - conv3x3 - [dropout] - BN - ReLU - conv3x3, add the shortcut (Fig. 1d).

    Where the channels change, the shortcut is a 1x1 convolution of the pre-activated input; elsewhere the input itself.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, p: float) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = conv3x3(in_channels, out_channels, stride)
        self.dropout = dropout(p)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.conv2 = conv3x3(out_channels, out_channels)
        self.projection = conv1x1(in_channels, out_channels, stride) if in_channels != out_channels else None

    def forward(self, x: Tensor) -> Tensor:
        active = relu_of(self.bn1, x)
        out = self.dropout(self.conv1(active))
        out = self.conv2(relu_of(self.bn2, out))
        return out + (x if self.projection is None else self.projection(active))


@initialized(init="fan_in", linear_bias="zero", gamma="uniform")
def wrn(
    in_channels: int,
    num_classes: int,
    *,
    depth: Depth,
    widening_factor: Size,
    dropout: Probability = 0.0,
    width: Size = 16,
) -> nn.Module:
    """WRN-depth-k: 6n+4 convolutions (three of them projections), stages of 16k, 32k, 64k channels (Table 1), dropout."""
    widths = [width * widening_factor * 2**stage for stage in range(3)]
    plan = make_plan(width, widths, [blocks_per_stage(depth, 6, 4)] * 3)
    stem = Stem(in_channels, width, norm=False, relu=False)
    body = stages(partial(WideBlock, p=dropout), plan)
    return Network(stem, body, Tail(widths[-1]), channels=widths[-1], num_classes=num_classes)
