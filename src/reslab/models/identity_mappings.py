"""Orders of batch norm and ReLU: He, Zhang, Ren, Sun, "Identity Mappings in Deep Residual Networks", arXiv:1603.05027, section 4.

torch-residual-networks (Wilber and Gross, "Training and investigating Residual Nets", 2016) varied batch norm and ReLU around the
addition: its four blocks are orders too.
"""

from typing import Literal

from torch import Tensor, nn

from reslab.config.schema import Depth, Size
from reslab.models.parts.init import initialized
from reslab.models.parts.layers import (
    ImageNetStem,
    Network,
    Projection,
    ShortcutOption,
    Stem,
    conv1x1,
    conv3x3,
    convolutions,
    make_shortcut,
)
from reslab.models.parts.plans import (
    Blocks,
    BlockType,
    Plan,
    Shape,
    blocks_per_stage,
    cifar_plan,
    imagenet_plan,
    make_plan,
    stage_widths,
)

Order = Literal[
    "original",
    "bn_after_addition",
    "relu_before_addition",
    "relu_only_preactivation",
    "full_preactivation",
    "no_last_relu",
    "bn_after_addition_no_relu",
]

UnitType = Literal["basic", "bottleneck", "one_layer"]

# Modules before each convolution, after the last one, and after the addition; between convolutions without pre-activation
# there are BN and ReLU. B: batch norm, R: ReLU.
LAST = {
    "original": ("B", "R"),
    "bn_after_addition": ("", "BR"),
    "relu_before_addition": ("BR", ""),
    "relu_only_preactivation": ("B", ""),
    "full_preactivation": ("", ""),
    "no_last_relu": ("B", ""),
    "bn_after_addition_no_relu": ("", "B"),
}
FIRST = {"relu_only_preactivation": "R", "full_preactivation": "BR"}


def unit_convolutions(unit: UnitType, shape: Shape, *, bias: bool) -> list[nn.Conv2d]:
    """The convolutions of a unit's branch; of one layer it is a single 3x3 (section 4.1, ResNet-110(1layer) of Table 3)."""
    if unit == "one_layer":
        return [conv3x3(*shape, bias=bias)]
    return convolutions(unit, *shape, bias=bias)


def unit_plan(depth: int, width: int, unit: UnitType) -> Plan:
    """Three stages of 3n+2 (one_layer), 6n+2 (basic) or 9n+2 (bottleneck) layers; raises UserError for another depth."""
    if unit == "one_layer":
        return make_plan(width, stage_widths(width, 3, "basic"), [blocks_per_stage(depth, 3, 2)] * 3)
    return cifar_plan(depth, width, unit)


def activation(letters: str, channels: int) -> list[nn.Module]:
    """BR -> batch norm and ReLU."""
    return [nn.BatchNorm2d(channels) if letter == "B" else nn.ReLU() for letter in letters]


class OrderedBlock(nn.Module):
    """A residual unit with its batch norms and ReLUs in one of the orders (Fig. 4).

    `split_first`: leave the pre-activation out, because it comes before this unit, right after the stem (section 4.1).
    """

    def __init__(
        self, shape: Shape, unit: UnitType, order: Order, *, shortcut: ShortcutOption, bias: bool, split_first: bool
    ) -> None:
        super().__init__()
        convs = unit_convolutions(unit, shape, bias=bias)
        last, after = LAST[order]
        modules = [] if split_first else activation(FIRST.get(order, ""), shape.in_channels)
        for conv in convs[:-1]:
            modules += [conv, *activation("BR", conv.out_channels)]
        modules += [convs[-1], *activation(last, shape.out_channels)]
        self.branch = nn.Sequential(*modules)
        self.shortcut = make_shortcut(shortcut, *shape, projection=conv1x1 if order in FIRST else Projection)
        self.after = nn.Sequential(*activation(after, shape.out_channels))

    def draw_first_gamma(self) -> None:
        """Draw the branch's first scale from N(1, 0.002)."""
        nn.init.normal_(next(module for module in self.branch if isinstance(module, nn.BatchNorm2d)).weight, 1, 0.002)

    def last_norm(self) -> nn.BatchNorm2d | None:
        return self.branch[-1] if isinstance(self.branch[-1], nn.BatchNorm2d) else None

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.branch(x) + self.shortcut(x))


def ordered_network(
    stem: nn.Module, plan: Plan, unit: UnitType, num_classes: int, *, order: Order, shortcut: ShortcutOption, bias: bool = False
) -> nn.Module:
    """The network of these units after a stem."""
    body = [
        nn.Sequential(
            *(
                OrderedBlock(shape, unit, order, shortcut=shortcut, bias=bias, split_first=stage == 0 and position == 0)
                for position, shape in enumerate(shapes)
            )
        )
        for stage, shapes in enumerate(plan)
    ]
    channels = plan[-1][-1].out_channels
    tail = nn.Sequential(*activation(FIRST.get(order, ""), channels))  # the extra activation after the last addition (section 4.1)
    return Network(stem, body, tail, channels=channels, num_classes=num_classes)


@initialized(init="fan_in")
def activation_resnet(
    in_channels: int,
    num_classes: int,
    *,
    depth: Depth,
    order: Order,
    block: UnitType = "basic",
    shortcut: ShortcutOption = "A",
    width: Size = 16,
) -> nn.Module:
    """A residual net with one of the orders of Table 2, or two more: 6n+2 layers (basic), 9n+2 (bottleneck) or 3n+2 (one_layer)."""
    plan = unit_plan(depth, width, block)
    return ordered_network(Stem(in_channels, width), plan, block, num_classes, order=order, shortcut=shortcut)


@initialized(init="fan_in")
def imagenet_activation_resnet(
    in_channels: int,
    num_classes: int,
    *,
    order: Order,
    depth: Depth | None = None,
    block: BlockType | None = None,
    blocks: Blocks | None = None,
    shortcut: ShortcutOption = "B",
    width: Size = 64,
) -> nn.Module:
    """The orders in a net for large images (section 5): `depth` 18, 34, 50, 101, 152, 200, or `block` and `blocks` per stage."""
    block, plan = imagenet_plan(depth, block, blocks, width)
    return ordered_network(ImageNetStem(in_channels, width), plan, block, num_classes, order=order, shortcut=shortcut)


TORCH7_ORDERS: dict[tuple[str, bool], Order] = {  # (place of batch norm, ReLU after the addition)
    ("before_addition", True): "original",
    ("before_addition", False): "no_last_relu",
    ("after_addition", True): "bn_after_addition",
    ("after_addition", False): "bn_after_addition_no_relu",
}


@initialized(init="fan_in", gamma="near_one")
def torch7_resnet(
    in_channels: int,
    num_classes: int,
    *,
    depth: Depth,
    bn: Literal["before_addition", "after_addition"] = "before_addition",
    last_relu: bool = True,
    first_gamma: Literal["same", "near_one"] = "same",
    width: Size = 16,
) -> nn.Module:
    """A ResNet of torch-residual-networks: 6n+2 layers, option A, biases in all convolutions, four blocks by `bn` and `last_relu`.

    Its later version is `gamma: uniform` with `first_gamma: near_one`: all from U(0, 1) but the first of each block, N(1, 0.002).
    """
    order = TORCH7_ORDERS[bn, last_relu]
    stem, plan = Stem(in_channels, width, bias=True), cifar_plan(depth, width)
    network = ordered_network(stem, plan, "basic", num_classes, order=order, shortcut="A", bias=True)
    if first_gamma == "near_one":
        for block in (module for module in network.modules() if isinstance(module, OrderedBlock)):
            block.initialize = block.draw_first_gamma
    return network
