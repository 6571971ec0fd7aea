"""A hash of integers, the same on the host and on any device; all random numbers of a run are made of it.

It is splitmix64's finaliser: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014.
"""

import zlib

import torch
from torch import Tensor, nn

GOLDEN = 0x9E3779B97F4A7C15
FIRST, SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
MASK = (1 << 64) - 1
BITS = 53  # of a uniform number


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
        key = mix(key ^ mix(number_of(part) + GOLDEN))
    return key


def number_of(part: int | str) -> int:
    """A part of a key as a number."""
    return zlib.crc32(part.encode()) if isinstance(part, str) else part


def signed(value: int) -> int:
    """The int64 with the same bits: torch's integers are signed and wrap around."""
    return value - (1 << 64) if value >= 1 << 63 else value


def _shift_right(x: Tensor, bits: int) -> Tensor:
    """Logical shift: torch's >> copies the sign bit."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def mixed(x: Tensor) -> Tensor:
    """`mix` on an int64 tensor, bit for bit."""
    x = (x ^ _shift_right(x, 30)) * signed(FIRST)
    x = (x ^ _shift_right(x, 27)) * signed(SECOND)
    return x ^ _shift_right(x, 31)


def random_bits(index: Tensor, key: Tensor | int) -> Tensor:
    """One hash of (key, index) per element of the int64 tensor `index`, uniform in 0..2**53-1, int64; a key is 64 bits, signed."""
    return _shift_right(mixed(index * signed(GOLDEN) + key), 64 - BITS)


def uniform(index: Tensor, key: Tensor | int) -> Tensor:
    """One float64 in [0, 1) per element of the int64 tensor `index`."""
    return random_bits(index, key).double() * 2.0**-BITS


class NetworkDraws(nn.Module):
    """A random layer's numbers: a hash of its key, of the training step and of the position; key and step are stored as buffers.

    The key comes from the seed that the network was built with. A forward pass changes nothing, so that it can be computed again
    for the backward pass (compiled, or to save memory) and gives the same numbers; `advance` is what changes them. Where several
    processes share a batch, `before` is the number of its images that are another's and come first: their numbers are left out.
    """

    before = 0

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("key", torch.zeros((), dtype=torch.int64))
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def initialize(self) -> None:
        """Draw the key; called after all weights are drawn, so that a random layer does not move them."""
        self.key.copy_(torch.randint(2**62, ()))

    def _place(self, count: int, stream: int, images: int) -> tuple[Tensor, Tensor]:
        key = mixed(mixed(self.key + self.step * signed(GOLDEN)) + stream)
        skipped = self.before * (count // images) if images else 0
        return torch.arange(skipped, skipped + count, device=self.key.device), key

    def bits(self, count: int, stream: int = 0, *, images: int = 0) -> Tensor:
        """Whole numbers in 0..2**53-1, int64 (count,); each `stream` is independent of the others.

        `images`: the number that they are drawn for, image by image; 0 where all of the batch gets the same ones.
        """
        return random_bits(*self._place(count, stream, images))

    def uniform(self, count: int, stream: int = 0, *, images: int = 0) -> Tensor:
        """Numbers in [0, 1), float64 (count,), for `images` as in `bits`."""
        return uniform(*self._place(count, stream, images))


def advance(model: nn.Module, times: int = 1) -> None:
    """Give every random layer of a network new numbers; call it before each training forward."""
    for module in model.modules():
        if isinstance(module, NetworkDraws):
            module.step.add_(times)
