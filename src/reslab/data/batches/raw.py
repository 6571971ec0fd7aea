"""Raw batches: images and labels as stored, not augmented and not normalised, on the device, wherever the split is kept.

What changes between batches is written in place, so that a CUDA graph that has recorded `take` takes the next batch each time it
is replayed.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor

from reslab.data.batches.order import Order

RawBatch = tuple[Tensor, Tensor, Tensor]  # images uint8 (B, C, H, W), labels int64 (B,), places int64 (B,), all on the device


class RawBatches(ABC):
    """The batches of a split in an `order`: `begin` an epoch, then `load` and `take` batch after batch.

    The random draws of an augmentation depend on the third part of a batch, the places: the samples' numbers in the split, or their
    places in the epoch where they are drawn with replacement.
    """

    order: Order

    @abstractmethod
    def begin(self, epoch: int, first: int = 0) -> None:
        """Start an epoch at its 0-based batch `first`."""

    @abstractmethod
    def rewind(self) -> None:
        """Go back to a batch that was taken before, the first or the last, for a trial of steps."""

    @abstractmethod
    def load(self, size: int) -> None:
        """The host's part of the next batch, of `size` images."""

    @abstractmethod
    def take(self, size: int) -> RawBatch:
        """The device's part: the next batch."""

    def epoch(self, epoch: int, first: int = 0) -> Iterator[RawBatch]:
        """The batches of an epoch; on a GPU one may overwrite the last."""
        self.begin(epoch, first)
        for size in self.order.batch_sizes[first:]:
            self.load(size)
            yield self.take(size)


class FromHost(RawBatches):
    """Raw batches that come from the host one by one; each is loaded, then taken."""

    def __init__(self, order: Order, device: torch.device) -> None:
        self.order, self.device = order, device
        self.buffers: tuple[Tensor, ...] = ()  # on a GPU: where a recording finds the batch

    @abstractmethod
    def fetch(self, epoch: int, first: int) -> Iterator[RawBatch]:
        """The batches of an epoch from its 0-based batch `first` on."""

    def begin(self, epoch: int, first: int = 0) -> None:
        """Start an epoch at its 0-based batch `first`."""
        self.coming, self.left = self.fetch(epoch, first), len(self.order.batch_sizes) - first

    def epoch(self, epoch: int, first: int = 0) -> Iterator[RawBatch]:
        """The batches of an epoch; stopping in the middle ends the work ahead."""
        try:
            yield from super().epoch(epoch, first)
        finally:
            self.coming.close()

    def rewind(self) -> None:
        """The batch that was loaded last is taken again."""

    def load(self, size: int) -> None:
        """Fetch the next batch; the first one of a recording must be as large as any."""
        batch = next(self.coming)
        self.left -= 1
        if not self.left:
            self.coming.close()  # decoding processes are free, and end in order with this one
        if not batch[0].is_cuda:
            self.buffers = batch
            return
        if not self.buffers or len(batch[0]) > len(self.buffers[0]):
            self.buffers = tuple(torch.empty_like(part) for part in batch)
        for buffer, part in zip(self.buffers, batch, strict=True):
            buffer[: len(part)].copy_(part)

    def take(self, size: int) -> RawBatch:
        """The batch that was loaded."""
        part = self.order.part(size)
        images, labels, places = (buffer[: part.stop - part.start] for buffer in self.buffers)
        return images, labels, places


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on the device, without waiting where it is pinned: torch keeps a pinned block until its copy is done."""
    return tensor.to(device, non_blocking=True)
