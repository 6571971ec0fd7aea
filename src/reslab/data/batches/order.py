"""Which samples make the batches of an epoch: a function of (seed, epoch) alone, wherever the images are."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from reslab.rng import key_of

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Order:
    """Batches of `batch_size` out of `count` samples, the smaller last one included unless `drop_last`.

    With `replacement` an epoch is as many independent draws as there are samples, and what depends on the sample depends on the
    draw's place in the epoch.
    """

    count: int
    batch_size: int
    seed: int
    drop_last: bool = False
    replacement: bool = False

    @property
    def sizes(self) -> list[int]:
        """How many samples each batch of an epoch has."""
        whole, rest = divmod(self.count, self.batch_size)
        return [self.batch_size] * whole + ([rest] if rest and not self.drop_last else [])

    def samples(self, epoch: int) -> Tensor:
        """The epoch's samples in order, int64 (count,), on the CPU."""
        return (with_replacement if self.replacement else shuffled)(self.count, seed=self.seed, epoch=epoch)

    def batches(self, epoch: int, *, first_batch: int = 0, device: torch.device = CPU) -> Iterator[tuple[Tensor, Tensor]]:
        """Samples and places of each batch from `first_batch` on, int64 (B,) each: which images, and what their draws hang on."""
        samples = self.samples(epoch).to(device)
        places = torch.arange(self.count, device=device) if self.replacement else samples
        end = self.count - self.count % self.batch_size if self.drop_last else self.count
        for start in range(first_batch * self.batch_size, end, self.batch_size):
            batch = slice(start, min(start + self.batch_size, end))
            yield samples[batch], places[batch]


def shuffled(count: int, *, seed: int, epoch: int) -> Tensor:
    """A permutation of 0..count-1 for one epoch, int64 (count,), drawn on the CPU."""
    generator = torch.Generator().manual_seed(key_of(seed, epoch, "shuffle") >> 1)
    return torch.randperm(count, generator=generator)


def with_replacement(count: int, *, seed: int, epoch: int) -> Tensor:
    """`count` independent numbers in 0..count-1 for one epoch, int64 (count,), drawn on the CPU."""
    generator = torch.Generator().manual_seed(key_of(seed, epoch, "replacement") >> 1)
    return torch.randint(count, (count,), generator=generator)
