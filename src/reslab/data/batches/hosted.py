"""A split that fits in the host's memory but not in the device's share: gathered on the CPU, copied without waiting."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from reslab.data.batches.order import Order
from reslab.data.batches.raw import FromHost, RawBatch, moved
from reslab.data.prepared.splits import Arrays

BUFFERS = 4  # pinned batches on their way to the device


class Hosted(FromHost):
    """Batches of images uint8 (N, C, H, W) and labels int64 (N,) in host memory: the split's own arrays, not copied."""

    def __init__(self, split: Arrays, order: Order, device: torch.device) -> None:
        super().__init__(order, device)
        self.images, self.labels = torch.from_numpy(split.images), torch.from_numpy(split.labels)
        self.ring = Ring((order.batch_size, *self.images.shape[1:]), device) if device.type == "cuda" else None

    def fetch(self, epoch: int, first: int) -> Iterator[RawBatch]:
        """The batches of an epoch on the device, bit for bit those of a split that is resident there."""
        for samples, places in self.order.batches(epoch, first):
            yield self._gather(samples), moved(self.labels[samples], self.device), moved(places, self.device)

    def _gather(self, samples: Tensor) -> Tensor:
        if self.ring is None:
            return torch.index_select(self.images, 0, samples)
        return self.ring.moved(lambda out: torch.index_select(self.images, 0, samples, out=out), len(samples))


class Ring:
    """A few pinned buffers, filled in turn, each again when its copy to the device is done: an epoch ahead would pin all images."""

    def __init__(self, shape: tuple[int, ...], device: torch.device) -> None:
        self.device, self.turn = device, 0
        self.buffers = [torch.empty(shape, dtype=torch.uint8, pin_memory=True) for _ in range(BUFFERS)]
        self.copied = [torch.cuda.Event() for _ in range(BUFFERS)]

    def moved(self, fill: Callable[[Tensor], object], size: int) -> Tensor:
        """Fill the first `size` rows of the next buffer and start copying them; the host waits if all copies are behind."""
        turn, self.turn = self.turn, (self.turn + 1) % BUFFERS
        self.copied[turn].synchronize()
        rows = self.buffers[turn][:size]
        fill(rows)
        on_device = moved(rows, self.device)
        self.copied[turn].record()
        return on_device
