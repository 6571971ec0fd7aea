"""The training loop: a generator of epoch records. Files, tracking and progress bars are the caller's."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from reslab.training.schedule.schedules import Schedule
from reslab.training.step import TrainingStep
from reslab.training.turns import read


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


@dataclass
class Position:
    """How far a run is: whole epochs and steps done, and what the epoch it is in has gathered so far."""

    epoch: int = 0  # epochs that are done
    step: int = 0
    epoch_steps: int = 0  # of the epoch under way
    images: int = 0
    seconds: float = 0.0
    factor: float = 1.0  # of the base rate, at the last step


def set_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Give every group `factor` times its own base rate: a number, or in place where a recorded step reads a tensor."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(group["initial_lr"] * factor)
        else:
            group["lr"] = group["initial_lr"] * factor


def in_turns(
    step: TrainingStep,
    schedule: Schedule,
    *,
    total_steps: int,
    position: Position | None = None,
    execute: Callable[[int], None] | None = None,
) -> Iterator[Epoch | None]:
    """Train until `total_steps`; yield one record an epoch, and None after every step and while the device is waited for.

    A None is the others' turn, where several networks share a device. `execute` makes the step of a given number of images: the
    `step` itself, or what was recorded of it. A resumed run starts at `position`, which is kept up to date, with the state of the
    objects restored. After a record whose loss is not finite the run has diverged and ends.
    """
    at, execute = position or Position(), execute or step
    while at.step < total_steps or at.epoch_steps > 0:
        sizes = step.feed.begin(at.epoch + 1, at.epoch_steps)[: total_steps - at.step]
        step.rule.batch_norm.train(step.model)
        if at.epoch_steps == 0:
            step.rule.batch_norm.begin_epoch(step.model)
            step.sums.zero_()
        began = time.perf_counter() - at.seconds
        for size in sizes:
            at.factor = schedule(at.step)
            set_rate(step.optimizer, at.factor)
            step.feed.load(size)
            execute(size)
            schedule.observe(at.step, size, step.errors)
            at.step, at.epoch_steps, at.images = at.step + 1, at.epoch_steps + 1, at.images + size
            at.seconds = time.perf_counter() - began
            yield None
        loss_sum, errors = yield from read(step.sums)
        record = Epoch(
            epoch=at.epoch + 1,
            step=at.step,
            lr=step.optimizer.param_groups[0]["initial_lr"] * at.factor,
            loss=loss_sum / at.images,
            error=errors / at.images,
            images=at.images,
            seconds=time.perf_counter() - began,
        )
        at.epoch, at.epoch_steps, at.images, at.seconds = at.epoch + 1, 0, 0, 0.0
        yield record
        if record.diverged:
            return


def fit(
    step: TrainingStep,
    schedule: Schedule,
    *,
    total_steps: int,
    position: Position | None = None,
    execute: Callable[[int], None] | None = None,
) -> Iterator[Epoch]:
    """`in_turns` for a network that has the device to itself: yield one record an epoch."""
    turns = in_turns(step, schedule, total_steps=total_steps, position=position, execute=execute)
    return (record for record in turns if record is not None)
