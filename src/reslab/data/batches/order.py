"""Which samples make the batches of an epoch: a function of (seed, epoch) alone, wherever the images are."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from reslab.rng import key_of
from reslab.runs.ranks import ALONE, Ranks


@dataclass(frozen=True)
class Order:
    """Batches of `batch_size` out of `count` samples, the smaller last one included unless `drop_last`.

    Shuffled anew in each epoch, or without `shuffle` in the samples' own order. With `replacement` an epoch is as many independent
    draws as there are samples, and what depends on the sample depends on the draw's place in the epoch. Of `ranks`, each process
    takes its part of every batch, in whole `unit`s.
    """

    count: int
    batch_size: int
    seed: int = 0
    drop_last: bool = False
    replacement: bool = False
    shuffle: bool = True
    ranks: Ranks = ALONE
    unit: int = 1

    @property
    def batch_sizes(self) -> list[int]:
        """The number of samples in each batch of an epoch."""
        whole, rest = divmod(self.count, self.batch_size)
        return [self.batch_size] * whole + ([rest] if rest and not self.drop_last else [])

    def part(self, size: int) -> slice:
        """The images of a batch of `size` that this process takes."""
        return self.ranks.part(size, self.unit)

    def samples(self, epoch: int) -> Tensor:
        """The epoch's samples in order, int64 (count,), on the CPU."""
        if not self.shuffle:
            return torch.arange(self.count)
        return (with_replacement if self.replacement else shuffled)(self.count, seed=self.seed, epoch=epoch)

    def places(self, samples: Tensor, counted: Tensor) -> Tensor:
        """The numbers that random draws depend on: the samples, or with replacement their places in the epoch, `counted` from 0."""
        return counted if self.replacement else samples

    def batches(self, epoch: int, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Samples and places of (its part of) each batch from the 0-based batch `first` on, int64 (B,) each, on the CPU."""
        samples, start = self.samples(epoch), first * self.batch_size
        for size in self.batch_sizes[first:]:
            part = self.part(size)
            counted = torch.arange(start + part.start, start + part.stop)
            yield samples[counted], self.places(samples[counted], counted)
            start += size


def shuffled(count: int, *, seed: int, epoch: int) -> Tensor:
    """A permutation of 0..count-1 for one epoch, int64 (count,), drawn on the CPU."""
    generator = torch.Generator().manual_seed(key_of(seed, epoch, "shuffle") >> 1)
    return torch.randperm(count, generator=generator)


def with_replacement(count: int, *, seed: int, epoch: int) -> Tensor:
    """`count` independent numbers in 0..count-1 for one epoch, int64 (count,), drawn on the CPU."""
    generator = torch.Generator().manual_seed(key_of(seed, epoch, "replacement") >> 1)
    return torch.randint(count, (count,), generator=generator)
