"""Random numbers as a pure function of (seed, epoch, sample, stream): no state to save, the same on every device and batch."""

import ctypes
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from reslab.data.augment.draw_kernel import best_uniform
from reslab.rng import GOLDEN, key_of, mixed, random_bits, signed, uniform

Level = Literal["image", "batch"]  # whose the numbers are: each image's own, or one for the whole batch
MOST_KEYS = 64  # of a recipe: a key for each number that it draws


def normal(numbers: Tensor) -> Tensor:
    """Standard normal numbers, float64, from uniform ones in [0, 1)."""
    return torch.special.ndtri(numbers.double().clamp(min=2.0**-54))  # 0 would be minus infinity


@cache
def load_compiler() -> None:
    """Load what torch compiles `ndtri` with when a GPU first uses it: the torch 2.11 of pip does not find it by itself."""
    for path in Path(torch.__file__).parents[1].glob("nvidia/*/lib/libnvrtc-builtins.so.*"):
        with suppress(OSError):
            ctypes.CDLL(str(path), ctypes.RTLD_GLOBAL)


class Keys:
    """The keys of a run's draws in one epoch, in a tensor on the device: made on the host, once an epoch.

    A recorded CUDA graph or a compiled program reads them anew in each epoch. To make a key there costs more kernels than the draw.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        if device.type == "cuda":
            load_compiler()
        self.seed, self.epoch = seed, 0
        self.places: dict[tuple[str, str], int] = {}  # (stream, name) -> place in the table
        self.table = torch.zeros(MOST_KEYS, dtype=torch.int64, device=device)
        self.uniform = best_uniform(device)

    def begin(self, epoch: int) -> None:
        """Make the keys of another epoch, in place."""
        self.epoch = epoch
        for names in self.places:
            self._make(names)

    def of(self, stream: str, name: str) -> Tensor:
        """The key of a stream's draw, int64 (); one that is asked for the first time must be asked for outside a recording."""
        names = (stream, name)
        if names not in self.places:
            self.places[names] = len(self.places)
            self._make(names)
        return self.table[self.places[names]]

    def _make(self, names: tuple[str, str]) -> None:
        self.table[self.places[names]].fill_(signed(key_of(self.seed, self.epoch, *names)))


@dataclass(frozen=True)
class Draws:
    """The random numbers of one augmentation for one batch.

    `index` int64 (B,) holds the samples' numbers in the dataset, so a sample's draw does not depend on its batch. (Where images
    are drawn with replacement it holds the draw's place in the epoch: the same image twice is augmented twice.) `keys` are those
    of the same seed and epoch, kept on the device: the numbers are the same.
    """

    seed: int
    epoch: int
    stream: str
    index: Tensor
    keys: Keys | None = None

    def uniform(self, name: str) -> Tensor:
        """One float64 in [0, 1) per sample, (B,); another `name` gives independent numbers."""
        return (self.keys.uniform if self.keys else uniform)(self.index, self._key(name))

    def uniforms(self, name: str, count: int) -> Tensor:
        """`count` independent float64 in [0, 1) per sample, (B, count)."""
        keys = mixed(torch.arange(1, count + 1, device=self.index.device) * signed(GOLDEN) + self._key(name))
        return uniform(self.index[:, None], keys)

    def integers(self, name: str, high: int) -> Tensor:
        """One int64 in 0..high-1 per sample, (B,)."""
        return (self.uniform(name) * high).long()

    def seeds(self, name: str) -> Tensor:
        """One int64 >= 0 per sample to seed a generator with, (B,)."""
        return random_bits(self.index, self._key(name))

    def permutation(self, name: str) -> Tensor:
        """A uniform permutation of the batch, int64 (B,): a function of the samples in it and of their order."""
        return self.uniform(name).argsort()

    def at(self, level: Level) -> "Draws":
        """These draws, or at level `batch` those where every sample gets the same number, a hash of all samples of the batch."""
        if level == "image":
            return self
        together = random_bits(self.index, self._key("batch")).sum()  # whole numbers: the order does not matter
        return replace(self, index=together.expand(len(self.index)))

    def substream(self, name: str) -> "Draws":
        """Draws independent of these, for a part of the augmentation that draws by the same names."""
        return replace(self, stream=f"{self.stream}/{name}")

    def _key(self, name: str) -> int | Tensor:
        if self.keys is not None:
            return self.keys.of(self.stream, name)
        return signed(key_of(self.seed, self.epoch, self.stream, name))
