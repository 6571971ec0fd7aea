"""Seeded epochs over images that stay on the device: shuffle, gather, augment, normalise, batch by batch."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from reslab.data.draws import Draws, shuffled
from reslab.data.images import Split

Augmentation = Callable[[Tensor, Draws], Tensor]
Batch = tuple[Tensor, Tensor]


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
    """uint8 (B, C, H, W) -> (x / 255 - mean) / std per channel, channels_last, in `dtype`."""

    def __init__(self, mean: list[float], std: list[float], *, device: torch.device, dtype: torch.dtype) -> None:
        self.dtype = dtype
        std_pixels = torch.tensor(std, dtype=torch.float64) * 255
        offset = -torch.tensor(mean, dtype=torch.float64) * 255 / std_pixels
        self.scale = (1 / std_pixels).to(device, dtype)[:, None, None]
        self.offset = offset.to(device, dtype)[:, None, None]

    def __call__(self, images: Tensor) -> Tensor:
        return images.to(self.dtype, memory_format=torch.channels_last) * self.scale + self.offset


def training_epoch(
    data: Resident,
    epoch: int,
    *,
    augmentations: list[tuple[str, Augmentation]],
    normalize: Normalize,
    batch_size: int,
    drop_last: bool,
    seed: int,
) -> Iterator[Batch]:
    """Yield the batches of one epoch, the smaller last one included unless `drop_last`.

    `augmentations` are (stream, function) pairs; order and draws depend on (seed, epoch, sample) only.
    """
    order = shuffled(len(data), seed=seed, epoch=epoch).to(data.labels.device)
    for index in order.split(batch_size):
        if drop_last and len(index) < batch_size:
            return
        images = data.images[index]
        for stream, augment in augmentations:
            images = augment(images, Draws(seed, epoch, stream, index))
        yield normalize(images), data.labels[index]


def evaluation_batches(data: Resident, *, normalize: Normalize, batch_size: int = 500) -> Iterator[Batch]:
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
