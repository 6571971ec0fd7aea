"""What the tests must know of each dataset without having it."""

import numpy as np

from reslab.data.prepared import Prepared
from reslab.data.prepared.splits import Arrays

SHAPES = {"digits": (1, 8, 8), "mnist": (1, 28, 28), "fashion_mnist": (1, 28, 28), "kmnist": (1, 28, 28)}
SHAPES["imagenet"] = (3, 48, 48)  # stands for ImageNet, whose studies ask for 224
CIFAR = (3, 32, 32)
TRAIN = {"digits": 1437, "cifar10": 50_000, "cifar100": 50_000, "imagenet": 1_281_167}
CLASSES = {"cifar100": 100, "imagenet": 1000}


def facts(dataset: str) -> dict:
    """The facts that preprocess would store; the statistics are made up."""
    shape = SHAPES.get(dataset, CIFAR)
    return {
        "name": dataset,
        "image_shape": list(shape),
        "class_names": [str(i) for i in range(CLASSES.get(dataset, 10))],
        "train": TRAIN.get(dataset, 60_000),
        "mean": [0.5] * shape[0],
        "std": [0.2] * shape[0],
    }


def random_images(dataset: str, *, count: int) -> Prepared:
    """So many random images of a dataset's shape, to train on and to test with."""
    generator, known = np.random.default_rng(0), facts(dataset)
    images = generator.integers(0, 256, (count, *known["image_shape"]), dtype=np.uint8)
    split = Arrays(images, generator.integers(0, len(known["class_names"]), count))
    return Prepared(split, None, split, known | {"train": count})
