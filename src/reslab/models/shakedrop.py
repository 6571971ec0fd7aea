"""ShakeDrop: Yamada, Iwamura, Akiba, Kise, "ShakeDrop Regularization for Deep Residual Learning", arXiv:1802.02375."""

import torch
from torch import Tensor, nn

from reslab.config.schema import Depth, Fraction, Positive, Size
from reslab.models.parts.init import initialized
from reslab.models.parts.layers import Network, Stem, Tail
from reslab.models.parts.plans import BlockType, residual_depth
from reslab.models.pyramidnet import PyramidBlock, pyramid_plan
from reslab.models.shake_shake import mixed
from reslab.models.stochastic_depth import linear_decay
from reslab.rng import NetworkDraws


class ShakeDrop(nn.Module):
    """A branch times b + alpha - b * alpha forward and b + beta - b * beta backward (eq. 6), in training.

    b is 1 with probability `survival`, per mini-batch; alpha is uniform in [-1, 1] and beta in [0, 1], per image. In evaluation the
    branch is multiplied by the mean, which is `survival`.
    """

    def __init__(self, survival: float) -> None:
        super().__init__()
        self.survival = survival
        self.draws = NetworkDraws()

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return self.survival * x
        kept = self.draws.uniform(1) < self.survival
        alpha = torch.where(kept, 1.0, 2 * self.draws.uniform(len(x), 1, images=len(x)) - 1)
        beta = torch.where(kept, 1.0, self.draws.uniform(len(x), 2, images=len(x)))
        return mixed(x, alpha.view(-1, 1, 1, 1), beta.view(-1, 1, 1, 1))


class ShakeDropBlock(PyramidBlock):
    """PyramidNet's block with ShakeDrop at the end of its branch."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, block: BlockType, *, survival: float) -> None:
        super().__init__(in_channels, out_channels, stride, block)
        self.shakedrop = ShakeDrop(survival)

    def branch(self, x: Tensor) -> Tensor:
        return self.shakedrop(super().branch(x))


@initialized(init="fan_out", linear_bias="zero")
def shakedrop_pyramidnet(
    in_channels: int,
    num_classes: int,
    *,
    depth: Depth,
    alpha: Positive,
    survival: Fraction = 0.5,
    block: BlockType = "bottleneck",
    width: Size = 16,
) -> nn.Module:
    """PyramidNet (6n+2 layers; 9n+2 in bottlenecks; paper: 272, alpha 200) with ShakeDrop; survival falls from 1 to `survival`."""
    blocks = [residual_depth(depth, block)] * 3
    plan = pyramid_plan(blocks, width=width, alpha=alpha, block=block, stem_width=None)
    survivals = iter([linear_decay(position, sum(blocks), survival) for position in range(1, sum(blocks) + 1)])
    body = [nn.Sequential(*(ShakeDropBlock(*shape, block, survival=next(survivals)) for shape in shapes)) for shapes in plan]
    channels = plan[-1][-1].out_channels
    stem = Stem(in_channels, width, relu=False)
    return Network(stem, body, Tail(channels), channels=channels, num_classes=num_classes)
