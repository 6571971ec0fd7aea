"""The engine `local`: networks of any experiment on this machine's cores, or spread over its GPUs, the longest of a kind first."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace

from reslab.environment import count_from_environment, cpu_count
from reslab.errors import UserError
from reslab.grid.cluster import Cluster
from reslab.grid.networks import Network, alike
from reslab.grid.work import Bundle, decoders, each_in_turn, has_gpu, train_here, train_on, train_over
from reslab.runs import processes
from reslab.runs.jobs import Job
from reslab.runs.reports import Began, Report


class Heard:
    """Calls `done` with each network once: when it reports that it has finished, or when all have ended."""

    def __init__(self, networks: list[Network], done: Callable[[Network], None]) -> None:
        self.left, self.done = {str(network.folder.path): network for network in networks}, done

    def update(self, report: Report | Began) -> None:
        """Hear of a network, which is published before it reports its last step."""
        if isinstance(report, Report) and report.step == report.steps:
            self.look(report.network)

    def look(self, path: str) -> None:
        """See whether a network has finished."""
        if (network := self.left.get(path)) is not None and network.finished:
            del self.left[path]
            self.done(network)


def train(networks: list[Network], cluster: Cluster, done: Callable[[Network], None]) -> None:
    """Train networks, of which the longest come first, and call `done` with each that has finished.

    A process has one kind of numerics, precision and speed: the kinds follow one another, and the longest is the first of its own.
    The first failure is raised when all have ended; at once if it is a request to stop, or a process that was killed.
    """
    heard, run = Heard(networks, done), train_on_gpus if networks and has_gpu() else train_on_cores

    def train_some(some: list[Network]) -> None:
        for _ in run([network.job for network in some], cluster, heard):
            pass

    try:
        each_in_turn(train_some, alike(networks))
    finally:
        for path in list(heard.left):  # somebody else may have trained some
            heard.look(path)


def train_on_cores(jobs: list[Job], cluster: Cluster, heard: Heard) -> Iterator[processes.Job]:
    """Train each network in a process of its own, or in as many as its job says."""
    workers = max(1, min(len(jobs), at_once(cluster)))
    return processes.run_all(train_here, [replace(job, at_once=workers) for job in jobs], workers=workers, display=heard)


def train_on_gpus(jobs: list[Job], cluster: Cluster, heard: Heard) -> Iterator[processes.Job]:
    """Train several networks on each GPU, or each over several GPUs."""
    if cluster.processes == 1:
        together = bundles(jobs, gpus(), cluster.at_once)
        return processes.run_all(train_on, together, workers=len(together), display=heard)
    in_turn = groups(jobs, gpus(), cluster.processes, cluster.at_once)
    return processes.run_all(train_over, in_turn, workers=len(in_turn), display=heard)


def at_once(cluster: Cluster) -> int:
    """The networks that train at once on cores: as cluster.yaml says, else RESLAB_WORKERS, else as many as there are cores for."""
    return cluster.at_once or count_from_environment("RESLAB_WORKERS", max(1, cpu_count() // cluster.processes))


def bundles(jobs: list[Job], gpus: list[str], at_once: int | None) -> list[Bundle]:
    """The jobs spread over GPUs, each to the one with the fewest so far: the longest are first, so they are spread too.

    `at_once` networks of them all train at a time; by default as many as a GPU has room for.
    """
    from reslab.runs.shared_gpu import MOST

    named, count, made = os.environ.get("RESLAB_DEVICE", ""), min(len(gpus), len(jobs), at_once or len(gpus)), []
    for number in range(count):
        share = min(MOST, -(-(at_once - number) // count)) if at_once else MOST
        mine = tuple(replace(job, at_once=share) for job in jobs[number::count])
        made.append(Bundle((named if ":" in named else f"cuda:{number}",), mine, share))
    together = sum(min(bundle.at_once, len(bundle.jobs)) for bundle in made)
    return [replace(bundle, decoders=decoders(together)) for bundle in made]


def groups(jobs: list[Job], gpus: list[str], size: int, at_once: int | None) -> list[Bundle]:
    """The jobs spread over groups of `size` GPUs, each of which trains one network at a time.

    Raises UserError if there are not as many GPUs.
    """
    if len(gpus) < size:
        raise UserError(f"processes: {size} need as many GPUs, and {len(gpus)} are visible here; give fewer in cluster.yaml")
    count = min(len(gpus) // size, len(jobs), at_once or len(gpus))
    alone = [replace(job, at_once=1) for job in jobs]
    own = [tuple(gpus[size * number : size * (number + 1)]) for number in range(count)]
    return [Bundle(own[number], tuple(alone[number::count]), decoders=decoders(size * count)) for number in range(count)]


def gpus() -> list[str]:
    """The GPUs that this process sees, as CUDA_VISIBLE_DEVICES names them: one if RESLAB_DEVICE names it."""
    import torch

    visible = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    count = torch.cuda.device_count()
    named = os.environ.get("RESLAB_DEVICE", "").partition(":")[2]
    found = visible[:count] if len(visible) >= count else [str(number) for number in range(count)]
    return found[int(named) : int(named) + 1] if named.isdecimal() else found
