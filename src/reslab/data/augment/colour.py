"""Colour and policy augmentations on pixels 0..255, but for `lighting` through torchvision's v2 transforms.

Those transforms draw from torch's global generator. It is forked and seeded by our hash: at level `image` once for each image, so
that the result is a function of (seed, epoch, sample) as everywhere, at the price of a Python loop over the batch; at level `batch`
once, so that it is a function of (seed, epoch, the batch's samples) and all images of a batch get the same operation.
"""

from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from reslab.config.schema import Strength
from reslab.data.augment.boxes import need_bytes
from reslab.data.augment.draws import Draws, Level, normal
from reslab.errors import UserError

EIGENVALUES = (0.2175, 0.0188, 0.0045)  # roots of the covariance's, of pixels 0..1
EIGENVECTORS = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))  # a row a channel


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


def lighting(images: Tensor, draws: Draws, *, std: Strength = 0.1) -> Tensor:
    """Shift all pixels of an image along the principal components of ImageNet's colours, by normal amounts.

    images uint8 (B, 3, H, W) -> the same. Raises UserError after normalisation and for images without three channels. Source:
    Krizhevsky et al. 2012, section 4.1; the components are those of fb.resnet.torch.
    """
    need_bytes(images)
    if images.shape[1] != 3:
        raise UserError(f"lighting shifts the colours of RGB images; these have {images.shape[1]} channel(s)")
    # Deviation: rounded to whole pixel values, as all that comes before normalisation.
    amounts = normal(draws.uniforms("amount", 3))
    shifts = [sum(amounts[:, i] * (255 * std * EIGENVALUES[i] * row[i]) for i in range(3)) for row in EIGENVECTORS]
    shift = torch.stack(shifts, 1)[:, :, None, None]
    return (images + shift.float()).round().clamp(0, 255).to(images.dtype)


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
