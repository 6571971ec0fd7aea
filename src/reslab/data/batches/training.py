"""Epochs of training batches: taken raw from wherever the images are, then augmented, normalised and mixed on the device.

What changes between batches (the epoch here; order, place and images in the raw batches) is written in place, so that a CUDA graph
that has recorded `batch` makes the next one each time it is replayed.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from reslab.data.augment.beta import quantiles
from reslab.data.augment.draws import Draws
from reslab.data.augment.recipe import Recipe
from reslab.data.batches.finished import Batches
from reslab.data.batches.raw import RawBatches
from reslab.data.normalize import Normalize
from reslab.rng import number_of
from reslab.targets import Batch


class TrainingBatches(Batches):
    """The batches of a run's training epochs: raw ones, augmented, normalised and mixed by a recipe.

    The draws depend on seed, epoch and each image's place only.
    """

    def __init__(self, raw: RawBatches, recipe: Recipe, normalize: Normalize) -> None:
        super().__init__(raw)
        self.recipe, self.normalize = recipe, normalize
        self.compiled: Callable[..., Batch] | None = None  # a faster form of `make`
        self.seed: int | Tensor = raw.order.seed
        self.epoch: int | Tensor = 0
        if normalize.scale.is_cuda:
            self.draw_on_device()

    def draw_on_device(self) -> None:
        """Keep seed and epoch as tensors: a recording reads them, one compiled program is for all seeds. It costs a CPU more."""
        self.seed = torch.tensor(self.raw.order.seed, device=self.normalize.scale.device)
        self.epoch = torch.zeros_like(self.seed)

    def compile(self) -> None:
        """Make batches by compiled code from now on; what the host computes once is a constant to the compiler."""
        for computed_once in (number_of, quantiles):
            torch.compiler.assume_constant_result(computed_once)
        self.compiled = torch.compile(self.make, dynamic=False)

    def begin(self, epoch: int = 1, first: int = 0) -> list[int]:
        """Start an epoch at its 0-based batch `first`; its number is written in place, too."""
        self.epoch = self.epoch.fill_(epoch) if isinstance(self.epoch, Tensor) else epoch
        return super().begin(epoch, first)

    def batch(self, size: int) -> Batch:
        """The next batch, of `size` images."""
        return (self.compiled or self.make)(*self.raw.take(size))

    def make(self, images: Tensor, labels: Tensor, places: Tensor) -> Batch:
        """A raw batch, augmented by the draws of its places, normalised and mixed."""
        for stream, augment in self.recipe.augmentations:
            images = augment(images, self._draws(places, stream))
        return self.recipe.finish(self.normalize(images), labels, partial(self._draws, places))

    def _draws(self, places: Tensor, stream: str) -> Draws:
        return Draws(self.seed, self.epoch, stream, places)
