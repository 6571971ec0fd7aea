"""A split that fits in the host's memory but not in the device's share: gathered on the CPU, copied without waiting."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from reslab.data.batches.order import Order
from reslab.data.batches.source import RawBatch, moved
from reslab.data.prepared.arrays import Split


@dataclass(frozen=True)
class Hosted:
    """A split in host memory, for `device`: images uint8 (N, C, H, W), labels int64 (N,)."""

    images: Tensor
    labels: Tensor
    device: torch.device

    @classmethod
    def of(cls, split: Split, device: torch.device) -> "Hosted":
        """The split's own arrays, not copied."""
        return cls(torch.from_numpy(split.images), torch.from_numpy(split.labels), device)

    def __len__(self) -> int:
        return len(self.labels)

    def raw_batches(self, order: Order, epoch: int, *, first_batch: int = 0) -> Iterator[RawBatch]:
        """The batches of an epoch on the device, bit for bit those of a split that is resident there."""
        for samples, places in order.batches(epoch, first_batch=first_batch):
            yield self._gather(samples), moved(self.labels[samples], self.device), moved(places, self.device)

    def in_order(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All images and labels in their own order, on the device."""
        for samples in torch.arange(len(self)).split(batch_size):
            yield self._gather(samples), moved(self.labels[samples], self.device)

    def _gather(self, samples: Tensor) -> Tensor:
        shape = (len(samples), *self.images.shape[1:])
        pinned = torch.empty(shape, dtype=torch.uint8, pin_memory=self.device.type == "cuda")
        return moved(torch.index_select(self.images, 0, samples, out=pinned), self.device)
