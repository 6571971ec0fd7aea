"""Loss and error of a model on a split."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from reslab.targets import Batch, MixedTargets, Targets
from reslab.training.losses import Loss
from reslab.training.precision import FLOAT32, Precision, forward
from reslab.training.turns import finished, read

Average = Callable[[Tensor], Tensor]


class Feed(Protocol):
    """Where batches come from: `begin` an epoch at its 0-based batch `first`, then `load` and ask for batches of its sizes."""

    def begin(self, epoch: int, first: int = 0) -> list[int]:
        """Start an epoch."""
        ...

    def load(self, size: int) -> None:
        """The host's part of the next batch."""
        ...

    def batch(self, size: int) -> Batch:
        """The device's part: the next batch."""
        ...


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


AVERAGES: dict[str, Average] = {"softmax": mean_probability, "logits": mean_logit}


class ScoringStep:
    """The loss and errors of a model in eval mode on the feed's next batch, added up on the device.

    The `average` is scored where an image has several views.
    """

    def __init__(
        self, model: nn.Module, feed: Feed, loss: Loss, *, precision: Precision = FLOAT32, average: Average = mean_probability
    ) -> None:
        self.model, self.feed, self.loss, self.precision, self.average = model, feed, loss, precision, average
        self.sums = torch.zeros(2, dtype=torch.float64, device=next(model.parameters()).device)

    @torch.no_grad()
    def __call__(self, size: int) -> None:
        images, labels = self.feed.batch(size)
        logits = forward(self.model, images, self.precision)
        logits = self.average(logits) if logits.dim() == 3 else logits
        errors = wrong(logits, labels).sum(dtype=torch.float64)
        self.sums += torch.stack([self.loss(logits, labels).double() * size, errors])


def scoring(step: ScoringStep, execute: Callable[[int], None] | None = None) -> Iterator[None]:
    """Score the whole split; a generator that yields None while others may use the device, and returns the Score.

    `execute` makes the step of a given number of images: the `step` itself, or what was recorded of it.
    """
    step.model.eval()
    step.sums.zero_()
    sizes = step.feed.begin(1)
    for size in sizes:
        step.feed.load(size)
        (execute or step)(size)
        yield None
    loss_sum, errors = yield from read(step.sums)
    return Score(loss=loss_sum / sum(sizes), error=errors / sum(sizes))


def evaluate(
    model: nn.Module, feed: Feed, loss: Loss, *, precision: Precision = FLOAT32, average: Average = mean_probability
) -> Score:
    """Score a model in eval mode on all of the feed's first epoch, the `average` where an image has several views."""
    return finished(scoring(ScoringStep(model, feed, loss, precision=precision, average=average)))
