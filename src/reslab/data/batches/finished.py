"""Finished batches, as the network takes them: raw ones, on which the device's part of the work is done."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

from reslab.data.batches.raw import RawBatches
from reslab.targets import Batch


class Batches(ABC):
    """The batches of an epoch: `begin`, then `load` and `batch` for each of the sizes that `begin` returns."""

    def __init__(self, raw: RawBatches) -> None:
        self.raw, self.batch_sizes = raw, raw.order.batch_sizes

    def begin(self, epoch: int = 1, first: int = 0) -> list[int]:
        """Start an epoch at its 0-based batch `first`; return the number of images in each batch from there on.

        The smaller last batch is one of them unless it is to be dropped.
        """
        self.raw.begin(epoch, first)
        return self.batch_sizes[first:]

    def rewind(self) -> None:
        """Make the same batch again, for a trial of steps."""
        self.raw.rewind()

    def load(self, size: int) -> None:
        """The host's part of the next batch."""
        self.raw.load(size)

    @abstractmethod
    def batch(self, size: int) -> Batch:
        """The device's part of it: the next batch, of `size` images, which `begin` has announced."""

    def iterate(self, epoch: int = 1, first: int = 0) -> Iterator[Batch]:
        """One epoch, batch by batch."""
        for size in self.begin(epoch, first):
            self.load(size)
            yield self.batch(size)
