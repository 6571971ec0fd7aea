"""Losses by name, `f(**options)` -> a function of logits and targets that returns the batch mean in nats.

Logits (B, K), or (B, V, K) for V views of each image; targets are labels int64 (B,) or mixed ones. Computed in float32 or better.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from reslab.config.schema import NonNegative, Probability
from reslab.targets import MixedTargets, Targets

Loss = Callable[[Tensor, Targets], Tensor]


def cross_entropy(*, label_smoothing: Probability = 0.0) -> Loss:
    """Cross entropy, over mixed labels by their weights, over views their mean; `label_smoothing` mixes in 1/K.

    Source: Szegedy et al. 2015, arXiv:1512.00567, section 7 (smoothing).
    """

    def loss(logits: Tensor, targets: Targets) -> Tensor:
        logits = _precise(logits)
        if logits.dim() == 2:
            return _cross_entropy(logits, targets, label_smoothing)
        return torch.stack([_cross_entropy(view, targets, label_smoothing) for view in logits.unbind(1)]).mean()

    return loss


def dual_cutout(*, alpha: NonNegative = 0.1, label_smoothing: Probability = 0.0) -> Loss:
    """Mean cross entropy of two views, plus `alpha` times the mean squared difference of their logits.

    One view alone, as in an evaluation, has cross entropy only. Source: github.com/hysts/pytorch_image_classification.
    """
    answers = cross_entropy(label_smoothing=label_smoothing)

    def loss(logits: Tensor, targets: Targets) -> Tensor:
        if logits.dim() == 2:
            return answers(logits, targets)
        first, second = _precise(logits).unbind(1)
        return answers(logits, targets) + alpha * F.mse_loss(first, second)

    return loss


def _cross_entropy(logits: Tensor, targets: Targets, smoothing: float) -> Tensor:
    if not isinstance(targets, MixedTargets):
        return F.cross_entropy(logits, targets, label_smoothing=smoothing)
    log_probabilities = logits.log_softmax(1)
    at = compared if logits.is_cuda else gathered
    of_labels = -(at(log_probabilities, targets.labels) * targets.weights).sum(1)
    of_all = -log_probabilities.mean(1)
    return ((1 - smoothing) * of_labels + smoothing * of_all).mean()


def gathered(values: Tensor, labels: Tensor) -> Tensor:
    """Values (B, K) at labels (B, n) -> (B, n)."""
    return values.gather(1, labels)


def compared(values: Tensor, labels: Tensor) -> Tensor:
    """The same values by comparison: on a GPU the backward pass of a gather is a scatter, slow where it must repeat bitwise."""
    chosen = labels[:, :, None] == torch.arange(values.shape[1], device=values.device)
    return torch.where(chosen, values[:, None, :], 0.0).sum(2)


def _precise(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


LOSSES: dict[str, Callable[..., Loss]] = {
    "cross_entropy": cross_entropy,
    "dual_cutout": dual_cutout,
}
