"""The training loop: a generator of epoch records. Files, tracking and progress bars are the caller's."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor, nn

from reslab.hashing import advance
from reslab.training.evaluation import Loss, wrong
from reslab.training.schedule import Schedule

Batches = Iterable[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Epoch:
    """One epoch's sums, read from the device once: mean loss, error as a fraction, the rate of its last step."""

    epoch: int  # 1 for the first
    step: int  # optimizer steps done so far
    lr: float
    loss: float
    error: float
    images: int
    seconds: float  # evaluation excluded

    @property
    def diverged(self) -> bool:
        """Whether some loss of the epoch was infinite or not a number."""
        return not math.isfinite(self.loss)


def set_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Give every group `factor` times its own base rate."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor


def train_step(
    model: nn.Module, batch: tuple[Tensor, Tensor], loss: Loss, optimizer: torch.optim.Optimizer
) -> tuple[Tensor, Tensor]:
    """Forward, backward, update; return the batch's mean loss and its number of errors without waiting for the device."""
    images, labels = batch
    advance(model)
    logits = model(images)
    value = loss(logits, labels)
    optimizer.zero_grad(set_to_none=True)
    value.backward()
    optimizer.step()
    return value.detach(), wrong(logits.detach(), labels).sum()


def fit(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: Schedule,
    loss: Loss,
    batches: Callable[[int], Batches],
    *,
    total_steps: int,
    first_epoch: int = 1,
    first_step: int = 0,
) -> Iterator[Epoch]:
    """Train until `total_steps` and yield one record an epoch; `batches(epoch)` gives the data of an epoch.

    A resumed run starts at (`first_epoch`, `first_step`) with the state of the objects restored. After a record whose loss is
    not finite the run has diverged and ends.
    """
    step, epoch = first_step, first_epoch
    while step < total_steps:
        model.train()
        began, images, loss_sum, errors = time.perf_counter(), 0, 0.0, 0
        for batch in islice(batches(epoch), total_steps - step):
            set_rate(optimizer, schedule(step))
            batch_loss, batch_errors = train_step(model, batch, loss, optimizer)
            schedule.observe(step, len(batch[1]), batch_errors)
            images += len(batch[1])
            loss_sum = loss_sum + batch_loss.double() * len(batch[1])
            errors = errors + batch_errors
            step += 1
        record = Epoch(
            epoch=epoch,
            step=step,
            lr=optimizer.param_groups[0]["lr"],
            loss=float(loss_sum) / images,
            error=int(errors) / images,
            images=images,
            seconds=time.perf_counter() - began,
        )
        yield record
        if record.diverged:
            return
        epoch += 1
