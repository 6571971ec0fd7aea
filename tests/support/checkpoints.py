"""Checkpoints as others publish them: names and shapes of their networks, and torchvision's own."""

import torch
import torchvision
from torch import nn

BN = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def norm_entries(prefix: str, channels: int) -> dict[str, tuple[int, ...]]:
    return {f"{prefix}.{entry}": () if entry == "num_batches_tracked" else (channels,) for entry in BN}


def fattorib(depth: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a ResNets-CIFAR10 checkpoint (reference, section C)."""
    blocks = (depth - 2) // 6
    shapes = {"first_layer.weight": (16, 3, 3, 3)} | norm_entries("bn", 16)
    for stage, channels in (("first", 16), ("second", 32), ("third", 64)):
        out = min(64, 2 * channels)
        residual = [(f"{stage}_block.residual_block.{i}", channels) for i in range(blocks - 1)]
        for prefix, after in [(f"{stage}_block.conv_block", channels), *residual, (f"{stage}_block.final_block", out)]:
            shapes |= {f"{prefix}.0.weight": (channels, channels, 3, 3), f"{prefix}.3.weight": (after, channels, 3, 3)}
            shapes |= norm_entries(f"{prefix}.1", channels) | norm_entries(f"{prefix}.4", after)
        shapes |= norm_entries(f"{stage}_block.bn", out)
    return shapes | {"fc.weight": (10, 64), "fc.bias": (10,)}


def tau(depth: int, *, norm: bool) -> dict[str, tuple[int, ...]]:
    """Names and shapes of tau-ResNet's CIFAR networks (reference, section A2)."""
    shapes = {"conv1.weight": (16, 3, 3, 3)} | (norm_entries("bn1", 16) if norm else {"tau": (1,)})
    before = 16
    for stage, channels in ((1, 16), (2, 32), (3, 64)):
        for i in range((depth - 2) // 6):
            block = f"layer{stage}.{i}"
            shapes |= {f"{block}.conv1.weight": (channels, before, 3, 3), f"{block}.conv2.weight": (channels, channels, 3, 3)}
            if norm:
                shapes |= norm_entries(f"{block}.bn1", channels) | norm_entries(f"{block}.bn2", channels)
                shapes |= norm_entries(f"{block}.downsample.1", before) if before != channels else {}
            else:
                shapes |= {f"{block}.{name}": (1,) for name in ("tau", "bias1a", "bias1b", "bias2a", "bias2b")}
            before = channels
    return shapes | {"fc.weight": (10, 64), "fc.bias": (10,)}


def filled(shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """Each tensor with numbers of its own; tau alike everywhere."""
    return {
        name: torch.tensor([0.5]) if name.split(".")[-1] == "tau" else torch.full(shape, float(i))
        for i, (name, shape) in enumerate(shapes.items())
    }


@torch.no_grad()
def randomized(model: nn.Module) -> nn.Module:
    """Every tensor different from every other, of a size that keeps the signal alive."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in model.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5, generator=generator)
        elif tensor.dim() > 1:
            tensor.normal_(0, (2 / tensor[0].numel()) ** 0.5, generator=generator)
        elif tensor.is_floating_point():
            tensor.uniform_(-0.3, 0.3, generator=generator)
            tensor.add_(1.0 if name.endswith("weight") else 0.0)
    return model.double().eval()


def oracle(name: str) -> nn.Module:
    """torchvision's network; a VGG with 32 instead of 4096 hidden units, which would take a gigabyte."""
    with torch.device("meta"):
        model = getattr(torchvision.models, name)(weights=None, num_classes=5)
        if name.startswith("vgg"):
            model.classifier[0], model.classifier[3], model.classifier[6] = (
                nn.Linear(25088, 32),
                nn.Linear(32, 32),
                nn.Linear(32, 5),
            )
    return randomized(model.to_empty(device="cpu"))
