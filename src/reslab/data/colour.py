"""Colour and policy augmentations through torchvision's v2 transforms, on pixels 0..255.

These transforms draw from torch's global generator. It is forked and seeded by our hash: at level `image` once for each image, so
that the result is a function of (seed, epoch, sample) as everywhere, at the price of a Python loop over the batch; at level `batch`
once, so that it is a function of (seed, epoch, the batch's samples) and all images of a batch get the same operation.
"""

from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from reslab.data.boxes import need_bytes
from reslab.data.draws import Draws, Level
from reslab.schema import Strength


def colour_jitter(
    images: Tensor,
    draws: Draws,
    *,
    brightness: Strength = 0.4,
    contrast: Strength = 0.4,
    saturation: Strength = 0.4,
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0,
    level: Level = "image",
) -> Tensor:
    """Change brightness, contrast, saturation by factors in [1 - x, 1 + x], turn the hue by at most `hue`, in random order.

    images uint8 (B, C, H, W) -> the same. Raises UserError after normalisation. Source: Howard 2013, arXiv:1312.5402, section 2;
    the values are those of fb.resnet.torch.
    """
    from torchvision.transforms import v2

    transform = v2.ColorJitter(brightness=brightness, contrast=contrast, saturation=saturation, hue=hue)
    return _seeded(images, draws, transform, level)


def trivial_augment(images: Tensor, draws: Draws, *, level: Level = "image") -> Tensor:
    """One operation of the wide set at a random strength for each image.

    images uint8 (B, C, H, W) -> the same. Raises UserError after normalisation. Source: Müller, Hutter 2021, arXiv:2103.10158,
    section 3.
    """
    from torchvision.transforms import v2

    return _seeded(images, draws, v2.TrivialAugmentWide(), level)


def rand_augment(
    images: Tensor,
    draws: Draws,
    *,
    operations: Annotated[int, Field(ge=1, le=20)] = 2,
    magnitude: Annotated[int, Field(ge=0, le=30)] = 9,
    level: Level = "image",
) -> Tensor:
    """`operations` random operations of one strength (0 to 30) for each image.

    images uint8 (B, C, H, W) -> the same. Raises UserError after normalisation. Source: Cubuk et al. 2019, arXiv:1909.13719,
    section 3.
    """
    from torchvision.transforms import v2

    return _seeded(images, draws, v2.RandAugment(num_ops=operations, magnitude=magnitude), level)


def _seeded(images: Tensor, draws: Draws, transform: Callable[[Tensor], Tensor], level: Level) -> Tensor:
    need_bytes(images)
    parts = images.unbind() if level == "image" else [images]
    seeds = draws.at(level).seeds("torchvision")[: len(parts)].tolist()
    with torch.random.fork_rng(devices=[]):  # torchvision draws on the CPU
        done = [_with_seed(transform, part, seed) for part, seed in zip(parts, seeds, strict=True)]
    return torch.stack(done) if level == "image" else done[0]


def _with_seed(transform: Callable[[Tensor], Tensor], images: Tensor, seed: int) -> Tensor:
    torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed every device, which takes longer than the transform
    return transform(images)
