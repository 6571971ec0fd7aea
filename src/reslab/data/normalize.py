"""Normalisation constants by name: `f(facts, **options) -> (mean, std)` per channel, for images scaled to [0, 1].

A mean of None stands for the training images' mean image, which takes the images themselves.
"""

import hashlib
from typing import Literal

import torch
from torch import Tensor

from reslab.config.schema import Finite, Positive
from reslab.errors import UserError, shown

Mean = list[float] | list[list[list[float]]]  # per channel, or per pixel (C, H, W)
Constants = tuple[list[float] | None, list[float]]

PUBLISHED: dict[str, tuple[list[float], list[float]]] = {
    "cifar10": ([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]),
    # The std that tau-ResNet and many others use: the mean of per-image stds, not the std over all pixels.
    "cifar10_per_image_std": ([0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]),
    "cifar100": ([0.5071, 0.4865, 0.4409], [0.2673, 0.2564, 0.2762]),
    "mnist": ([0.1307], [0.3081]),
    "fashion_mnist": ([0.2860], [0.3530]),
    "kmnist": ([0.1904], [0.3475]),
    "imagenet": ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
}


def computed(facts: dict) -> Constants:
    """Mean and std of the training images, as preprocess measured them."""
    if min(facts["std"]) == 0:
        raise UserError("a channel of the training images is constant (std 0): use normalize: {name: constants, ...}")
    return facts["mean"], facts["std"]


def published(facts: dict, *, constants: str) -> Constants:
    """Constants that published systems use, by name."""
    if constants not in PUBLISHED:
        raise UserError(f"unknown constants {shown(constants)}; allowed: {', '.join(PUBLISHED)}")
    return _for_channels(facts, *PUBLISHED[constants])


def constants(facts: dict, *, mean: list[Finite], std: list[Positive]) -> Constants:
    """Constants written out, one per channel."""
    return _for_channels(facts, mean, std)


def scalar_std(facts: dict) -> Constants:
    """Mean of each channel, and one std over all training pixels of all channels."""
    return facts["mean"], _one_std(facts)


def mean_image(facts: dict, *, std: Literal["none", "scalar"] = "none") -> Constants:
    """The mean image of the training images, pixel by pixel; `std`: not divided by anything, or by one std over all pixels.

    Sources: He et al. 2015, arXiv:1512.03385, section 4.2 ("none"); github.com/gcr/torch-residual-networks ("scalar").
    """
    return None, [1.0] * facts["image_shape"][0] if std == "none" else _one_std(facts)


def _one_std(facts: dict) -> list[float]:
    """The std of all pixels around their one mean, repeated for each channel; raises UserError if it is 0."""
    channels = len(facts["mean"])
    squares = sum(std**2 + mean**2 for mean, std in zip(facts["mean"], facts["std"], strict=True)) / channels
    variance = squares - (sum(facts["mean"]) / channels) ** 2
    if variance <= 0:
        raise UserError("the training images are constant (std 0): use normalize: {name: constants, ...}")
    return [variance**0.5] * channels


def spread(values: Mean) -> Tensor:
    """Numbers per channel as float64 (C, 1, 1), numbers per pixel as (C, H, W)."""
    tensor = torch.tensor(values, dtype=torch.float64)
    return tensor if tensor.dim() == 3 else tensor[:, None, None]


def summary(mean: Mean, std: list[float]) -> dict:
    """The constants for a description: a mean image, thousands of numbers, as a checksum."""
    if not isinstance(mean[0], list):
        return {"mean": mean, "std": std}
    return {"mean_image": hashlib.sha256(spread(mean).numpy().tobytes()).hexdigest(), "std": std}


def _for_channels(facts: dict, mean: list[float], std: list[float]) -> Constants:
    channels = facts["image_shape"][0]
    if len(mean) != channels or len(std) != channels:
        raise UserError(f"mean {mean}, std {std}: expected {channels} numbers each, for {channels} channels")
    return mean, std


NORMALIZATIONS = {
    "computed": computed,
    "constants": constants,
    "mean_image": mean_image,
    "published": published,
    "scalar_std": scalar_std,
}


class Normalize:
    """uint8 (B, C, H, W) -> (x / 255 - mean) / std, channels_last, in `dtype`; the mean is per channel or per pixel."""

    def __init__(self, mean: Mean, std: list[float], *, device: torch.device, dtype: torch.dtype) -> None:
        self.dtype = dtype
        std_pixels = spread(std) * 255
        offset = -spread(mean) * 255 / std_pixels
        self.scale = (1 / std_pixels).to(device, dtype)
        self.offset = offset.to(device, dtype)

    def __call__(self, images: Tensor) -> Tensor:
        return images.to(self.dtype, memory_format=torch.channels_last) * self.scale + self.offset
