"""Random numbers as a pure function of (seed, epoch, sample, stream): no state to save, the same on every device and batch.

The hash is splitmix64's finaliser: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014.
"""

import zlib
from dataclasses import dataclass

import torch
from torch import Tensor

GOLDEN = 0x9E3779B97F4A7C15
FIRST, SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
MASK = (1 << 64) - 1


def mix(value: int) -> int:
    """Hash an integer to 64 bits."""
    value &= MASK
    value = ((value ^ (value >> 30)) * FIRST) & MASK
    value = ((value ^ (value >> 27)) * SECOND) & MASK
    return value ^ (value >> 31)


def key_of(*parts: int | str) -> int:
    """Hash a sequence of integers and names into one 64-bit key."""
    key = 0
    for part in parts:
        number = zlib.crc32(part.encode()) if isinstance(part, str) else part
        key = mix(key ^ mix(number + GOLDEN))
    return key


def _signed(value: int) -> int:
    """The int64 with the same bits: torch's integers are signed and wrap around."""
    return value - (1 << 64) if value >= 1 << 63 else value


def _shift_right(x: Tensor, bits: int) -> Tensor:
    """Logical shift: torch's >> copies the sign bit."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _mix(x: Tensor) -> Tensor:
    """`mix` on an int64 tensor, bit for bit."""
    x = (x ^ _shift_right(x, 30)) * _signed(FIRST)
    x = (x ^ _shift_right(x, 27)) * _signed(SECOND)
    return x ^ _shift_right(x, 31)


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
        bits = _mix(self.index * _signed(GOLDEN) + _signed(key))
        return _shift_right(bits, 11).double() * 2.0**-53

    def integers(self, name: str, high: int) -> Tensor:
        """One int64 in 0..high-1 per sample, (B,)."""
        return (self.uniform(name) * high).long()


def shuffled(count: int, *, seed: int, epoch: int) -> Tensor:
    """A permutation of 0..count-1 for one epoch, int64 (count,), drawn on the CPU."""
    generator = torch.Generator().manual_seed(key_of(seed, epoch, "shuffle") >> 1)
    return torch.randperm(count, generator=generator)
