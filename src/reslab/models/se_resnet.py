"""Squeeze-and-excitation: Hu, Shen, Albanie, Sun, Wu, "Squeeze-and-Excitation Networks", arXiv:1709.01507."""

from torch import Tensor, nn
from torch.nn import functional as F

from reslab.config.schema import Count, Depth, Size
from reslab.errors import UserError
from reslab.models.parts.init import initialized
from reslab.models.parts.layers import Stem, global_average_pool
from reslab.models.parts.plans import BlockType, cifar_plan
from reslab.models.preact import preact_network


class SqueezeExcitation(nn.Module):
    """Each channel times a number in (0, 1) that two linear layers make of all channels' means (section 3)."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        if channels < reduction:
            raise UserError(f"reduction {reduction} is not allowed: a stage has only {channels} channels")
        self.reduce = nn.Linear(channels, channels // reduction)
        self.expand = nn.Linear(channels // reduction, channels)

    def forward(self, x: Tensor) -> Tensor:
        scale = self.expand(F.relu(self.reduce(global_average_pool(x)))).sigmoid()  # (B, C)
        return x * scale[:, :, None, None]


@initialized(init="fan_out", linear_bias="zero")
def se_preact_resnet(
    in_channels: int,
    num_classes: int,
    *,
    depth: Depth,
    block: BlockType = "basic",
    width: Size = 16,
    reduction: Count = 16,
    expand_first_stage: bool = True,
    remove_first_relu: bool = True,
    add_last_bn: bool = True,
    preact_stage: list[bool] | None = None,
) -> nn.Module:
    """A pre-activation ResNet with squeeze-and-excitation at the end of each branch, 6n+2 layers (basic) or 9n+2 (bottleneck).

    `preact_stage` is [true, false, false] unless given, as in pytorch_image_classification.
    """
    plan = cifar_plan(depth, width, block, expand_first_stage=expand_first_stage)

    def last(channels: int) -> nn.Module:
        excitation = SqueezeExcitation(channels, reduction)
        return nn.Sequential(nn.BatchNorm2d(channels), excitation) if add_last_bn else excitation

    return preact_network(
        Stem(in_channels, width, norm=False, relu=False),
        plan,
        block,
        num_classes,
        remove_first_relu=remove_first_relu,
        preact_stage=[True, False, False] if preact_stage is None else preact_stage,
        last=last,
    )
