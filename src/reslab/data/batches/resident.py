"""What is done to a batch on the device, and images that stay there."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from reslab.data.batches.order import Order
from reslab.data.batches.source import RawBatch
from reslab.data.prepared.arrays import Split


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
