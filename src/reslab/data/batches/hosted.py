"""A split that fits in the host's memory but not in the device's share: gathered on the CPU, copied without waiting."""

from collections.abc import Iterator

import torch
from torch import Tensor

from reslab.data.batches.order import Order
from reslab.data.batches.raw import FromHost, RawBatch, moved
from reslab.data.prepared.splits import Arrays


class Hosted(FromHost):
    """Batches of images uint8 (N, C, H, W) and labels int64 (N,) in host memory: the split's own arrays, not copied."""

    def __init__(self, split: Arrays, order: Order, device: torch.device) -> None:
        super().__init__(order, device)
        self.images, self.labels = torch.from_numpy(split.images), torch.from_numpy(split.labels)

    def fetch(self, epoch: int, first: int) -> Iterator[RawBatch]:
        """The batches of an epoch on the device, bit for bit those of a split that is resident there."""
        for samples, places in self.order.batches(epoch, first):
            yield self._gather(samples), moved(self.labels[samples], self.device), moved(places, self.device)

    def _gather(self, samples: Tensor) -> Tensor:
        shape = (len(samples), *self.images.shape[1:])
        pinned = torch.empty(shape, dtype=torch.uint8, pin_memory=self.device.type == "cuda")
        return moved(torch.index_select(self.images, 0, samples, out=pinned), self.device)
