"""What training and evaluation ask of a split, wherever its images are."""

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor

from reslab.data.batches.order import Order

RawBatch = tuple[Tensor, Tensor, Tensor]  # images uint8 (B, C, H, W), labels int64 (B,), places int64 (B,), all on the device


class Source(Protocol):
    """A split on the device, in host memory, or in files: the same batches from each."""

    def __len__(self) -> int: ...

    def raw_batches(self, order: Order, epoch: int, *, first_batch: int = 0) -> Iterator[RawBatch]:
        """The batches of an epoch from `first_batch` on, as stored: not augmented, not normalised."""
        ...

    def in_order(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All images and labels in their own order."""
        ...


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on the device, without waiting where it is pinned: torch keeps a pinned block until its copy is done."""
    return tensor.to(device, non_blocking=True)
