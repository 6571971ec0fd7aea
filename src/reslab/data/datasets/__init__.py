"""The datasets by name. Each entry is called as `DATASETS[name](raw_folder, **options)` and has fetch() and read()."""

from reslab.data.datasets.digits import Digits
from reslab.data.datasets.downloads import torchvision_dataset
from reslab.data.datasets.image_folder import ImageFolder

DATASETS = {
    "digits": Digits,
    "mnist": torchvision_dataset("mnist", "MNIST"),
    "fashion_mnist": torchvision_dataset("fashion_mnist", "FashionMNIST"),
    "kmnist": torchvision_dataset("kmnist", "KMNIST"),
    "cifar10": torchvision_dataset("cifar10", "CIFAR10"),
    "cifar100": torchvision_dataset("cifar100", "CIFAR100"),
    "image_folder": ImageFolder,
}
