"""Normalisation constants by name: `f(facts, **options) -> (mean, std)` per channel, for images scaled to [0, 1]."""

from reslab.errors import UserError
from reslab.schema import Finite, Positive

Constants = tuple[list[float], list[float]]

PUBLISHED: dict[str, Constants] = {
    "cifar10": ([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]),
    # The std that tau-ResNet and many others use: the mean of per-image stds, not the std over all pixels.
    "cifar10_per_image_std": ([0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]),
    "cifar100": ([0.5071, 0.4865, 0.4409], [0.2673, 0.2564, 0.2762]),
    "mnist": ([0.1307], [0.3081]),
    "fashion_mnist": ([0.2860], [0.3530]),
    "kmnist": ([0.1904], [0.3475]),
    "imagenet": ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
}


def computed(facts: dict) -> Constants:
    """Mean and std of the training images, as preprocess measured them."""
    if min(facts["std"]) == 0:
        raise UserError("a channel of the training images is constant (std 0): use normalize: {name: constants, ...}")
    return facts["mean"], facts["std"]


def published(facts: dict, *, constants: str) -> Constants:
    """Constants that published systems use, by name."""
    if constants not in PUBLISHED:
        raise UserError(f"unknown constants {constants!r}; allowed: {', '.join(PUBLISHED)}")
    return _for_channels(facts, *PUBLISHED[constants])


def constants(facts: dict, *, mean: list[Finite], std: list[Positive]) -> Constants:
    """Constants written out, one per channel."""
    return _for_channels(facts, mean, std)


def _for_channels(facts: dict, mean: list[float], std: list[float]) -> Constants:
    channels = facts["image_shape"][0]
    if len(mean) != channels or len(std) != channels:
        raise UserError(f"mean {mean}, std {std}: expected {channels} numbers each, for {channels} channels")
    return mean, std


NORMALIZATIONS = {
    "computed": computed,
    "constants": constants,
    "published": published,
}
