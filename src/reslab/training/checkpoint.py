"""Saving and restoring the whole state of a run, and its final weights."""

import os
import pickle
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from reslab.errors import UserError, first_line
from reslab.training.log import Log
from reslab.training.schedule.schedules import Schedule
from reslab.training.step import TrainingStep

TIME_SHARE = 0.05  # of the training time, at most, goes into checkpoints
SECONDS_WITHIN_EPOCH = 60.0  # between checkpoints of an epoch under way, which wait for the device


def replace_file(path: Path, write: Callable[[Path], Any]) -> None:
    """Write a file beside its place and move it there in one step: a killed process leaves the old file whole."""
    if path.is_dir():
        raise UserError(f"{path}: is a folder, not a file")
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(draft)
        draft.replace(path)
    except RuntimeError as error:  # torch's and Rust's form of a failed write
        raise OSError(28 if "space" in str(error) else 5, f"cannot write {path} ({first_line(error)})") from error
    finally:
        draft.unlink(missing_ok=True)


def save(path: Path, step: TrainingStep, schedule: Schedule, log: Log) -> None:
    """Store all that the rest of the run depends on: weights, buffers, momentum, averages, sums, schedule, log."""
    parts = {"model": step.model.state_dict(), "optimizer": step.optimizer.state_dict(), "rule": step.rule.state()}
    state = parts | {"sums": step.sums, "schedule": schedule.state(), "log": asdict(log)}
    replace_file(path, lambda draft: torch.save(state, draft))


def restore(path: Path, step: TrainingStep, schedule: Schedule) -> Log:
    """Load what `save` stored into the objects and return the log. Raises UserError for a damaged file."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        step.model.load_state_dict(state["model"])
        restore_optimizer(step.optimizer, state["optimizer"])
        step.rule.restore(state["rule"])
        step.sums.copy_(state["sums"])
        schedule.restore(state["schedule"])
        log = Log.of(state["log"])
    except (RuntimeError, KeyError, EOFError, OSError, ValueError, TypeError, pickle.UnpicklingError) as error:
        raise UserError(f"{path}: damaged checkpoint ({first_line(error)}); delete it to train this seed anew") from error
    log.resumed += 1
    return log


def restore_optimizer(optimizer: torch.optim.Optimizer, state: dict) -> None:
    """Take over an optimizer's state; what depends on the device is this one's, not the one's that the state comes from."""
    here = [{key: group[key] for key in ("lr", "capturable") if key in group} for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for group, settings in zip(optimizer.param_groups, here, strict=True):
        group.update(settings)


class Pace:
    """Decides when a checkpoint is due, so that writing them takes a small share of the time."""

    def __init__(self) -> None:
        self.saved, self.cost = time.monotonic(), 0.0

    def save_if_due(self, path: Path, *state: Any, within_epoch: bool = False) -> None:
        """`save(path, *state)` unless the last one is too recent for what it cost, or for the middle of an epoch."""
        began = time.monotonic()
        if began - self.saved < max(self.cost / TIME_SHARE, SECONDS_WITHIN_EPOCH if within_epoch else 0.0):
            return
        save(path, *state)
        self.saved = time.monotonic()
        self.cost = self.saved - began
