"""The training loop: a generator of epoch records. Files, tracking and progress bars are the caller's."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import nn

from reslab.training.evaluation import Loss
from reslab.training.schedule import Schedule
from reslab.training.step import Batch, StepRule, train_step


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


def fit(  # noqa: PLR0913 - what trains, on what, and where to start
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: Schedule,
    loss: Loss,
    batches: Callable[[int], Iterable[Batch]],
    *,
    total_steps: int,
    first_epoch: int = 1,
    first_step: int = 0,
    rule: StepRule | None = None,
) -> Iterator[Epoch]:
    """Train until `total_steps` and yield one record an epoch; `batches(epoch)` gives the data of an epoch.

    A resumed run starts at (`first_epoch`, `first_step`) with the state of the objects restored. After a record whose loss is
    not finite the run has diverged and ends.
    """
    step, epoch, rule = first_step, first_epoch, rule or StepRule()
    while step < total_steps:
        rule.batch_norm.begin_epoch(model)
        began, images, loss_sum, errors = time.perf_counter(), 0, 0.0, 0.0
        for batch in islice(batches(epoch), total_steps - step):
            set_rate(optimizer, schedule(step))
            batch_loss, batch_errors = train_step(model, batch, loss, optimizer, rule)
            count = len(batch[0])
            schedule.observe(step, count, batch_errors)
            images += count
            loss_sum = loss_sum + batch_loss * count
            errors = errors + batch_errors
            step += 1
        record = Epoch(
            epoch=epoch,
            step=step,
            lr=optimizer.param_groups[0]["lr"],
            loss=float(loss_sum) / images,
            error=float(errors) / images,
            images=images,
            seconds=time.perf_counter() - began,
        )
        yield record
        if record.diverged:
            return
        epoch += 1
