"""The engine `local`: networks of any experiment on this machine's cores, or packed on its GPUs, the longest first."""

import os
from collections.abc import Callable

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
        for bundle in processes.run_all(train_on, bundles(networks), workers=visible_gpus(), display=Silent()):
            for network in networks:
                if network.job in bundle.jobs:
                    done(network)
        return
    of_job = {id(network.job): network for network in networks}
    for alike in by_numerics([network.job for network in networks]):
        for job in processes.run_all(train_here, alike, workers=at_once(cluster), display=Silent()):
            done(of_job[id(job)])


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


def bundles(networks: list[Network]) -> list[Bundle]:
    """The networks spread over the GPUs, each to the one with the fewest so far: the longest are first, so they are spread too."""
    named = os.environ.get("RESLAB_DEVICE", "")
    made = [Bundle(named if ":" in named else f"cuda:{number}", []) for number in range(visible_gpus())]
    for place, network in enumerate(networks):
        made[place % len(made)].jobs.append(network.job)
    return [bundle for bundle in made if bundle.jobs]


def visible_gpus() -> int:
    """The GPUs that this process sees: one if RESLAB_DEVICE names it."""
    import torch

    return 1 if ":" in os.environ.get("RESLAB_DEVICE", "") else torch.cuda.device_count()
