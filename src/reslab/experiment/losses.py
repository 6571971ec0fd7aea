"""The losses of params.yaml, called with the number of training images of each class: `f(class_counts, **options)`.

Those of training/losses.py need no counts. What is here may: code below training/ is part of every network's identity, so a loss
that is added there would train everything again.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from reslab.config import plugins
from reslab.config.schema import NonNegative, Positive, Probability
from reslab.errors import UserError
from reslab.targets import MixedTargets, Targets
from reslab.training import losses
from reslab.training.losses import Loss

Weights = Literal["balanced"] | Annotated[Sequence[Positive], Field(min_length=1)]


def cross_entropy(class_counts: Tensor, *, label_smoothing: Probability = 0.0, class_weights: Weights | None = None) -> Loss:
    """Cross entropy, over mixed labels by their weights, over views their mean; `label_smoothing` mixes in 1/K.

    `class_weights` weighs the images by their class, and the mean over a batch is the weighted one, as torch's. `balanced`:
    N / (K N_k) for the N_k of N training images in class k of K. Smoothing: Szegedy et al. 2015, arXiv:1512.00567, section 7.
    """
    if class_weights is None:
        return losses.cross_entropy(label_smoothing=label_smoothing)
    weights = resolved(class_weights, class_counts)

    def loss(logits: Tensor, targets: Targets) -> Tensor:
        views = [logits] if logits.dim() == 2 else logits.unbind(1)
        return torch.stack([weighted(view, targets, weights, label_smoothing) for view in views]).mean()

    return loss


def resolved(class_weights: Weights, class_counts: Tensor) -> Tensor:
    """The weight of each class, float32 (K,), on the device of the counts; raises UserError for another number of classes."""
    if class_weights == "balanced":
        if not class_counts.is_meta and not bool((class_counts > 0).all()):
            raise UserError("class_weights: balanced needs a training image of every class; give a list of weights")
        return class_counts.sum().float() / (len(class_counts) * class_counts.float())
    if len(class_weights) != len(class_counts):
        raise UserError(
            f"class_weights: {len(class_weights)} numbers for {len(class_counts)} classes; one each, in the classes' order"
        )
    return torch.tensor(list(class_weights), dtype=torch.float32, device=class_counts.device)


def weighted(logits: Tensor, targets: Targets, weights: Tensor, smoothing: float) -> Tensor:
    """Cross entropy (B, K) -> (), each image counted by its class's weight, a mixed one by the mean of its classes'."""
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    weights = weights.to(logits.dtype)
    if not isinstance(targets, MixedTargets):
        return F.cross_entropy(logits, targets, weight=weights, label_smoothing=smoothing)
    probabilities = torch.zeros_like(logits).scatter_add(1, targets.labels, targets.weights.to(logits.dtype))
    counted = (probabilities * weights).sum()
    smoothed = (1 - smoothing) * probabilities + smoothing / logits.shape[1]
    return -(smoothed * weights * logits.log_softmax(1)).sum() / counted


def dual_cutout(class_counts: Tensor, *, alpha: NonNegative = 0.1, label_smoothing: Probability = 0.0) -> Loss:
    """Mean cross entropy of two views, plus `alpha` times the mean squared difference of their logits.

    One view alone, as in an evaluation, has cross entropy only. Source: github.com/hysts/pytorch_image_classification.
    """
    return losses.dual_cutout(alpha=alpha, label_smoothing=label_smoothing)


LOSSES: dict[str, Callable[..., Loss]] = {"cross_entropy": cross_entropy, "dual_cutout": dual_cutout}


def bound_loss(spec: Mapping) -> Callable[[Tensor], Loss]:
    """The loss of a section `loss`, to be called with the number of training images of each class; raises UserError."""
    made = plugins.bind("loss", LOSSES, spec, "loss")

    def loss(class_counts: Tensor) -> Loss:
        found = made(class_counts)
        if not callable(found):
            raise UserError(f"loss: {spec['name']} must return a function of logits and targets, not a {type(found).__name__}")
        return found

    return loss
