"""Loss and error of a model on a split."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from reslab.targets import MixedTargets, Targets
from reslab.training.precision import FLOAT32, Precision, forward

Loss = Callable[[Tensor, Targets], Tensor]


@dataclass(frozen=True)
class Score:
    """Mean loss and the fraction of images answered wrongly; the stages score by plain cross entropy, whatever was trained on."""

    loss: float
    error: float


def wrong(logits: Tensor, targets: Targets) -> Tensor:
    """Which answers are wrong, bool (B,), or for mixed targets how wrong by the labels' weights, float (B,).

    Of V views, logits (B, V, K), the mean is judged. A row with a non-finite logit is no answer and counts as wrong.
    """
    logits = logits.mean(1) if logits.dim() == 3 else logits
    answers, none = logits.argmax(1), ~logits.isfinite().all(1)
    if not isinstance(targets, MixedTargets):
        return (answers != targets) | none
    missed = ((answers[:, None] != targets.labels) * targets.weights).sum(1)
    return missed.masked_fill(none, 1.0)


def mean_probability(logits: Tensor) -> Tensor:
    """Logits (B, V, K) of V views -> (B, K) whose softmax is the mean of the views' softmax (Krizhevsky et al. 2012)."""
    return logits.log_softmax(2).logsumexp(1) - math.log(logits.shape[1])


def mean_logit(logits: Tensor) -> Tensor:
    """Logits (B, V, K) of V views -> their mean (B, K)."""
    return logits.mean(1)


AVERAGES: dict[str, Callable[[Tensor], Tensor]] = {"softmax": mean_probability, "logits": mean_logit}


@torch.no_grad()
def evaluate(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    loss: Loss,
    *,
    precision: Precision = FLOAT32,
    average: Callable[[Tensor], Tensor] = mean_probability,
) -> Score:
    """Score a model in eval mode, the `average` where an image has several views; sums stay on the device and are read once."""
    model.eval()
    count, loss_sum, errors = 0, 0.0, 0
    for images, labels in batches:
        logits = forward(model, images, precision)
        logits = average(logits) if logits.dim() == 3 else logits
        loss_sum = loss_sum + loss(logits, labels).double() * len(labels)
        errors = errors + wrong(logits, labels).sum()
        count += len(labels)
    return Score(loss=float(loss_sum) / count, error=int(errors) / count)
