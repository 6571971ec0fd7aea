"""The engine `local`: networks of any experiment on this machine's cores, or packed on its GPUs, the longest first."""

import os
from collections.abc import Callable
from dataclasses import replace

from reslab.environment import count_from_environment, cpu_count
from reslab.grid.cluster import Cluster
from reslab.grid.networks import Network
from reslab.grid.work import Bundle, has_gpu, train_here, train_on
from reslab.runs import processes
from reslab.runs.jobs import Job
from reslab.runs.reports import Began, Report


class Silent:
    """Hears nothing: the networks leave their progress in their folders."""

    def update(self, report: Report | Began) -> None:
        """Nothing."""


def train(networks: list[Network], cluster: Cluster, done: Callable[[Network], None]) -> None:
    """Train networks, of which the longest come first, and call `done` with each that has finished."""
    if has_gpu() and cluster.processes == 1:
        bundled = bundles([network.job for network in networks], visible_gpus(), cluster.at_once)
        for bundle in processes.run_all(train_on, bundled, workers=len(bundled), display=Silent()):
            for job in bundle.jobs:
                done(Network(job))
        return
    workers = max(1, min(len(networks), at_once(cluster)))
    for alike in by_numerics([replace(network.job, at_once=workers) for network in networks]):
        for job in processes.run_all(train_here, alike, workers=workers, display=Silent()):
            done(Network(job))


def by_numerics(jobs: list[Job]) -> list[list[Job]]:
    """The jobs in one list for each kind of numerics: a process keeps the one that it began with, so each list has its own."""
    found: dict[str, list[Job]] = {}
    for job in jobs:
        found.setdefault(job.description["config"]["train"].get("numerics", ""), []).append(job)
    return list(found.values())


def at_once(cluster: Cluster) -> int:
    """The networks that train at once: as cluster.yaml says, else RESLAB_WORKERS, else as many as there are cores for."""
    if has_gpu():
        return 1
    return cluster.at_once or count_from_environment("RESLAB_WORKERS", max(1, cpu_count() // cluster.processes))


def bundles(jobs: list[Job], gpus: int, at_once: int | None) -> list[Bundle]:
    """The jobs spread over GPUs, each to the one with the fewest so far: the longest are first, so they are spread too.

    `at_once` networks of them all train at a time; by default as many as a GPU has room for.
    """
    from reslab.runs.shared_gpu import MOST

    named, gpus = os.environ.get("RESLAB_DEVICE", ""), min(gpus, len(jobs), at_once or gpus)
    made = []
    for number in range(gpus):
        share = min(MOST, -(-(at_once - number) // gpus)) if at_once else MOST
        mine = [replace(job, at_once=share) for job in jobs[number::gpus]]
        made.append(Bundle(named if ":" in named else f"cuda:{number}", mine, share))
    return made


def visible_gpus() -> int:
    """The GPUs that this process sees: one if RESLAB_DEVICE names it."""
    import torch

    return 1 if ":" in os.environ.get("RESLAB_DEVICE", "") else torch.cuda.device_count()
