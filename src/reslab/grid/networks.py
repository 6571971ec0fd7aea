"""The networks of a study: which are finished, which are under way, and what is known of the others."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

import reslab
from reslab import storage
from reslab.config.start import describes
from reslab.config.study import Study
from reslab.errors import UserError, check_plain
from reslab.grid.queue import Ticket
from reslab.runs.checksums import read_text
from reslab.runs.folders import LOCK, SeedFolder
from reslab.runs.identity import identity
from reslab.runs.jobs import Job
from reslab.runs.records import read_record
from reslab.runs.reports import Began, Report

DESCRIPTIONS = Path("metrics/models")
PROGRESS, SUBMITTED, LOG = "progress.json", "submitted.json", "log.txt"
CANCELLED = "cancelled"  # in the note of a network's job
TAIL = 2000  # characters of a log that are looked at
LOST = ("training", "preparing")  # what the progress of a network says that ended without a word


@dataclass(frozen=True)
class Network:
    """One network of a study: an experiment and a seed."""

    job: Job

    @property
    def name(self) -> str:
        """How it is called."""
        return f"{self.job.experiment} seed {self.job.seed}"

    @property
    def folder(self) -> SeedFolder:
        """Where it is trained."""
        return SeedFolder.of(self.job.identity, self.job.seed)

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do."""
        return self.folder.finished.exists()

    def training_here(self) -> bool:
        """Whether a process that shares this file system trains it."""
        lock = self.folder.path / LOCK
        if not lock.exists():
            return False
        try:
            with FileLock(lock, blocking=False):
                return False
        except Timeout:
            return True

    def told(self, name: str) -> dict[str, Any]:
        """A small file about it, such as its progress; empty if there is none, or if it is damaged."""
        return read_note(self.folder.path / name)

    @property
    def ticket(self) -> Ticket:
        """The job that it was last given to; all empty if there is none."""
        told = self.told(SUBMITTED)
        return Ticket(*(str(told.get(name, "")) for name in Ticket._fields))

    @property
    def cancelled(self) -> bool:
        """Whether `reslab train --cancel` has ended the job that it was last given to."""
        return self.told(SUBMITTED).get(CANCELLED) is True

    @property
    def fraction(self) -> float:
        """How much of its training is done, from 0 to 1, as far as is known."""
        found = self.told(PROGRESS).get("fraction")
        return found if isinstance(found, float) else 0.0

    def tell(self, name: str, told: dict[str, Any]) -> None:
        """Write a small file about it."""
        write_note(self.folder.path / name, told)

    def tail(self) -> str:
        """The last line of its log, which it may share with the other networks of its job."""
        log = Path(str(self.told(SUBMITTED).get("log") or self.folder.path / LOG))
        if not log.is_file():  # a pipe would be waited for
            return ""
        try:
            with log.open("rb") as opened:
                opened.seek(max(0, opened.seek(0, os.SEEK_END) - TAIL))
                lines = opened.read().decode(errors="replace").strip().splitlines()
        except OSError:
            return ""
        return lines[-1] if lines else ""


def read_note(path: Path) -> dict[str, Any]:
    """What a small file says; nothing if there is none, or if it is damaged."""
    try:
        found = json.loads(read_text(path))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def write_note(path: Path, told: dict[str, Any]) -> None:
    """Write a small file in one step."""
    check_plain(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    storage.replace_text(path, json.dumps(told))


@dataclass(frozen=True)
class ProgressFiles:
    """Hears the reports of networks and leaves them in their folders, where `reslab train --status` finds them."""

    def update(self, report: Report | Began) -> None:
        """Write down where a network is."""
        if isinstance(report, Report) and report.network:
            told = {"doing": report.doing, "epoch": report.epoch, "epochs": report.epochs, "fraction": report.fraction}
            write_note(Path(report.network) / PROGRESS, told | {"row": dict(report.row)})


def of_study(study: Study, data: Path, code: dict, *, processes: int = 1, descriptions: Path = DESCRIPTIONS) -> list[Network]:
    """All networks of a study; raises UserError for an experiment that is not described, or no longer as it is."""
    sources, found = Path(reslab.__path__[0], "training"), []
    for name, experiment in study.experiments.items():
        path = descriptions / f"{name}.json"
        described = read_record(path) if path.exists() else {}
        if not describes(described, experiment):
            told = "does not describe" if described else "is missing for"
            raise UserError(f"{path}: {told} {name} as it is now; run `dvc repro describe`")
        key = identity(described, sources, processes=processes)
        jobs = [Job(name, described, key, seed, data, code, at_once=1, processes=processes) for seed in study.seeds]
        found += [Network(job) for job in jobs]
    return found


def alike(networks: list[Network]) -> list[list[Network]]:
    """The networks in one list for each kind of what a process sets for all that it trains: numerics, precision and speed."""
    found: dict[tuple, list[Network]] = {}
    for network in networks:
        train = network.job.description.get("config", {}).get("train", {})
        found.setdefault(tuple(train.get(name) for name in ("numerics", "precision", "fast")), []).append(network)
    return list(found.values())
