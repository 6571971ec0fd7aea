"""The training loop: for each epoch, for each batch, one step at the scheduled rate; then score, log and checkpoint."""

import time

import torch

from reslab.runs.processes import Reporter
from reslab.training.checkpoint import Checkpointer
from reslab.training.evaluation import Score
from reslab.training.execution.executor import Executor
from reslab.training.log import Epoch, Log
from reslab.training.schedule.budget import Budget
from reslab.training.schedule.schedules import Schedule


def train(
    execute: Executor,
    schedule: Schedule,
    budget: Budget,
    log: Log,
    *,
    scorers: dict[str, Executor],
    checkpointer: Checkpointer,
    reporter: Reporter,
) -> None:
    """Train from the position of `log` to the last step of the budget; stop where a loss is not finite: the run has diverged.

    `execute` makes the training steps, `scorers` the scoring steps of each held-out split. A resumed run continues in the middle of
    the epoch in which its checkpoint was written, and ends in the same bits as one that was never interrupted.
    """
    step, at = execute.step, log.position
    for epoch in range(at.epoch + 1, budget.epochs + 1):
        if log.diverged:
            break
        sizes = step.begin_epoch(epoch, first_batch=at.epoch_steps)[: budget.steps - at.step]
        began = time.perf_counter() - at.seconds
        for size in sizes:
            at.factor = schedule(at.step)
            set_rate(step.optimizer, at.factor)
            execute(size)  # the next batch: forward, backward, update
            schedule.observe(at.step, size, step.errors)
            at.add_step(size, seconds=time.perf_counter() - began)
            reporter.heartbeat(at.step)
            checkpointer.save_if_due(within_epoch=True)
        loss_sum, errors = execute.read_sums()
        record = Epoch(
            epoch=epoch,
            step=at.step,
            lr=step.optimizer.param_groups[0]["initial_lr"] * at.factor,
            loss=loss_sum / at.images,
            error=errors / at.images,
            images=at.images,
            seconds=time.perf_counter() - began,
        )
        scores = {split: evaluate(scorer) for split, scorer in scorers.items()}
        at.end_epoch()
        log.add(record, scores)
        reporter.report_epoch(log.history[-1], step=at.step, images=record.images, seconds=record.seconds)
        checkpointer.save_if_due()


def evaluate(execute: Executor) -> Score:
    """Score a network in eval mode on the whole of a held-out split."""
    step = execute.step
    sizes = step.begin()
    for size in sizes:
        execute(size)
    loss_sum, errors = execute.read_sums()
    return Score(loss=loss_sum / sum(sizes), error=errors / sum(sizes))


def set_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Give every parameter group `factor` times its own base rate; in place where a CUDA graph reads the rate from a tensor."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(group["initial_lr"] * factor)
        else:
            group["lr"] = group["initial_lr"] * factor
