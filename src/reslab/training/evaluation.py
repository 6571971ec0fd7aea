"""Loss and error of a model on a split."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from reslab.targets import MixedTargets, Targets
from reslab.training.device import finished, read
from reslab.training.precision import FLOAT32, Precision, forward

Batch = tuple[Tensor, Targets]
Loss = Callable[[Tensor, Targets], Tensor]


class Feed(Protocol):
    """Where batches come from: `begin` an epoch at its 0-based batch `first`, then ask for batches of the sizes it returned."""

    def begin(self, epoch: int, first: int = 0) -> list[int]: ...

    def batch(self, size: int) -> Batch: ...


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


class ScoringStep:
    """The loss and errors of a model in eval mode on the feed's next batch, added up on the device."""

    def __init__(self, model: nn.Module, feed: Feed, loss: Loss, *, precision: Precision = FLOAT32) -> None:
        self.model, self.feed, self.loss, self.precision = model, feed, loss, precision
        self.sums = torch.zeros(2, dtype=torch.float64, device=next(model.parameters()).device)

    @torch.no_grad()
    def __call__(self, size: int) -> None:
        images, labels = self.feed.batch(size)
        logits = forward(self.model, images, self.precision)
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
        (execute or step)(size)
        yield None
    loss_sum, errors = yield from read(step.sums)
    return Score(loss=loss_sum / sum(sizes), error=errors / sum(sizes))


def evaluate(model: nn.Module, feed: Feed, loss: Loss, *, precision: Precision = FLOAT32) -> Score:
    """Score a model in eval mode on all of the feed's first epoch."""
    return finished(scoring(ScoringStep(model, feed, loss, precision=precision)))
