"""Where batch norm and ReLU stand: He, Zhang, Ren, Sun, "Identity Mappings in Deep Residual Networks", arXiv:1603.05027, section 4.

torch-residual-networks (Wilber and Gross, "Training and investigating Residual Nets", 2016) asked the same of batch norm and ReLU
around the addition: its four blocks are orders too.
"""

from typing import Literal

from torch import Tensor, nn

from reslab.models.init import initialized
from reslab.models.layers import Network, Projection, ShortcutOption, Stem, conv1x1, convolutions, make_shortcut
from reslab.models.plans import BlockType, Shape, cifar_plan
from reslab.schema import Size

Order = Literal[
    "original",
    "bn_after_addition",
    "relu_before_addition",
    "relu_only_preactivation",
    "full_preactivation",
    "no_last_relu",
    "bn_after_addition_no_relu",
]

# Modules before each convolution, after the last one, and after the addition; between convolutions without pre-activation
# stand BN and ReLU. B: batch norm, R: ReLU.
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


def activation(letters: str, channels: int) -> list[nn.Module]:
    """BR -> batch norm and ReLU."""
    return [nn.BatchNorm2d(channels) if letter == "B" else nn.ReLU() for letter in letters]


class OrderedBlock(nn.Module):
    """A residual unit with its batch norms and ReLUs in one of the orders (Fig. 4).

    `split_first`: leave the pre-activation out, because it stands before this unit, right after the stem (section 4.1).
    """

    def __init__(
        self, shape: Shape, block: BlockType, order: Order, *, shortcut: ShortcutOption, bias: bool, split_first: bool
    ) -> None:
        super().__init__()
        convs = convolutions(block, *shape, bias=bias)
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
    in_channels: int,
    num_classes: int,
    *,
    depth: int,
    block: BlockType,
    order: Order,
    shortcut: ShortcutOption,
    width: int,
    bias: bool,
) -> nn.Module:
    """A three-stage net of these units: 6n+2 layers (basic) or 9n+2 (bottleneck)."""
    plan = cifar_plan(depth, width, block)
    body = [
        nn.Sequential(
            *(
                OrderedBlock(shape, block, order, shortcut=shortcut, bias=bias, split_first=stage == 0 and position == 0)
                for position, shape in enumerate(shapes)
            )
        )
        for stage, shapes in enumerate(plan)
    ]
    channels = plan[-1][-1].out_channels
    tail = nn.Sequential(*activation(FIRST.get(order, ""), channels))  # the extra activation after the last addition (section 4.1)
    return Network(Stem(in_channels, width, bias=bias), body, tail, channels=channels, num_classes=num_classes)


@initialized(init="fan_in")
def activation_resnet(
    in_channels: int,
    num_classes: int,
    *,
    depth: int,
    order: Order,
    block: BlockType = "basic",
    shortcut: ShortcutOption = "A",
    width: Size = 16,
) -> nn.Module:
    """A residual net with one of the orders of Table 2, or two more: 6n+2 layers (basic) or 9n+2 (bottleneck)."""
    return ordered_network(
        in_channels, num_classes, depth=depth, block=block, order=order, shortcut=shortcut, width=width, bias=False
    )


TORCH7_ORDERS: dict[tuple[str, bool], Order] = {  # (where batch norm stands, ReLU after the addition)
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
    depth: int,
    bn: Literal["before_addition", "after_addition"] = "before_addition",
    last_relu: bool = True,
    first_gamma: Literal["same", "near_one"] = "same",
    width: Size = 16,
) -> nn.Module:
    """A ResNet of torch-residual-networks: 6n+2 layers, option A, biases in all convolutions, four blocks by `bn` and `last_relu`.

    Its later version is `gamma: uniform` with `first_gamma: near_one`: all from U(0, 1) but the first of each block, N(1, 0.002).
    """
    order = TORCH7_ORDERS[bn, last_relu]
    network = ordered_network(
        in_channels, num_classes, depth=depth, block="basic", order=order, shortcut="A", width=width, bias=True
    )
    if first_gamma == "near_one":
        for block in (module for module in network.modules() if isinstance(module, OrderedBlock)):
            block.initialize = block.draw_first_gamma
    return network
