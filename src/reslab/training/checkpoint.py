"""Saving and restoring the whole state of a run."""

import os
import pickle
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from reslab import stop, storage
from reslab.errors import UserError, first_line
from reslab.training.log import Log
from reslab.training.schedule.schedules import Schedule
from reslab.training.step import TrainingStep

TIME_SHARE = 0.05  # the largest share of the training time that is spent on checkpoints
SECONDS_WITHIN_EPOCH = 60.0  # at least between checkpoints within an epoch: the host waits for the device to write one


@storage.writes
def replace_file(path: Path, write: Callable[[Path], Any]) -> None:
    """Write a file beside `path` and move it there in one step: the old file stays whole if the process is killed."""
    if path.is_dir():
        raise UserError(f"{path}: is a folder, not a file")
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(draft)
        draft.replace(path)
    except RuntimeError as error:  # torch's form of a failed write
        raise storage.not_written(path, error) from error
    finally:
        draft.unlink(missing_ok=True)


def save(path: Path, step: TrainingStep, schedule: Schedule, log: Log) -> None:
    """Save all that the rest of the run depends on: weights, buffers, optimizer, averages, sums, schedule, log."""
    parts = {"model": step.model.state_dict(), "optimizer": step.optimizer.state_dict(), "rule": step.rule.state()}
    state = parts | {"sums": step.sums, "schedule": schedule.state(), "log": asdict(log)}
    replace_file(path, lambda draft: torch.save(state, draft))


def restore(path: Path, step: TrainingStep, schedule: Schedule) -> Log:
    """Load a checkpoint into the step and the schedule and return its log. Raises UserError for a damaged file."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        step.model.load_state_dict(state["model"])
        restore_optimizer(step.optimizer, state["optimizer"])
        step.rule.restore(state["rule"])
        step.sums.copy_(state["sums"])
        schedule.restore(state["schedule"])
        log = Log.of(state["log"])
    except (RuntimeError, KeyError, EOFError, OSError, ValueError, TypeError, pickle.UnpicklingError) as error:
        raise UserError(f"{path}: damaged checkpoint ({first_line(error)}); delete it to train this seed from the start") from error
    log.resumed += 1
    return log


def restore_optimizer(optimizer: torch.optim.Optimizer, state: dict) -> None:
    """Load an optimizer's state, but keep the settings that depend on this device, which may be another one."""
    here = [{key: group[key] for key in ("lr", "capturable") if key in group} for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for group, settings in zip(optimizer.param_groups, here, strict=True):
        group.update(settings)


class Checkpointer:
    """Saves a run's checkpoints at `path`, seldom enough to take a small share of the time."""

    def __init__(self, path: Path, step: TrainingStep, schedule: Schedule, log: Log) -> None:
        self.path, self.step, self.schedule, self.log = path, step, schedule, log
        self.saved, self.cost = time.monotonic(), 0.0

    def save_if_due(self, *, within_epoch: bool = False) -> None:
        """Save, unless the last checkpoint is too recent for what it cost, or for one within an epoch."""
        self.save_if_told_to_stop()
        began = time.monotonic()
        if began - self.saved < max(self.cost / TIME_SHARE, SECONDS_WITHIN_EPOCH if within_epoch else 0.0):
            return
        save(self.path, self.step, self.schedule, self.log)
        self.saved = time.monotonic()
        self.cost = self.saved - began

    def save_if_told_to_stop(self) -> None:
        """Save and raise Stopped, if this process is to stop; to be called wherever the state is whole."""
        if stop.requested():
            save(self.path, self.step, self.schedule, self.log)
            stop.check()
