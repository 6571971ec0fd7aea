"""A split that is on the device whole, and gathered there."""

from dataclasses import dataclass
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from reslab.data.batches.order import Order
from reslab.data.batches.raw import RawBatch, RawBatches
from reslab.data.prepared.splits import Arrays


@dataclass
class OnDevice:
    """The one copy of a split on a device: images uint8 (N, C, H, W), labels int64 (N,)."""

    split: Arrays
    images: Tensor
    labels: Tensor


_IN_USE: WeakValueDictionary[tuple[int, int, str], OnDevice] = WeakValueDictionary()


def in_use(split: Arrays, device: torch.device) -> OnDevice | None:
    """The copy on the device that other batches of the split use; None if there is none."""
    return _IN_USE.get(_key(split, device))


def _key(split: Arrays, device: torch.device) -> tuple[int, int, str]:
    return id(split.images), id(split.labels), str(device)  # a copy keeps its split, so that no other one has its ids


def on_device(split: Arrays, device: torch.device) -> OnDevice:
    """A split's copy on the device, made unless one is in use."""
    found = in_use(split, device)
    if found is None:
        found = OnDevice(split, *(torch.from_numpy(part).to(device) for part in (split.images, split.labels)))
        _IN_USE[_key(split, device)] = found
    if device.type == "cuda":  # it belongs to the stream that made it: its memory must wait for the others', too
        for tensor in (found.images, found.labels):
            tensor.record_stream(torch.cuda.current_stream(device))
    return found


class Resident(RawBatches):
    """Batches of a split that is copied to the device once, whoever else there uses it."""

    def __init__(self, split: Arrays, order: Order, device: torch.device) -> None:
        self.order, self.whole = order, on_device(split, device)
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
        return self.whole.images[samples], self.whole.labels[samples], self.order.places(samples, counted)
