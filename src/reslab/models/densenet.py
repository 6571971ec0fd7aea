"""DenseNet: Huang, Liu, van der Maaten, Weinberger, "Densely Connected Convolutional Networks", arXiv:1608.06993."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reslab.config.schema import Depth, Fraction, Probability, Size
from reslab.errors import UserError
from reslab.models.parts.init import initialized
from reslab.models.parts.layers import ImageNetStem, Network, Stem, Tail, conv1x1, conv3x3, relu_of
from reslab.models.parts.plans import Blocks, BlockType, blocks_per_stage
from reslab.models.parts.stochastic import dropout

IMAGENET_DENSENETS = {121: [6, 12, 24, 16], 169: [6, 12, 32, 32], 201: [6, 12, 48, 32], 264: [6, 12, 64, 48]}  # Table 1


class DenseLayer(nn.Module):
    """BN - ReLU - conv3x3 to `growth_rate` channels, appended to the input."""

    def __init__(self, in_channels: int, growth_rate: int, p: float) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = conv3x3(in_channels, growth_rate)
        self.dropout = dropout(p)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.dropout(self.conv1(relu_of(self.bn1, x)))], dim=1)


class DenseBottleneck(nn.Module):
    """BN - ReLU - conv1x1 to 4 * `growth_rate` channels - BN - ReLU - conv3x3 to `growth_rate`, appended to the input."""

    def __init__(self, in_channels: int, growth_rate: int, p: float) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = conv1x1(in_channels, 4 * growth_rate)
        self.dropout1 = dropout(p)
        self.bn2 = nn.BatchNorm2d(4 * growth_rate)
        self.conv2 = conv3x3(4 * growth_rate, growth_rate)
        self.dropout2 = dropout(p)

    def forward(self, x: Tensor) -> Tensor:
        out = self.dropout1(self.conv1(relu_of(self.bn1, x)))
        out = self.dropout2(self.conv2(relu_of(self.bn2, out)))
        return torch.cat([x, out], dim=1)


class Transition(nn.Module):
    """BN - ReLU - conv1x1 - 2x2 average pooling, between dense blocks."""

    def __init__(self, in_channels: int, out_channels: int, p: float) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(in_channels)
        self.conv = conv1x1(in_channels, out_channels)
        self.dropout = dropout(p)

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(self.dropout(self.conv(relu_of(self.bn, x))), 2)


DENSE_LAYERS: dict[BlockType, Callable[..., nn.Module]] = {"basic": DenseLayer, "bottleneck": DenseBottleneck}


def dense_stages(
    channels: int, layers: list[int], growth_rate: int, *, block: BlockType, compression: float, p: float
) -> tuple[list[nn.Sequential], int]:
    """Dense blocks with a transition after each but the last; and the channels that come out."""
    stages = []
    for stage, count in enumerate(layers):
        modules: list[nn.Module] = []
        for _ in range(count):
            modules.append(DENSE_LAYERS[block](channels, growth_rate, p))
            channels += growth_rate
        if stage < len(layers) - 1:
            compressed = int(channels * compression)
            if compressed == 0:
                raise UserError(f"compression {compression} leaves none of {channels} channels")
            modules.append(Transition(channels, compressed, p))
            channels = compressed
        stages.append(nn.Sequential(*modules))
    return stages, channels


@initialized(init="fan_out", linear_bias="zero")
def densenet(
    in_channels: int,
    num_classes: int,
    *,
    depth: Depth,
    growth_rate: Size,
    block: BlockType = "bottleneck",
    compression: Fraction = 0.5,
    dropout: Probability = 0.0,
    stem_width: Size | None = None,
) -> nn.Module:
    """A DenseNet for small images: 3n+4 layers (basic) or 6n+4 (bottleneck); DenseNet-BC is bottleneck with compression 0.5.

    # Deviation: the stem has 2 * `growth_rate` channels for basic blocks too, as the numbers were published by
    # pytorch_image_classification; the paper's 16 is `stem_width: 16`.
    """
    layers = [blocks_per_stage(depth, 3 if block == "basic" else 6, 4)] * 3
    width = stem_width or 2 * growth_rate
    body, channels = dense_stages(width, layers, growth_rate, block=block, compression=compression, p=dropout)
    stem = Stem(in_channels, width, norm=False, relu=False)
    return Network(stem, body, Tail(channels), channels=channels, num_classes=num_classes)


@initialized(init="fan_out", linear_bias="zero")
def imagenet_densenet(
    in_channels: int,
    num_classes: int,
    *,
    depth: Depth | None = None,
    blocks: Blocks | None = None,
    growth_rate: Size = 32,
    block: BlockType = "bottleneck",
    compression: Fraction = 0.5,
    dropout: Probability = 0.0,
    last_relu: bool = True,
) -> nn.Module:
    """A DenseNet for large images (Table 1): `depth` 121, 169, 201, 264, or `blocks`, the number of layers of each dense block.

    `last_relu: false` leaves out the ReLU before pooling, as pytorch_image_classification does.
    """
    if (depth is None) == (blocks is None) or (depth is not None and depth not in IMAGENET_DENSENETS):
        known = ", ".join(map(str, IMAGENET_DENSENETS))
        raise UserError(f"give either depth ({known}) or blocks, the layers of each dense block, such as [6, 12, 24, 16]")
    layers = blocks or IMAGENET_DENSENETS[depth]
    width = 2 * growth_rate
    body, channels = dense_stages(width, layers, growth_rate, block=block, compression=compression, p=dropout)
    stem = ImageNetStem(in_channels, width)
    return Network(stem, body, Tail(channels, relu=last_relu), channels=channels, num_classes=num_classes)
