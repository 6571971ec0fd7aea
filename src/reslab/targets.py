"""A batch and its targets: one label an image, or several with weights after mixing."""

from typing import NamedTuple

from torch import Tensor


class MixedTargets(NamedTuple):
    """Several labels an image: `labels` int64 (B, K) and `weights` float (B, K), whose rows sum to 1."""

    labels: Tensor
    weights: Tensor


Targets = Tensor | MixedTargets  # a plain batch has labels int64 (B,)
Batch = tuple[Tensor, Targets]  # images (B, C, H, W), or (B, V, C, H, W) where a mixing makes V views of each


def part_of(batch: Batch, part: slice) -> Batch:
    """Some of the images of a batch, with their targets."""
    images, targets = batch
    if isinstance(targets, MixedTargets):
        return images[part], MixedTargets(*(column[part] for column in targets))
    return images[part], targets[part]


def split_targets(targets: Targets, size: int) -> list[Targets]:
    """Targets of chunks of `size` images each, the last one smaller if need be."""
    if isinstance(targets, MixedTargets):
        chunks = zip(targets.labels.split(size), targets.weights.split(size), strict=True)
        return [MixedTargets(labels, weights) for labels, weights in chunks]
    return list(targets.split(size))
