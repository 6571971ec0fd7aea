"""A batch and its targets: one label an image, or several with weights after mixing."""

from typing import NamedTuple

from torch import Tensor


class MixedTargets(NamedTuple):
    """Several labels an image: `labels` int64 (B, K) and `weights` float (B, K), whose rows sum to 1."""

    labels: Tensor
    weights: Tensor


Targets = Tensor | MixedTargets  # a plain batch has labels int64 (B,)
Batch = tuple[Tensor, Targets]  # images (B, C, H, W), or (B, V, C, H, W) where a mixing makes V views of each


def split_targets(targets: Targets, size: int) -> list[Targets]:
    """Targets of chunks of `size` images each, the last one smaller if need be."""
    if isinstance(targets, MixedTargets):
        chunks = zip(targets.labels.split(size), targets.weights.split(size), strict=True)
        return [MixedTargets(labels, weights) for labels, weights in chunks]
    return list(targets.split(size))
