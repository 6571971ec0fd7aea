"""Saving and restoring the whole state of a run.

A checkpoint ends in a checksum of all bytes before it, and the one before it is kept as well: a damaged one is never restored.
"""

import hashlib
import pickle
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from reslab import stop, storage
from reslab.errors import UserError, check_plain, first_line, new_file
from reslab.training.log import Log
from reslab.training.schedule.schedules import Schedule
from reslab.training.step import TrainingStep

TIME_SHARE = 0.05  # the largest share of the training time that is spent on checkpoints
SECONDS_WITHIN_EPOCH = 60.0  # at least between checkpoints within an epoch: the host waits for the device to write one


CHECKSUM_BYTES = 32  # a sha256, after torch's archive: torch does not look behind its end
ZIP_END, ZIP_END_BYTES = b"PK\x05\x06", 22  # of that archive: what is longer need not be read to be refused


@storage.writes
def replace_file(path: Path, write: Callable[[Path], Any], *, keep: Path | None = None) -> None:
    """Write a file in one step, as `new_file` does: the old file stays whole if the process is killed.

    The old file is kept as `keep`, if that is given.
    """
    with new_file(path) as draft:
        try:
            write(draft)
        except RuntimeError as error:  # torch's form of a failed write
            raise storage.not_written(path, error) from error
        if keep is not None and path.exists():
            path.replace(keep)


def save(path: Path, step: TrainingStep, schedule: Schedule, log: Log, *, owner: str = "") -> None:
    """Save all that the rest of the run depends on: weights, buffers, optimizer, averages, sums, schedule, log.

    `owner` says whose it is; nobody else can restore it. The checkpoint before it is kept as `before(path)`.
    """
    parts = {"model": step.model.state_dict(), "optimizer": step.optimizer.state_dict(), "rule": step.rule.state()}
    state = parts | {"sums": step.sums, "schedule": schedule.state(), "log": asdict(log), "owner": owner}

    def write(draft: Path) -> None:
        torch.save(state, draft)
        with draft.open("r+b") as file:
            checksum = hashlib.file_digest(file, "sha256")
            file.write(checksum.digest())

    replace_file(path, write, keep=before(path))


def before(path: Path) -> Path:
    """Where the checkpoint before the newest one is."""
    return path.with_name(f"{path.name}.before")


def exists(path: Path) -> bool:
    """Whether there is a checkpoint, be it the one before: a kill between two renames leaves that alone."""
    return path.exists() or before(path).exists()


def restore(path: Path, step: TrainingStep, schedule: Schedule, *, owner: str = "") -> Log:
    """Load the newest checkpoint that is whole into the step and the schedule and return its log.

    If that is the one before, a line on stderr says so. Raises UserError if both are damaged, or another `owner`'s.
    """
    state = step.rule.ranks.told(lambda: _newest(path, owner))  # process 0 reads for all
    try:
        step.model.load_state_dict(state["model"])
        restore_optimizer(step.optimizer, state["optimizer"])
        step.rule.restore(state["rule"])
        step.sums.copy_(state["sums"])
        schedule.restore(state["schedule"])
        log = Log.of(state["log"])
    except (RuntimeError, KeyError, ValueError, TypeError) as error:
        raise UserError(f"{path}: damaged checkpoint ({first_line(error)}); {_mend(path)}") from error
    log.resumed += 1
    return log


def _newest(path: Path, owner: str) -> dict[str, Any]:
    """The state of the newest checkpoint that is whole; a newer, damaged one is put aside as <name>.damaged."""
    problems = []
    for candidate in (path, before(path)):
        if not candidate.exists():
            continue
        try:
            state = read(candidate)
            if state.get("owner") != owner:
                raise UserError(f"{candidate}: damaged checkpoint (of another network, {state.get('owner')})")
        except UserError as error:
            problems.append(str(error))
            continue
        if problems:
            print(f"warning: {problems[0]}; going on from the one before, step {state['log']['position']['step']}", file=sys.stderr)
            path.replace(path.with_name(f"{path.name}.damaged"))
        return state
    raise UserError(f"{'; '.join(problems)}; {_mend(path)}")


def read(path: Path) -> dict[str, Any]:
    """The state that a checkpoint holds, every byte of it verified; raises UserError for a damaged file."""
    check_plain(path)
    try:
        with path.open("rb") as file:
            checksum, left = hashlib.sha256(), path.stat().st_size - CHECKSUM_BYTES
            file.seek(max(left - ZIP_END_BYTES, 0))
            if file.read(len(ZIP_END)) != ZIP_END:
                raise UserError(f"{path}: damaged checkpoint (it does not end as it was written)")
            file.seek(0)
            while left > 0 and (block := file.read(min(left, 2**20))):
                checksum.update(block)
                left -= len(block)
            if left != 0 or file.read() != checksum.digest():
                raise UserError(f"{path}: damaged checkpoint (its checksum differs)")
        return torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, ValueError, TypeError, pickle.UnpicklingError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path}: damaged checkpoint ({first_line(error)})") from error


def _mend(path: Path) -> str:
    return f"delete it and {path.name}.* beside it to train this seed from the start"


def restore_optimizer(optimizer: torch.optim.Optimizer, state: dict) -> None:
    """Load an optimizer's state, but keep the settings that depend on this device, which may be another one."""
    here = [{key: group[key] for key in ("lr", "capturable") if key in group} for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for group, settings in zip(optimizer.param_groups, here, strict=True):
        group.update(settings)


class Checkpointer:
    """Saves a run's checkpoints at `path`, seldom enough to take a small share of the time."""

    def __init__(self, path: Path, step: TrainingStep, schedule: Schedule, log: Log, *, owner: str = "") -> None:
        self.path, self.step, self.schedule, self.log, self.owner = path, step, schedule, log, owner
        self.saved, self.cost = time.monotonic(), 0.0

    def save_if_due(self, *, within_epoch: bool = False) -> None:
        """Save, unless the last checkpoint is too recent for what it cost, or for one within an epoch."""
        self.save_if_told_to_stop()
        began = time.monotonic()
        if began - self.saved < max(self.cost / TIME_SHARE, SECONDS_WITHIN_EPOCH if within_epoch else 0.0):
            return
        save(self.path, self.step, self.schedule, self.log, owner=self.owner)
        self.saved = time.monotonic()
        self.cost = self.saved - began

    def save_if_told_to_stop(self) -> None:
        """Save and raise Stopped, if this process is to stop; to be called wherever the state is whole."""
        if stop.requested():
            save(self.path, self.step, self.schedule, self.log, owner=self.owner)
            stop.check()


class Following(Checkpointer):
    """The checkpointer of any process but the first: its state is the first's, which saves it; it goes on until that one stops."""

    def save_if_due(self, *, within_epoch: bool = False) -> None:
        """Nothing."""

    def save_if_told_to_stop(self) -> None:
        """Nothing."""
