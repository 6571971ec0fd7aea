"""Seeded epochs over images that stay on the device: shuffle, gather, augment, normalise, mix, batch by batch."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from reslab.data.draws import Draws, shuffled, with_replacement
from reslab.data.images import Split
from reslab.data.normalize import Mean, spread
from reslab.targets import Targets

Augmentation = Callable[[Tensor, Draws], Tensor]
Mixing = Callable[[Tensor, Tensor, Draws], tuple[Tensor, Targets]]
Batch = tuple[Tensor, Targets]  # images (B, C, H, W), or (B, V, C, H, W) where a mixing makes V views of each
EVALUATION_BATCH = 500


@dataclass(frozen=True)
class Resident:
    """A split on the device: images uint8 (N, C, H, W), labels int64 (N,)."""

    images: Tensor
    labels: Tensor

    @classmethod
    def of(cls, split: Split, device: torch.device) -> "Resident":
        """Copy a split to the device once."""
        return cls(torch.from_numpy(split.images).to(device), torch.from_numpy(split.labels).to(device))

    def __len__(self) -> int:
        return len(self.labels)


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


@dataclass(frozen=True)
class Finish:
    """What follows normalisation, as (stream, function): augmentations of floats, and a mixing of the batch."""

    augmentations: list[tuple[str, Augmentation]] = field(default_factory=list)
    mixing: tuple[str, Mixing] | None = None

    def __call__(self, images: Tensor, labels: Tensor, draws: Callable[[str], Draws]) -> Batch:
        """Apply all of it to a normalised batch; `draws` gives the random numbers of a stream."""
        for stream, augment in self.augmentations:
            images = augment(images, draws(stream)).contiguous(memory_format=torch.channels_last)
        if self.mixing is None:
            return images, labels
        stream, mix = self.mixing
        return mix(images, labels, draws(stream))


PLAIN = Finish()


def training_epoch(  # noqa: PLR0913  an epoch is made of all these
    data: Resident,
    epoch: int,
    *,
    augmentations: list[tuple[str, Augmentation]],
    normalize: Normalize,
    batch_size: int,
    drop_last: bool,
    seed: int,
    finish: Finish = PLAIN,
    replacement: bool = False,
) -> Iterator[Batch]:
    """Yield the batches of one epoch, the smaller last one included unless `drop_last`.

    `augmentations` are (stream, function) pairs on pixels; order and draws depend on (seed, epoch, sample) only. With `replacement`
    an epoch is as many independent draws as there are images, and what depends on the sample depends on the draw's place.
    """
    order = (with_replacement if replacement else shuffled)(len(data), seed=seed, epoch=epoch).to(data.labels.device)
    places = torch.arange(len(data), device=order.device) if replacement else order
    for index, place in zip(order.split(batch_size), places.split(batch_size), strict=True):
        if drop_last and len(index) < batch_size:
            return
        images = data.images[index]
        for stream, augment in augmentations:
            images = augment(images, Draws(seed, epoch, stream, place))
        yield finish(normalize(images), data.labels[index], partial(_draws, seed, epoch, place))


def _draws(seed: int, epoch: int, place: Tensor, stream: str) -> Draws:
    return Draws(seed, epoch, stream, place)


def evaluation_batches(data: Resident, *, normalize: Normalize, batch_size: int = EVALUATION_BATCH) -> Iterator[Batch]:
    """Yield the images in order, normalised, not augmented."""
    for images, labels in zip(data.images.split(batch_size), data.labels.split(batch_size), strict=True):
        yield normalize(images), labels


def named_streams(augmentations: list[tuple[str, Callable]]) -> list[tuple[str, Augmentation]]:
    """Give each augmentation of the list its own stream of draws: its name, numbered when it comes twice."""
    seen: dict[str, int] = {}
    streams = []
    for name, augment in augmentations:
        seen[name] = seen.get(name, 0) + 1
        streams.append((name if seen[name] == 1 else f"{name}#{seen[name]}", augment))
    return streams
