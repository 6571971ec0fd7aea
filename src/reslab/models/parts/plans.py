"""Stage plans: which depth has how many blocks, and the shape of each block."""

from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from reslab.errors import UserError

BlockType = Literal["basic", "bottleneck"]
Blocks = Annotated[list[Annotated[int, Field(ge=1, le=500)]], Field(min_length=1, max_length=8)]  # blocks of each stage

IMAGENET_RESNETS: dict[int, tuple[BlockType, list[int]]] = {  # He et al. 2015, Table 1; 200: He et al. 2016, section 5
    18: ("basic", [2, 2, 2, 2]),
    34: ("basic", [3, 4, 6, 3]),
    50: ("bottleneck", [3, 4, 6, 3]),
    101: ("bottleneck", [3, 4, 23, 3]),
    152: ("bottleneck", [3, 8, 36, 3]),
    200: ("bottleneck", [3, 24, 36, 3]),
}


class Shape(NamedTuple):
    """The shapes of a block's input and output: (B, in_channels, H, W) -> (B, out_channels, H / stride, W / stride)."""

    in_channels: int
    out_channels: int
    stride: int


Plan = list[list[Shape]]  # one list a stage


def blocks_per_stage(depth: int, layers: int, others: int) -> int:
    """The n of a depth of `layers` * n + `others`; raises UserError for another depth, with the nearest that exists."""
    n, rest = divmod(depth - others, layers)
    if n < 1 or rest:
        nearest = max(1, round((depth - others) / layers)) * layers + others
        examples = ", ".join(str(layers * k + others) for k in (1, 2, 3, 5, 9, 18))
        raise UserError(f"depth {depth} is impossible: allowed are {layers}n+{others} ({examples}, ...); nearest is {nearest}")
    return n


def residual_depth(depth: int, block: BlockType) -> int:
    """Blocks per stage of the three-stage nets: 6n+2 layers in basic blocks, 9n+2 in bottlenecks (He et al. 2015, section 4.2)."""
    return blocks_per_stage(depth, 6 if block == "basic" else 9, 2)


def make_plan(in_channels: int, widths: Sequence[int], blocks: Sequence[int]) -> Plan:
    """The shapes of all blocks; the first block of every stage but the first halves the image."""
    plan = []
    for stage, (out_channels, count) in enumerate(zip(widths, blocks, strict=True)):
        first = Shape(in_channels, out_channels, 1 if stage == 0 else 2)
        plan.append([first] + [Shape(out_channels, out_channels, 1)] * (count - 1))
        in_channels = out_channels
    return plan


def stage_widths(width: int, stages: int, block: BlockType, *, expand_first_stage: bool = True) -> list[int]:
    """Output channels of each stage: width doubled from stage to stage, four times that for bottlenecks.

    Without `expand_first_stage` the first bottleneck stage keeps `width` channels, as pytorch_image_classification has it.
    """
    if block == "basic" and not expand_first_stage:
        raise UserError("expand_first_stage false is not allowed: only bottlenecks expand")
    expansion = 1 if block == "basic" else 4
    widths = [width * expansion * 2**stage for stage in range(stages)]
    return widths if expand_first_stage else [width, *widths[1:]]


def cifar_plan(depth: int, width: int, block: BlockType = "basic", *, expand_first_stage: bool = True) -> Plan:
    """The plan of the 6n+2 (basic) and 9n+2 (bottleneck) nets; raises UserError for another depth."""
    blocks = [residual_depth(depth, block)] * 3
    return make_plan(width, stage_widths(width, 3, block, expand_first_stage=expand_first_stage), blocks)


def imagenet_blocks(depth: int | None, block: BlockType | None, blocks: list[int] | None) -> tuple[BlockType, list[int]]:
    """The block type and the blocks per stage, from a published `depth` or from `block` and `blocks` themselves."""
    published = ", ".join(map(str, IMAGENET_RESNETS))
    if (depth is None) == (blocks is None):
        raise UserError(f"give either depth ({published}) or blocks, the number of blocks of each stage, such as [3, 4, 6, 3]")
    if blocks is not None:
        if block is None:
            raise UserError("blocks needs a block type too: block: basic or block: bottleneck")
        return block, blocks
    if depth not in IMAGENET_RESNETS:
        raise UserError(f"depth {depth} is impossible: allowed are {published}, or give block and blocks")
    own_block, own_blocks = IMAGENET_RESNETS[depth]
    if block not in (None, own_block):
        raise UserError(f"block {block} is impossible: ResNet-{depth} has {own_block} blocks; give blocks instead of depth")
    return own_block, own_blocks


def imagenet_plan(
    depth: int | None, block: BlockType | None, blocks: list[int] | None, width: int, *, expand_first_stage: bool = True
) -> tuple[BlockType, Plan]:
    """The block type and plan of a net for large images; raises UserError unless exactly one of depth and blocks is given."""
    block, blocks = imagenet_blocks(depth, block, blocks)
    widths = stage_widths(width, len(blocks), block, expand_first_stage=expand_first_stage)
    return block, make_plan(width, widths, blocks)
