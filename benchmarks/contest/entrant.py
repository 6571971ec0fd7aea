"""One loop in processes of its own, driven segment by segment."""

from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import torch

from contest.clocks import Clock, peak_memory
from contest.processes import begin, fresh, result_of
from loops import build
from loops.job import Job, Loop


@dataclass(frozen=True)
class Start:
    """The first epoch, with everything that happens once: building, compiling, capturing, searching for kernels."""

    build_seconds: float  # from an imported torch to a loop that is ready
    first_epoch_seconds: float


@dataclass(frozen=True)
class Segment:
    """Some epochs and one evaluation; `waited` of `seconds` were spent before the epochs' first batches came."""

    epochs: int
    images: int
    seconds: float
    cpu_seconds: float
    waited: float
    evaluation_seconds: float
    evaluation_cpu_seconds: float
    error: float
    peak_bytes: int


class Driven(Protocol):
    """What takes part in a contest."""

    name: str

    def start(self) -> dict:
        """Get ready, and say what the first epoch took."""

    def segment(self, epochs: int) -> Segment:
        """Train so many epochs and evaluate once."""

    def close(self) -> None:
        """End its processes."""


class _Here:
    """The loop of the process that this is."""

    loop: Loop
    device: torch.device


def _start(loop: str, job: Job) -> Start:
    _Here.device = torch.device(job.device)
    clock = Clock(_Here.device)
    _Here.loop = build(loop, job)
    built, _ = clock.read()
    _Here.loop.train(1)
    return Start(built, clock.read()[0] - built)


def _segment(epochs: int) -> Segment:
    clock = Clock(_Here.device)
    work = _Here.loop.train(epochs)
    seconds, cpu = clock.read()
    clock = Clock(_Here.device)
    error = _Here.loop.evaluate()
    evaluation = clock.read()
    return Segment(epochs, work.images, seconds, cpu, work.waited, *evaluation, error, peak_memory(_Here.device))


class Entrant:
    """A loop under a name. On a GPU ours trains all seeds in one process; others, and all on a CPU, have a process for each seed.

    `variables` are of the environment of its processes, which end `until` then at the latest.
    """

    def __init__(
        self, name: str, loop: str, job: Job, *, variables: Mapping[str, str] | None = None, until: float = float("inf")
    ) -> None:
        self.name, self.loop, self.until = name, loop, until
        apart = job.device == "cpu" or loop != "ours"
        self.jobs = [replace(job, seeds=(seed,)) for seed in job.seeds] if apart else [job]
        options = {"mp_context": fresh(), "initializer": begin, "initargs": (dict(variables or {}), until)}
        self.pools = [ProcessPoolExecutor(1, **options) for _ in self.jobs]

    def _together(self, function: Callable, arguments: list[tuple]) -> list[Any]:
        futures = [pool.submit(function, *each) for pool, each in zip(self.pools, arguments, strict=True)]
        return [result_of(future, self.until) for future in futures]

    def start(self) -> dict:
        """Build the loops and train the first epoch; the slowest process counts."""
        starts = [asdict(start) for start in self._together(_start, [(self.loop, job) for job in self.jobs])]
        return {key: max(start[key] for start in starts) for key in starts[0]}

    def segment(self, epochs: int) -> Segment:
        """Train all seeds: images, CPU seconds and memory add up, the slowest process's wall clock counts."""
        parts = [asdict(part) for part in self._together(_segment, [(epochs,)] * len(self.jobs))]
        sums = {key: sum(part[key] for part in parts) for key in ("images", "cpu_seconds", "evaluation_cpu_seconds", "peak_bytes")}
        most = {key: max(part[key] for part in parts) for key in ("epochs", "seconds", "waited", "evaluation_seconds")}
        return Segment(**sums, **most, error=sum(part["error"] for part in parts) / len(parts))

    def close(self) -> None:
        """End its processes, without waiting for each in turn."""
        for pool in self.pools:
            pool.shutdown(wait=False, cancel_futures=True)
