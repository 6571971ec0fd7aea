"""Random numbers as a pure function of (seed, epoch, sample, stream): no state to save, the same on every device and batch."""

from dataclasses import dataclass

import torch
from torch import Tensor

from reslab.hashing import key_of, uniform


@dataclass(frozen=True)
class Draws:
    """The random numbers of one augmentation for one batch.

    `index` int64 (B,) holds the samples' numbers in the dataset, so a sample's draw does not depend on its batch.
    """

    seed: int
    epoch: int
    stream: str
    index: Tensor

    def uniform(self, name: str) -> Tensor:
        """One float64 in [0, 1) per sample, (B,); another `name` gives independent numbers."""
        key = key_of(self.seed, self.epoch, self.stream, name)
        return uniform(self.index, key)

    def integers(self, name: str, high: int) -> Tensor:
        """One int64 in 0..high-1 per sample, (B,)."""
        return (self.uniform(name) * high).long()


def shuffled(count: int, *, seed: int, epoch: int) -> Tensor:
    """A permutation of 0..count-1 for one epoch, int64 (count,), drawn on the CPU."""
    generator = torch.Generator().manual_seed(key_of(seed, epoch, "shuffle") >> 1)
    return torch.randperm(count, generator=generator)
