"""Epochs of training batches: taken raw from wherever the images are, then augmented, normalised and mixed on the device.

What changes between batches (the epoch here; order, place and images in the raw batches) is written in place, so that a CUDA graph
that has recorded `batch` makes the next one each time it is replayed.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from reslab.data.augment.beta import quantiles
from reslab.data.augment.draws import Draws, Keys
from reslab.data.augment.recipe import Recipe
from reslab.data.batches.finished import Batches
from reslab.data.batches.order import Order
from reslab.data.batches.raw import RawBatches
from reslab.data.normalize import Normalize
from reslab.targets import Batch, part_of


class TrainingBatches(Batches):
    """The batches of a run's training epochs: raw ones, augmented, normalised and mixed by a recipe.

    The draws depend on seed, epoch and each image's place only. Where the raw batches are whole because a step needs all images, a
    process among several keeps its part of what comes out, the one of the order `kept`.
    """

    def __init__(self, raw: RawBatches, recipe: Recipe, normalize: Normalize, *, kept: Order | None = None) -> None:
        super().__init__(raw)
        self.recipe, self.normalize, self.kept = recipe, normalize, kept
        self.compiled: Callable[..., Batch] | None = None  # a faster form of `make`
        self.epoch_number = 0
        self.keys: Keys | None = None
        if normalize.scale.is_cuda:
            self.keep_keys()

    def keep_keys(self) -> None:
        """Keep the keys of the draws in a tensor: a recording reads them, one compiled program is for all seeds and epochs."""
        self.keys = Keys(self.raw.order.seed, self.normalize.scale.device)

    def compile(self, compiled: Callable[[Callable], Callable] | None = None) -> None:
        """Make batches by `compiled` code from now on, after one without; what the host computes once is a constant."""
        torch.compiler.assume_constant_result(quantiles)
        self.compiled = (compiled or torch.compile)(self.make)

    def begin(self, epoch: int = 1, first: int = 0) -> list[int]:
        """Start an epoch at its 0-based batch `first`; its keys are written in place, too."""
        self.epoch_number = epoch
        if self.keys is not None:
            self.keys.begin(epoch)
        return super().begin(epoch, first)

    def batch(self, size: int) -> Batch:
        """The next batch, of `size` images, or this process's part of it."""
        batch = (self.compiled or self.make)(*self.raw.take(size))
        return batch if self.kept is None else part_of(batch, self.kept.part(size))

    def make(self, images: Tensor, labels: Tensor, places: Tensor) -> Batch:
        """A raw batch, augmented by the draws of its places, normalised and mixed."""
        for stream, augment in self.recipe.augmentations:
            images = augment(images, self._draws(places, stream))
        return self.recipe.finish(self.normalize(images), labels, partial(self._draws, places))

    def _draws(self, places: Tensor, stream: str) -> Draws:
        if self.keys is not None:
            return Draws(0, 0, stream, places, self.keys)  # seed and epoch are in the keys
        return Draws(self.raw.order.seed, self.epoch_number, stream, places)
