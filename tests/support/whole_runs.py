"""Whole runs of the training loop, for the tests of what goes into it."""

import contextlib
from pathlib import Path

from torch import nn

from reslab.runs.processes import Reporter
from reslab.training import checkpoint, loop
from reslab.training.evaluation import Batches, Score, ScoringStep
from reslab.training.execution.executor import Executor, Launch, TakeTurn, alone
from reslab.training.log import Epoch, Log
from reslab.training.losses import Loss
from reslab.training.schedule.budget import Budget
from reslab.training.schedule.schedules import Schedule
from reslab.training.step import TrainingStep


class KeepingLog(Log):
    """A log that keeps the epochs that the loop adds to it."""

    def __init__(self) -> None:
        super().__init__()
        self.epochs: list[Epoch] = []

    def add(self, epoch: Epoch, scores: dict[str, Score]) -> None:
        super().add(epoch, scores)
        self.epochs.append(epoch)


def fit(
    step: TrainingStep, schedule: Schedule, budget: Budget, *, launch: Launch | None = None, take_turn: TakeTurn = alone
) -> list[Epoch]:
    """Train from the start without scores or checkpoints; return the epochs."""
    log = KeepingLog()
    train(step, schedule, budget, log, checkpointer=Never(), launch=launch, take_turn=take_turn)
    return log.epochs


def train(
    step: TrainingStep,
    schedule: Schedule,
    budget: Budget,
    log: Log,
    *,
    checkpointer: checkpoint.Checkpointer,
    scorers: dict[str, Executor] | None = None,
    launch: Launch | None = None,
    take_turn: TakeTurn = alone,
) -> Log:
    """Train from where the log stands to the end, or to where the checkpointer interrupts; return the log."""
    executor, reporter = Executor(step, launch, take_turn), Reporter(0, budget.steps)
    with contextlib.suppress(Interrupted):
        loop.train(executor, schedule, budget, log, scorers=scorers or {}, checkpointer=checkpointer, reporter=reporter)
    return log


def score(model: nn.Module, batches: Batches, loss: Loss, **options) -> Score:
    """The score of a model on the batches of a split."""
    return loop.evaluate(Executor(ScoringStep(model, batches, loss, **options)))


class Interrupted(Exception):
    """Raised in place of the rest of a run."""


class Never:
    """Saves no checkpoint."""

    def save_if_due(self, *, within_epoch: bool = False) -> None:
        pass


class InterruptAt(checkpoint.Checkpointer):
    """Saves one checkpoint after step `until`, within the epoch or after its scores, and ends the run there."""

    def __init__(self, path: Path, step: TrainingStep, schedule: Schedule, log: Log, until: int, *, within_epoch: bool) -> None:
        super().__init__(path, step, schedule, log)
        self.until, self.within_epoch = until, within_epoch

    def save_if_due(self, *, within_epoch: bool = False) -> None:
        if (self.log.position.step, within_epoch) == (self.until, self.within_epoch):
            checkpoint.save(self.path, self.step, self.schedule, self.log)
            raise Interrupted
