"""Pre-activation ResNet: He, Zhang, Ren, Sun, "Identity Mappings in Deep Residual Networks", arXiv:1603.05027.

The options that change the unit (no first ReLU, batch norm at the end, pre-activation shared or not) are those of Han, Kim, Kim,
"Deep Pyramidal Residual Networks", arXiv:1610.02915, as pytorch_image_classification combines them.
"""

from collections.abc import Callable

from torch import Tensor, nn

from reslab.config.schema import Depth, Size
from reslab.errors import UserError
from reslab.models.parts.init import initialized
from reslab.models.parts.layers import ImageNetStem, Network, Stem, Tail, conv1x1, convolutions
from reslab.models.parts.plans import Blocks, BlockType, Plan, Shape, cifar_plan, imagenet_plan


class PreactBlock(nn.Module):
    """BN - ReLU - conv, twice (basic) or three times (bottleneck); add the shortcut; nothing after the addition (Fig. 4e).

    `shared`: the first BN - ReLU comes before the split, so that the shortcut gets it too. `last`: what follows the last
    convolution of the branch.
    """

    def __init__(self, shape: Shape, block: BlockType, *, shared: bool, first_relu: bool, last: nn.Module) -> None:
        super().__init__()
        self.shared = shared
        self.preactivation = Tail(shape.in_channels, relu=first_relu or shared)
        convs = convolutions(block, *shape)
        self.conv1 = convs[0]
        self.units = nn.Sequential(*(nn.Sequential(Tail(conv.in_channels), conv) for conv in convs[1:]))
        self.last = last
        same_channels = shape.in_channels == shape.out_channels
        self.shortcut = nn.Identity() if same_channels and shape.stride == 1 else conv1x1(*shape)

    def last_norm(self) -> nn.BatchNorm2d | None:
        return next((module for module in self.last.modules() if isinstance(module, nn.BatchNorm2d)), None)

    def forward(self, x: Tensor) -> Tensor:
        active = self.preactivation(x)
        out = self.last(self.units(self.conv1(active)))
        return out + self.shortcut(active if self.shared else x)


def preact_network(
    stem: nn.Module,
    plan: Plan,
    block: BlockType,
    num_classes: int,
    *,
    remove_first_relu: bool,
    preact_stage: list[bool] | None,
    last: Callable[[int], nn.Module],
) -> nn.Module:
    """The network; the first block of stage i shares its pre-activation if preact_stage[i] (all by default), the others never do.

    `last(channels)` makes what follows the last convolution of each branch.
    """
    preact_stage = [True] * len(plan) if preact_stage is None else preact_stage
    if len(preact_stage) != len(plan):
        raise UserError(f"preact_stage {preact_stage} is not allowed: one true or false for each of the {len(plan)} stages")

    def make(shape: Shape, shared: bool) -> nn.Module:
        return PreactBlock(shape, block, shared=shared, first_relu=not remove_first_relu, last=last(shape.out_channels))

    body = [
        nn.Sequential(*(make(shape, shared and position == 0) for position, shape in enumerate(stage)))
        for shared, stage in zip(preact_stage, plan, strict=True)
    ]
    channels = plan[-1][-1].out_channels
    return Network(stem, body, Tail(channels), channels=channels, num_classes=num_classes)


def last_bn(add: bool) -> Callable[[int], nn.Module]:
    """Batch norm after the last convolution of a branch, or nothing."""
    return nn.BatchNorm2d if add else lambda channels: nn.Identity()


@initialized(init="fan_out", linear_bias="zero")
def preact_resnet(
    in_channels: int,
    num_classes: int,
    *,
    depth: Depth,
    block: BlockType = "basic",
    width: Size = 16,
    expand_first_stage: bool = True,
    remove_first_relu: bool = False,
    add_last_bn: bool = False,
    preact_stage: list[bool] | None = None,
) -> nn.Module:
    """A pre-activation ResNet for small images, of 6n+2 layers in basic blocks or 9n+2 in bottlenecks.

    `preact_stage`: whether the first block of each of the three stages shares its pre-activation with the shortcut; all by default.
    """
    plan = cifar_plan(depth, width, block, expand_first_stage=expand_first_stage)
    return preact_network(
        Stem(in_channels, width, norm=False, relu=False),
        plan,
        block,
        num_classes,
        remove_first_relu=remove_first_relu,
        preact_stage=preact_stage,
        last=last_bn(add_last_bn),
    )


@initialized(init="fan_out", linear_bias="zero")
def imagenet_preact_resnet(
    in_channels: int,
    num_classes: int,
    *,
    depth: Depth | None = None,
    block: BlockType | None = None,
    blocks: Blocks | None = None,
    width: Size = 64,
    expand_first_stage: bool = True,
    remove_first_relu: bool = False,
    add_last_bn: bool = False,
    preact_stage: list[bool] | None = None,
) -> nn.Module:
    """A pre-activation ResNet for large images: `depth` 18, 34, 50, 101, 152, 200, or `block` and `blocks` per stage."""
    block, plan = imagenet_plan(depth, block, blocks, width, expand_first_stage=expand_first_stage)
    return preact_network(
        ImageNetStem(in_channels, width),
        plan,
        block,
        num_classes,
        remove_first_relu=remove_first_relu,
        preact_stage=preact_stage,
        last=last_bn(add_last_bn),
    )
