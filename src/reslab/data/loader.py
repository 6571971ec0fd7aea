"""What is done to a batch on the device, and images that stay there."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from reslab.data.draws import Draws
from reslab.data.images import Split
from reslab.data.normalize import Mean, spread
from reslab.data.order import Order
from reslab.data.source import RawBatch
from reslab.targets import Targets

Augmentation = Callable[[Tensor, Draws], Tensor]
Mixing = Callable[[Tensor, Tensor, Draws], tuple[Tensor, Targets]]
Batch = tuple[Tensor, Targets]  # images (B, C, H, W), or (B, V, C, H, W) where a mixing makes V views of each


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

    def raw_batches(self, order: Order, epoch: int, *, first_batch: int = 0) -> Iterator[RawBatch]:
        """The batches of an epoch, gathered on the device."""
        for samples, places in order.batches(epoch, first_batch=first_batch, device=self.labels.device):
            yield self.images[samples], self.labels[samples], places

    def in_order(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All images and labels in their own order."""
        return zip(self.images.split(batch_size), self.labels.split(batch_size), strict=True)


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


def named_streams(augmentations: list[tuple[str, Callable]]) -> list[tuple[str, Augmentation]]:
    """Give each augmentation of the list its own stream of draws: its name, numbered when it comes twice."""
    seen: dict[str, int] = {}
    streams = []
    for name, augment in augmentations:
        seen[name] = seen.get(name, 0) + 1
        streams.append((name if seen[name] == 1 else f"{name}#{seen[name]}", augment))
    return streams
