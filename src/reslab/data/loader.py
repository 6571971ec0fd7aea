"""Seeded epochs over images that stay on the device: shuffle, gather, augment, normalise, mix, batch by batch."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from reslab.data.beta import quantiles
from reslab.data.draws import Draws, shuffled, with_replacement
from reslab.data.images import Split
from reslab.data.normalize import Mean, spread
from reslab.hashing import number_of
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


def sizes(count: int, batch_size: int) -> list[int]:
    """How many images each batch of `count` has; the last may be smaller."""
    whole, rest = divmod(count, batch_size)
    return [batch_size] * whole + [rest] * bool(rest)


class Feed:
    """The batches of a run's training epochs, made on the device that holds the data.

    `augmentations` are (stream, function) pairs on pixels; order and draws depend on (seed, epoch, sample) only. With `replacement`
    an epoch is as many independent draws as there are images, and what depends on the sample depends on the draw's place. What
    changes between batches (epoch, order, cursor) is written in place: a CUDA graph that has recorded `batch` makes the next one
    each time it is replayed.
    """

    def __init__(
        self,
        data: Resident,
        *,
        augmentations: list[tuple[str, Augmentation]],
        normalize: Normalize,
        batch_size: int,
        drop_last: bool,
        seed: int,
        finish: Finish = PLAIN,
        replacement: bool = False,
    ) -> None:
        self.data, self.order_seed, self.replacement = data, seed, replacement
        self.augmentations, self.normalize, self.finish = augmentations, normalize, finish
        self.compiled: Callable[[Tensor, Tensor], Batch] | None = None  # a faster form of `make`
        self.sizes = sizes(len(data), batch_size)[: len(data) // batch_size if drop_last else None]
        device = data.labels.device
        self.order = torch.zeros(len(data), dtype=torch.int64, device=device)
        self.offsets = torch.arange(batch_size, device=device)
        self.cursor = torch.zeros((), dtype=torch.int64, device=device)
        self.seed: int | Tensor = seed
        self.epoch: int | Tensor = 0
        if device.type != "cpu":
            self.draw_on_device()

    def draw_on_device(self) -> None:
        """Keep seed and epoch as tensors: a recording reads them, one compiled program is for all seeds. It costs a CPU more."""
        self.seed = torch.full_like(self.cursor, self.order_seed)
        self.epoch = torch.zeros_like(self.cursor)

    def compile(self) -> None:
        """Make batches by compiled code from now on; a compiler knows nothing of what the host computes once."""
        for computed_once in (number_of, quantiles):
            torch.compiler.assume_constant_result(computed_once)
        self.compiled = torch.compile(self.make, dynamic=False)

    def begin(self, epoch: int, first: int = 0) -> list[int]:
        """Start an epoch at its 0-based batch `first`; return how many images each batch from there on has.

        The smaller last batch is one of them unless it is to be dropped.
        """
        draw = with_replacement if self.replacement else shuffled
        self.order.copy_(draw(len(self.data), seed=self.order_seed, epoch=epoch))
        self.epoch = self.epoch.fill_(epoch) if isinstance(self.epoch, Tensor) else epoch
        self.cursor.fill_(sum(self.sizes[:first]))
        return self.sizes[first:]

    def batch(self, size: int) -> Batch:
        """The next batch, of `size` images, which `begin` has announced."""
        places = self.cursor + self.offsets[:size]
        self.cursor += size
        index = self.order[places]
        return (self.compiled or self.make)(index, places if self.replacement else index)

    def make(self, index: Tensor, places: Tensor) -> Batch:
        """The batch of these images, augmented by the draws of these places."""
        images = self.data.images[index]
        for stream, augment in self.augmentations:
            images = augment(images, self._draws(places, stream))
        return self.finish(self.normalize(images), self.data.labels[index], partial(self._draws, places))

    def _draws(self, places: Tensor, stream: str) -> Draws:
        return Draws(self.seed, self.epoch, stream, places)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """One epoch, batch by batch."""
        for size in self.begin(epoch):
            yield self.batch(size)


class HeldOut:
    """A split that is only scored: in order, normalised, not augmented; in the form of a Feed."""

    def __init__(self, data: Resident, normalize: Normalize, *, batch_size: int = 500) -> None:
        self.data, self.normalize = data, normalize
        self.sizes = sizes(len(data), batch_size)
        self.offsets = torch.arange(batch_size, device=data.labels.device)
        self.cursor = torch.zeros((), dtype=torch.int64, device=data.labels.device)

    def begin(self, epoch: int = 1, first: int = 0) -> list[int]:
        """Start again at batch `first`; return the sizes of the batches."""
        self.cursor.fill_(sum(self.sizes[:first]))
        return self.sizes[first:]

    def batch(self, size: int) -> Batch:
        """The next batch."""
        index = self.cursor + self.offsets[:size]
        self.cursor += size
        return self.normalize(self.data.images[index]), self.data.labels[index]

    def batches(self) -> Iterator[Batch]:
        """All of it."""
        for size in self.begin():
            yield self.batch(size)


def named_streams(augmentations: list[tuple[str, Callable]]) -> list[tuple[str, Augmentation]]:
    """Give each augmentation of the list its own stream of draws: its name, numbered when it comes twice."""
    seen: dict[str, int] = {}
    streams = []
    for name, augment in augmentations:
        seen[name] = seen.get(name, 0) + 1
        streams.append((name if seen[name] == 1 else f"{name}#{seen[name]}", augment))
    return streams
