"""A split that is on the device whole, and gathered there."""

import torch

from reslab.data.batches.order import Order
from reslab.data.batches.raw import RawBatch, RawBatches
from reslab.data.prepared.splits import Arrays


class Resident(RawBatches):
    """Batches of images uint8 (N, C, H, W) and labels int64 (N,) that are copied to the device once."""

    def __init__(self, split: Arrays, order: Order, device: torch.device) -> None:
        self.order = order
        self.images, self.labels = (torch.from_numpy(part).to(device) for part in (split.images, split.labels))
        self.samples = torch.zeros(len(split), dtype=torch.int64, device=device)  # of the epoch, in its order
        self.offsets = torch.arange(order.batch_size, device=device)
        self.cursor = torch.zeros((), dtype=torch.int64, device=device)

    def begin(self, epoch: int, first: int = 0) -> None:
        """Start an epoch at its 0-based batch `first`."""
        self.samples.copy_(self.order.samples(epoch))
        self.cursor.fill_(first * self.order.batch_size)

    def rewind(self) -> None:
        """Back to the epoch's first batch."""
        self.cursor.zero_()

    def load(self, size: int) -> None:
        """Nothing: all of it is on the device."""

    def take(self, size: int) -> RawBatch:
        """The next batch."""
        counted = self.cursor + self.offsets[self.order.part(size)]
        self.cursor += size
        samples = self.samples[counted]
        return self.images[samples], self.labels[samples], self.order.places(samples, counted)
