"""The datasets by name. Each entry is called as `DATASETS[name](raw_folder, **options)` and has fetch() and read()."""

from collections.abc import Callable, Mapping
from pathlib import Path

from reslab.config import plugins
from reslab.data.datasets.digits import Digits
from reslab.data.datasets.downloads import torchvision_dataset
from reslab.data.datasets.image_folder import ImageFolder
from reslab.data.datasets.imagenet import ImageNet
from reslab.data.datasets.own import Own

DATASETS = {
    "digits": Digits,
    "mnist": torchvision_dataset("mnist", "MNIST"),
    "fashion_mnist": torchvision_dataset("fashion_mnist", "FashionMNIST"),
    "kmnist": torchvision_dataset("kmnist", "KMNIST"),
    "cifar10": torchvision_dataset("cifar10", "CIFAR10"),
    "cifar100": torchvision_dataset("cifar100", "CIFAR100"),
    "imagenet": ImageNet,
    "image_folder": ImageFolder,
}


def bound(spec: Mapping, where: str) -> Callable[[Path], object]:
    """What makes the dataset of params.yaml for its raw folder; raises UserError with the path `where`."""
    made = plugins.bind("dataset", DATASETS, spec, where)
    return (lambda raw: Own(made(raw), raw, spec["name"], where)) if plugins.is_own(spec.get("name")) else made
