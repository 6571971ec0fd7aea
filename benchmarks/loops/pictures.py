"""Torchvision's CIFAR dataset over arrays that are in memory already, with the transforms of every public script."""

from typing import Any

import numpy as np
from torch.utils.data import DataLoader
from torchvision.datasets import CIFAR10, VisionDataset
from torchvision.transforms import Compose, Normalize, RandomCrop, RandomHorizontalFlip, ToTensor

from loops.public import Recipe
from reslab.data.prepared.splits import Arrays


class Pictures(CIFAR10):
    """Only reading the files is ours: `__getitem__` (array -> PIL image -> transforms) is torchvision's."""

    def __init__(self, split: Arrays, transform: Compose) -> None:
        VisionDataset.__init__(self, root="", transform=transform)
        images = split.images.transpose(0, 2, 3, 1)
        self.data = np.ascontiguousarray(images[..., 0] if images.shape[3] == 1 else images)
        self.targets = split.labels.tolist()


def training_pictures(split: Arrays, recipe: Recipe) -> Pictures:
    """Crop, flip, to a tensor, normalise."""
    crop = [RandomCrop(split.images.shape[2:], padding=recipe.padding)] if recipe.padding else []
    flip = [RandomHorizontalFlip(recipe.flip)] if recipe.flip else []
    return Pictures(split, Compose([*crop, *flip, ToTensor(), Normalize(recipe.mean, recipe.std)]))


def test_pictures(split: Arrays, recipe: Recipe) -> Pictures:
    """To a tensor, normalise."""
    return Pictures(split, Compose([ToTensor(), Normalize(recipe.mean, recipe.std)]))


def loader(pictures: Pictures, *, workers: int, **options: Any) -> DataLoader:
    """A DataLoader whose workers are forked, as they are on Linux in a script (a spawned process would spawn them, slowly)."""
    return DataLoader(pictures, num_workers=workers, multiprocessing_context="fork" if workers else None, **options)
