"""Bricks that several papers share: convolutions, parameter-free shortcuts, initialisation, the 6n+2 stage plan."""

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from reslab.errors import UserError

Init = Literal["fan_in", "fan_out"]


def conv3x3(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    """A 3x3 convolution that keeps the size (halves it at stride 2), without bias."""
    return nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)


def conv1x1(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    """A 1x1 convolution without bias."""
    return nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False)


def subsample_and_pad(x: Tensor, out_channels: int, stride: int) -> Tensor:
    """Take every `stride`-th pixel and append zero channels after the real ones (option A, He et al. 2015, section 3.3)."""
    x = x[:, :, ::stride, ::stride]  # (B, C, H / stride, W / stride)
    return F.pad(x, (0, 0, 0, 0, 0, out_channels - x.shape[1]))


def global_average_pool(x: Tensor) -> Tensor:
    """Mean over the image, (B, C, H, W) -> (B, C); unlike AdaptiveAvgPool2d its CUDA backward is deterministic."""
    return x.mean((2, 3))


def cifar_plan(depth: int, width: int) -> list[tuple[int, int, int]]:
    """Stage plan of the 6n+2 nets: (in, out, stride) of the 3n blocks (He et al. 2015, section 4.2).

    Raises UserError unless depth is 6n+2 with n >= 1.
    """
    if depth < 8 or (depth - 2) % 6:
        near = max(1, round((depth - 2) / 6)) * 6 + 2
        raise UserError(f"depth {depth} is impossible: allowed are 6n+2 (8, 14, 20, 32, 44, 56, 110, 1202, ...); nearest is {near}")
    blocks_per_stage = (depth - 2) // 6
    plan, in_channels = [], width
    for stage in range(3):
        out_channels = width * 2**stage
        for block in range(blocks_per_stage):
            plan.append((in_channels, out_channels, 2 if stage > 0 and block == 0 else 1))
            in_channels = out_channels
    return plan


def init_convolutions(model: nn.Module, init: Init) -> None:
    """Draw every convolution from N(0, 2 / fan) (He et al. 2015, "Delving Deep", eq. 10 or 14); the rest keeps torch's defaults."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode=init, nonlinearity="relu")


def scale_gradient(x: Tensor, factor: float) -> Tensor:
    """Return x exactly, with its gradient multiplied by `factor`."""
    constant = x.detach()
    return constant + factor * (x - constant)
