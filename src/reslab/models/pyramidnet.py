"""PyramidNet: Han, Kim, Kim, "Deep Pyramidal Residual Networks", arXiv:1610.02915."""

from functools import partial
from itertools import accumulate, islice, repeat

from torch import Tensor, nn
from torch.nn import functional as F

from reslab.config.schema import Depth, Positive, Size
from reslab.errors import UserError
from reslab.models.parts.init import initialized
from reslab.models.parts.layers import ImageNetStem, Network, Stem, Tail, convolutions, pad_channels, stages
from reslab.models.parts.plans import Blocks, BlockType, Plan, Shape, imagenet_blocks, residual_depth


class PyramidBlock(nn.Module):
    """BN - conv - BN - ReLU - conv [- BN - ReLU - conv] - BN, add the shortcut: no ReLU first, none after (Fig. 6d).

    The shortcut halves the image by 2x2 averages and appends zero channels.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, block: BlockType) -> None:
        super().__init__()
        self.out_channels, self.stride = out_channels, stride
        convs = convolutions(block, in_channels, out_channels, stride)
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = convs[0]
        self.units = nn.Sequential(*(nn.Sequential(Tail(conv.in_channels), conv) for conv in convs[1:]))
        self.bn_last = nn.BatchNorm2d(out_channels)

    def last_norm(self) -> nn.BatchNorm2d:
        return self.bn_last

    def branch(self, x: Tensor) -> Tensor:
        """The branch, which is added to the shortcut."""
        return self.bn_last(self.units(self.conv1(self.bn1(x))))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.stride == 1 else F.avg_pool2d(x, self.stride, ceil_mode=True)
        return pad_channels(shortcut, self.out_channels) + self.branch(x)


def pyramid_plan(blocks: list[int], *, width: int, alpha: float, block: BlockType, stem_width: int | None) -> Plan:
    """Channels grow by alpha / N a block, N blocks in all; bottlenecks have four times that.

    The running sum is kept in floating point and each width rounded half to even, as in pytorch_image_classification.
    # Deviation: the paper rounds down.
    """
    growth = islice(accumulate(repeat(alpha / sum(blocks)), initial=width), sum(blocks) + 1)
    expansion = 1 if block == "basic" else 4
    channels = [round(value) * expansion for value in growth]
    if stem_width is not None and stem_width > channels[1]:
        raise UserError(f"stem_width {stem_width} is not allowed: the first block has {channels[1]} channels")
    channels[0] = stem_width or width
    plan, position = [], 0
    for stage, count in enumerate(blocks):
        strides = [1 if stage == 0 else 2] + [1] * (count - 1)
        plan.append([Shape(channels[position + i], channels[position + i + 1], stride) for i, stride in enumerate(strides)])
        position += count
    return plan


@initialized(init="fan_out", linear_bias="zero")
def pyramidnet(
    in_channels: int,
    num_classes: int,
    *,
    depth: Depth,
    alpha: Positive,
    block: BlockType = "basic",
    width: Size = 16,
    stem_width: Size | None = None,
) -> nn.Module:
    """An additive PyramidNet for small images: 6n+2 layers (basic) or 9n+2 (bottleneck), `alpha` channels more at the end.

    The stem has `width` channels unless `stem_width` is given (64 in the first version of pytorch_image_classification's
    bottleneck nets).
    """
    blocks = [residual_depth(depth, block)] * 3
    plan = pyramid_plan(blocks, width=width, alpha=alpha, block=block, stem_width=stem_width)
    channels = plan[-1][-1].out_channels
    stem = Stem(in_channels, plan[0][0].in_channels, relu=False)
    body = stages(partial(PyramidBlock, block=block), plan)
    return Network(stem, body, Tail(channels), channels=channels, num_classes=num_classes)


@initialized(init="fan_out", linear_bias="zero")
def imagenet_pyramidnet(
    in_channels: int,
    num_classes: int,
    *,
    alpha: Positive,
    depth: Depth | None = None,
    block: BlockType | None = None,
    blocks: Blocks | None = None,
    width: Size = 64,
) -> nn.Module:
    """An additive PyramidNet for large images: `depth` 18, 34, 50, 101, 152, 200, or `block` and `blocks` per stage."""
    block, blocks = imagenet_blocks(depth, block, blocks)
    plan = pyramid_plan(blocks, width=width, alpha=alpha, block=block, stem_width=None)
    channels = plan[-1][-1].out_channels
    body = stages(partial(PyramidBlock, block=block), plan)
    return Network(ImageNetStem(in_channels, width), body, Tail(channels), channels=channels, num_classes=num_classes)
