"""Loss and error of a model on a held-out split, batch by batch."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from reslab.runs.ranks import ALONE, Ranks
from reslab.targets import Batch, MixedTargets, Targets
from reslab.training.losses import Loss
from reslab.training.precision import FLOAT32, Precision, forward

Average = Callable[[Tensor], Tensor]


class Batches(Protocol):
    """The batches of a split: `begin` an epoch, then for each of its sizes `load` a batch and take it by `batch`."""

    def begin(self, epoch: int, first: int = 0) -> list[int]:
        """Start an epoch at its 0-based batch `first`; return the number of images of each batch from there on."""
        ...

    def load(self, size: int) -> None:
        """Do the host's part of the next batch."""
        ...

    def batch(self, size: int) -> Batch:
        """Do the device's part and return the batch."""
        ...


@dataclass(frozen=True)
class Score:
    """Mean loss, and error as the fraction of images classified wrongly.

    The stages score by plain cross entropy, whatever the training loss is.
    """

    loss: float
    error: float


def wrong(logits: Tensor, targets: Targets) -> Tensor:
    """Which predictions are wrong, bool (B,); for mixed targets the weight of the labels that were missed, float (B,).

    Of V views, logits (B, V, K), the mean counts. A row with a logit that is not finite counts as wrong.
    """
    logits = logits.mean(1) if logits.dim() == 3 else logits
    predicted, not_finite = logits.argmax(1), ~logits.isfinite().all(1)
    if not isinstance(targets, MixedTargets):
        return (predicted != targets) | not_finite
    missed = ((predicted[:, None] != targets.labels) * targets.weights).sum(1)
    return missed.masked_fill(not_finite, 1.0)


def mean_probability(logits: Tensor) -> Tensor:
    """Logits (B, V, K) of V views -> (B, K) whose softmax is the mean of the views' softmax (Krizhevsky et al. 2012)."""
    return logits.log_softmax(2).logsumexp(1) - math.log(logits.shape[1])


def mean_logit(logits: Tensor) -> Tensor:
    """Logits (B, V, K) of V views -> their mean (B, K)."""
    return logits.mean(1)


AVERAGES: dict[str, Average] = {"softmax": mean_probability, "logits": mean_logit}


class ScoringStep:
    """Adds the loss and errors of a model on the next batch to sums on the device.

    Where an image has several views, the `average` of their logits is scored. Of `ranks`, each process scores its part of a batch.
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Batches,
        loss: Loss,
        *,
        precision: Precision = FLOAT32,
        average: Average = mean_probability,
        ranks: Ranks = ALONE,
    ) -> None:
        self.model, self.batches, self.loss, self.precision, self.average = model, batches, loss, precision, average
        self.ranks = ranks
        self.sums = torch.zeros(2, dtype=torch.float64, device=next(model.parameters()).device)  # loss, errors

    def begin(self) -> list[int]:
        """Start the split again, in eval mode and with sums of zero; return the sizes of its batches."""
        self.model.eval()
        self.sums.zero_()
        return self.batches.begin(1)

    @torch.no_grad()
    def __call__(self, size: int) -> None:
        images, labels = self.batches.batch(size)
        if not len(labels):
            return
        logits = forward(self.model, images, self.precision)
        logits = self.average(logits) if logits.dim() == 3 else logits
        errors = wrong(logits, labels).sum(dtype=torch.float64)
        self.sums += torch.stack([self.loss(logits, labels).double() * len(labels), errors])

    def total(self) -> Tensor:
        """The sums over all processes."""
        return self.sums if self.ranks.alone else self.ranks.add(self.sums.clone())
