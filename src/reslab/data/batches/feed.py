"""Epochs of batches: taken raw from wherever the images are, then augmented, normalised and mixed on the device.

What changes between batches (epoch, order, place, images that come from the host) is written in place, so that a CUDA graph that
has recorded `batch` makes the next one each time it is replayed.
"""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from reslab.data.augment.beta import quantiles
from reslab.data.augment.draws import Draws
from reslab.data.augment.recipe import PLAIN, Augmentation, Finish
from reslab.data.batches.order import Order
from reslab.data.batches.resident import Resident
from reslab.data.batches.source import RawBatch, Source
from reslab.data.normalize import Normalize
from reslab.rng import number_of
from reslab.targets import Batch


class Gathered:
    """Raw batches of a split on the device, in an order that `samples(epoch)` gives; the places are the samples, or counted."""

    def __init__(self, data: Resident, samples: Callable[[int], Tensor], *, batch_size: int, count_places: bool = False) -> None:
        self.data, self.samples, self.batch_size, self.count_places = data, samples, batch_size, count_places
        device = data.labels.device
        self.order = torch.zeros(len(data), dtype=torch.int64, device=device)
        self.offsets = torch.arange(batch_size, device=device)
        self.cursor = torch.zeros((), dtype=torch.int64, device=device)

    def begin(self, epoch: int, first: int) -> None:
        """Start an epoch at its 0-based batch `first`."""
        self.order.copy_(self.samples(epoch))
        self.cursor.fill_(first * self.batch_size)

    def rewind(self) -> None:
        """Back to the first batch."""
        self.cursor.zero_()

    def load(self, size: int) -> None:
        """Nothing: all of it is on the device."""

    def take(self, size: int) -> RawBatch:
        """The next batch."""
        counted = self.cursor + self.offsets[:size]
        self.cursor += size
        samples = self.order[counted]
        return self.data.images[samples], self.data.labels[samples], counted if self.count_places else samples


class Loaded:
    """Raw batches that come from the host, which `batches(epoch, first)` yields; each is loaded, then taken."""

    def __init__(self, batches: Callable[[int, int], Iterator[tuple[Tensor, ...]]]) -> None:
        self.batches = batches
        self.buffers: tuple[Tensor, ...] = ()  # on a GPU: where a recording finds the batch

    def begin(self, epoch: int, first: int) -> None:
        """Start an epoch at its 0-based batch `first`."""
        self.coming = self.batches(epoch, first)

    def rewind(self) -> None:
        """The batch that was loaded last is taken again."""

    def load(self, size: int) -> None:
        """Fetch the next batch; the first one of a recording must be as large as any."""
        batch = next(self.coming)
        if not batch[0].is_cuda:
            self.buffers = batch
            return
        if not self.buffers or len(batch[0]) > len(self.buffers[0]):
            self.buffers = tuple(torch.empty_like(part) for part in batch)
        for buffer, part in zip(self.buffers, batch, strict=True):
            buffer[:size].copy_(part)

    def take(self, size: int) -> tuple[Tensor, ...]:
        """The batch that was loaded."""
        return tuple(buffer[:size] for buffer in self.buffers)


class Feed:
    """The batches of a run's training epochs.

    `augmentations` are (stream, function) pairs on pixels; order and draws depend on (seed, epoch, sample) only. With `replacement`
    an epoch is as many independent draws as there are images, and what depends on the sample depends on the draw's place.
    """

    def __init__(
        self,
        data: Source,
        *,
        augmentations: list[tuple[str, Augmentation]],
        normalize: Normalize,
        batch_size: int,
        drop_last: bool,
        seed: int,
        finish: Finish = PLAIN,
        replacement: bool = False,
    ) -> None:
        order = Order(len(data), batch_size, seed, drop_last=drop_last, replacement=replacement)
        self.sizes, self.host_seed = order.sizes, seed
        self.augmentations, self.normalize, self.finish = augmentations, normalize, finish
        self.compiled: Callable[..., Batch] | None = None  # a faster form of `make`
        if isinstance(data, Resident):
            self.raw = Gathered(data, order.samples, batch_size=batch_size, count_places=replacement)
        else:
            self.raw = Loaded(lambda epoch, first: data.raw_batches(order, epoch, first_batch=first))
        self.seed: int | Tensor = seed
        self.epoch: int | Tensor = 0
        if normalize.scale.is_cuda:
            self.draw_on_device()

    def draw_on_device(self) -> None:
        """Keep seed and epoch as tensors: a recording reads them, one compiled program is for all seeds. It costs a CPU more."""
        self.seed = torch.tensor(self.host_seed, device=self.normalize.scale.device)
        self.epoch = torch.zeros_like(self.seed)

    def compile(self) -> None:
        """Make batches by compiled code from now on; a compiler knows nothing of what the host computes once."""
        for computed_once in (number_of, quantiles):
            torch.compiler.assume_constant_result(computed_once)
        self.compiled = torch.compile(self.make, dynamic=False)

    def begin(self, epoch: int, first: int = 0) -> list[int]:
        """Start an epoch at its 0-based batch `first`; return how many images each batch from there on has.

        The smaller last batch is one of them unless it is to be dropped.
        """
        self.epoch = self.epoch.fill_(epoch) if isinstance(self.epoch, Tensor) else epoch
        self.raw.begin(epoch, first)
        return self.sizes[first:]

    def rewind(self) -> None:
        """Make the same batch again: for trying out."""
        self.raw.rewind()

    def load(self, size: int) -> None:
        """The host's part of the next batch."""
        self.raw.load(size)

    def batch(self, size: int) -> Batch:
        """The device's part of it: the next batch, of `size` images, which `begin` has announced."""
        return (self.compiled or self.make)(*self.raw.take(size))

    def make(self, images: Tensor, labels: Tensor, places: Tensor) -> Batch:
        """A raw batch, augmented by the draws of its places, normalised and mixed."""
        for stream, augment in self.augmentations:
            images = augment(images, self._draws(places, stream))
        return self.finish(self.normalize(images), labels, partial(self._draws, places))

    def _draws(self, places: Tensor, stream: str) -> Draws:
        return Draws(self.seed, self.epoch, stream, places)

    def batches(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """One epoch, batch by batch."""
        for size in self.begin(epoch, first):
            self.load(size)
            yield self.batch(size)
