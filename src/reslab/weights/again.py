"""Networks of committed records, trained again: what came out, beside what the record says."""

import math
import os
import secrets
import shutil
import statistics
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import reslab
from reslab import git
from reslab.config.start import as_written
from reslab.config.study import Study
from reslab.data.prepared import Prepared
from reslab.environment import count_from_environment, cpu_count
from reslab.experiment.description import description
from reslab.runs import network_files, processes, records
from reslab.runs.environments import ENVIRONMENT, OLDER
from reslab.runs.folders import SeedFolder
from reslab.runs.identity import identity
from reslab.runs.jobs import Job
from reslab.runs.processes import Listener
from reslab.training.execution import hardware
from reslab.weights.trained import train_network

SETTINGS = {"RESLAB_NUMERICS": "numerics", "RESLAB_THREADS": "threads", "RESLAB_ENGINE": "engine"}  # variable -> key of a record
_THIS_COMMAND = secrets.token_hex(4)  # a number of the process could be that of a killed one
TOLD = (*ENVIRONMENT, "cuda", "python", "commit")  # in what two trainings may differ


@dataclass(frozen=True)
class Committed:
    """A network as git has it: its record after evaluate, its history, and the spread of its experiment's errors over seeds."""

    experiment: str
    record: dict[str, Any]
    history: list[dict[str, float]]
    spread: float  # standard deviation, a fraction; NaN with fewer than two seeds that did not diverge

    @property
    def seed(self) -> int:
        return self.record["seed"]

    @property
    def settings(self) -> dict[str, str]:
        """The environment variables that bring back how it was trained."""
        values = {name: self.record.get(key) for name, key in SETTINGS.items()}
        values["RESLAB_ENGINE"] = (values["RESLAB_ENGINE"] or {}).get("level")
        return {name: str(value) for name, value in values.items() if value}


@dataclass(frozen=True)
class Again:
    """A committed network beside the same one trained here."""

    committed: Committed
    record: dict[str, Any]
    history: list[dict[str, float]]

    @property
    def same_weights(self) -> bool:
        """Whether the file of weights has the same bytes."""
        expected = network_files.checksum_of(self.committed.record, network_files.WEIGHTS)
        return expected is not None and expected == network_files.checksum_of(self.record, network_files.WEIGHTS)

    @property
    def first_difference(self) -> int | None:
        """The first epoch of which a loss or an error differs in any digit; None if none does."""
        pairs = zip_longest(self.committed.history, self.history)
        return next((epoch for epoch, (one, other) in enumerate(pairs, 1) if repr(one) != repr(other)), None)

    @property
    def same(self) -> bool:
        """Whether nothing differs: the weights, or every loss and error where an older version described its weights otherwise."""
        return self.same_weights or self.first_difference is None

    @property
    def difference(self) -> float:
        """The test error here less the committed one, a fraction."""
        return self.record["test_error"] - self.committed.record["test_error"]

    def environment(self) -> Iterator[tuple[str, Any, Any]]:
        """In what the two trainings differ: what it is, then, now."""
        then, now = (OLDER | record for record in (self.committed.record, self.record))
        yield from ((key, then[key], now.get(key)) for key in TOLD if key in then and then[key] != now.get(key))


def committed(folder: Path, experiments: Iterable[str], seeds: Iterable[int] | None) -> list[Committed]:
    """The networks that FOLDER/runs and FOLDER/history tell of; raises UserError if one is damaged."""
    found = []
    for name in experiments:
        record = network_files.experiment_record(folder / "runs" / f"{name}.json", older=True)
        path = folder / "history" / f"{name}.csv"
        rows = records.read_history(path, network_files.checksum_of(record, path.name))
        errors = [run["test_error"] for run in record["runs"] if run["status"] != "diverged"]
        spread = statistics.stdev(errors) if len(errors) > 1 else math.nan
        for run in record["runs"]:
            if seeds is None or run["seed"] in seeds:
                found.append(Committed(name, run, [_without_seed(row) for row in rows if row["seed"] == run["seed"]], spread))
    return found


def _without_seed(row: Mapping[str, float]) -> dict[str, float]:
    return {key: value for key, value in row.items() if key != "seed"}


def described(study: Study, experiment: str, data: Prepared, stored: Path, expected: str) -> dict:
    """The description of an experiment: the stored one if it is that of these sections and of the `expected` identity, else anew.

    What is stored must not name other code than params.yaml, which the user has agreed to.
    """
    made = study.experiment(experiment)
    if stored.is_file():
        found = records.read_record(stored)
        if _alike(found.get("config"), made.sections) and identity(found, _sources()) == expected:
            return found
    return description(made, data)


def _alike(config: Any, sections: Mapping) -> bool:
    return isinstance(config, Mapping) and as_written(config) == as_written(sections)


def _sources() -> Path:
    return Path(reslab.__path__[0], "training")


def train_again(networks: list[Committed], descriptions: Mapping[str, dict], data: Path, listener: Listener) -> Iterator[Again]:
    """Train committed networks in the numerics, threads and level of their records, and yield each when it has ended.

    They are trained beside the project's own networks, under a name of their own, and deleted when they were compared.
    """
    code, on_gpu = git.commit_state(), hardware.choose_device().type == "cuda"
    at_once = 1 if on_gpu else count_from_environment("RESLAB_WORKERS", min(len(networks), cpu_count()))
    by_settings: dict[str, list[Committed]] = {}
    for network in networks:
        by_settings.setdefault(str(network.settings), []).append(network)
    try:
        for alike in by_settings.values():
            known = {(network.experiment, network.seed): network for network in alike}
            jobs = [_job(network, descriptions[network.experiment], data, code, at_once) for network in alike]
            with environment(alike[0].settings):
                for job in _trained(jobs, listener, on_gpu=on_gpu):
                    finished = SeedFolder.of(job.identity, job.seed).finished
                    yield Again(known[job.experiment, job.seed], *network_files.read(finished))
    finally:
        for described in descriptions.values():
            shutil.rmtree(SeedFolder.of(_name(described), 0).path.parent, ignore_errors=True)


def _job(network: Committed, described: dict, data: Path, code: dict, at_once: int) -> Job:
    return Job(network.experiment, described, _name(described), network.seed, data, code, at_once)


def _name(described: dict) -> str:
    """In place of the identity: of this command alone, so that nothing is taken from elsewhere."""
    return f"verify-{_THIS_COMMAND}-{identity(described, _sources())}"


def _trained(jobs: list[Job], listener: Listener, *, on_gpu: bool) -> Iterator[Job]:
    """Train in a process each, on a GPU one after another in this one."""
    if not on_gpu:
        yield from processes.run_all(train_network, jobs, workers=jobs[0].at_once, display=listener)
        return
    processes.report_to(listener)
    for job in jobs:
        train_network(job)
        yield job


@contextmanager
def environment(settings: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for what is started within; those that the user set stay."""
    added = {name: value for name, value in settings.items() if not os.environ.get(name)}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]
