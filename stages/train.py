"""Train an experiment, once per seed: `python stages/train.py EXPERIMENT metrics/models/EXPERIMENT.json data/runs/EXPERIMENT`.

On a CPU each seed trains in a process of its own, as many at once as there are cores; on a GPU they train together in this one,
as many as fit into its memory. RESLAB_WORKERS limits their number. With RESLAB_PROCESSES=N each network is trained by N processes
together, and so it is where torchrun starts this file (runs/spread.py). A seed's state is in checkpoints/<identity>/seed<k>: an
interrupted seed resumes, a finished one is not trained again.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import reslab
from reslab import config, git, stop, storage
from reslab.config.start import describes
from reslab.environment import PROCESSES, by_torchrun, count_from_environment, cpu_count, may_have_gpu, project_root
from reslab.errors import UserError, run
from reslab.runs import network_files, processes, records
from reslab.runs.environments import differing
from reslab.runs.folders import SeedFolder, output_locked, remove_output
from reslab.runs.identity import identity
from reslab.runs.jobs import Job
from reslab.runs.processes import Listener, Listeners
from reslab.runs.progress import display
from reslab.runs.ranks import ALONE, Ranks
from reslab.tracking import BackgroundLog, TrainedNetwork
from reslab.training.execution import numerics


def main(
    experiment: str,
    description: Path,
    output: Path,
    params: Path = Path("params.yaml"),
    data: Path = Path("data/prepared"),
) -> None:
    """Train EXPERIMENT by its DESCRIPTION for every seed of the study, and put the networks into OUTPUT."""
    study, described = config.load(params), records.read_record(description)
    if not describes(described, study.experiment(experiment)):
        raise UserError(f"{description}: does not describe {experiment} as it is now; run `dvc repro describe`")
    wish = numerics.chosen(study.experiment(experiment).train.numerics)
    numerics.pin(wish)  # before torch is loaded, here or in a process that inherits it
    on_gpu = may_have_gpu() and has_gpu()
    with joined() as ranks:
        code = ranks.told(git.commit_state)
        count = processes_of_a_network() if ranks.alone else ranks.count
        key = identity(described, Path(reslab.__path__[0], "training"), processes=count)
        at_once = networks_at_once(len(study.seeds), on_gpu=on_gpu, processes=count)
        jobs = [Job(experiment, described, key, seed, data, code, at_once, count) for seed in study.seeds]
        if ranks.first:
            train_into(output, jobs, ranks, project=study.name, on_gpu=on_gpu, asked=wish)
            config.check_still(params, study, lambda now: now.seeds)
        else:
            follow(jobs, ranks)


def train_into(output: Path, jobs: list[Job], ranks: Ranks, *, project: str, on_gpu: bool, asked: str) -> None:
    """Train the networks of an experiment and put them into OUTPUT, with progress on the terminal and in MLflow."""
    experiment, key = jobs[0].experiment, jobs[0].identity
    log = BackgroundLog(project_root(), project)
    with output_locked(output), display(experiment, [job.seed for job in jobs]) as shown, log:
        remove_output(output, *(f"seed*/{name}" for name in network_files.OF_NETWORK))
        try:
            with stop.cooperating():
                for job in train_all(jobs, Listeners(shown, log), ranks, on_gpu=on_gpu):
                    take_over(SeedFolder.of(key, job.seed).finished, output / f"seed{job.seed}")
                    log.log(TrainedNetwork.read(experiment, output / f"seed{job.seed}"))
            warn_of_environments(experiment, output, asked=asked)
        except stop.Stopped:
            for job in jobs:
                if (killed := SeedFolder.of(key, job.seed).draft / "record.json").exists():
                    log.log(TrainedNetwork.read(experiment, killed.parent))
            raise


def joined() -> AbstractContextManager[Ranks]:
    """The processes that torchrun has started, this one among them; otherwise this one alone."""
    if not by_torchrun():
        return nullcontext(ALONE)
    from reslab.runs import spread

    return spread.joined_by_torchrun()


def follow(jobs: list[Job], ranks: Ranks) -> None:
    """Train what process 0 trains, without reading or writing results."""
    from reslab.weights import trained

    of_seed = {job.seed: job for job in jobs}
    with stop.cooperating():
        for seed in ranks.told(list):  # in the order of process 0
            trained.train_network(of_seed[seed], ranks=ranks)


def warn_of_environments(experiment: str, output: Path, *, asked: str) -> None:
    """Say on stderr if the seeds in OUTPUT were trained in different environments, or not in the numerics that were asked for."""
    found = [records.read_record(path, older=True) for path in sorted(output.glob("seed*/record.json"))]
    if asked == numerics.PORTABLE and any(record.get("numerics") != asked for record in found):
        print(f"warning: {experiment}: numerics are not portable here: {numerics.NEEDED}", file=sys.stderr)
    if differ := differing(found):
        print(
            f"warning: {experiment}: its seeds differ in {', '.join(differ)}; errors may differ by it, and times are not averaged",
            file=sys.stderr,
        )


def take_over(finished: Path, output: Path) -> None:
    """Copy a finished network to where DVC expects it."""
    with storage.writing(output):
        shutil.copytree(finished, output)


def train_all(jobs: list[Job], listener: Listener, ranks: Ranks = ALONE, *, on_gpu: bool) -> Iterator[Job]:
    """Train the networks of all jobs and yield each as it finishes.

    On a CPU each has a process, or as many as RESLAB_PROCESSES says; on a GPU they are together in this one; under torchrun they
    take turns. A network that was finished before is verified and yielded at once: no process is started for it. Raises UserError,
    before anything is trained, if one of its files is damaged.
    """
    finished = [job for job in jobs if SeedFolder.of(job.identity, job.seed).finished.exists()]
    for job in finished:
        network_files.check_finished(SeedFolder.of(job.identity, job.seed).finished, identity=job.identity, seed=job.seed)
    yield from finished
    remaining = [job for job in jobs if job not in finished]
    if not ranks.alone:
        yield from train_joined(remaining, listener, ranks)
    elif remaining and on_gpu and remaining[0].processes == 1:
        yield from train_on_gpu(remaining, listener)
    elif remaining:
        yield from train_in_processes(remaining, listener)


def train_in_processes(jobs: list[Job], listener: Listener) -> Iterator[Job]:
    """Train each network in a process of its own, or in several."""
    return processes.run_all(train_network, jobs, workers=jobs[0].at_once, display=listener)


def train_network(job: Job) -> None:
    """Train one network; torch is loaded here only, in the network's own process."""
    from reslab.weights import trained

    trained.train_in_processes(job)


def train_joined(jobs: list[Job], listener: Listener, ranks: Ranks) -> Iterator[Job]:
    """Train one network after the other together with the processes that `follow`."""
    from reslab.weights import trained

    processes.report_to(listener)
    ranks.told(lambda: [job.seed for job in jobs])
    for job in jobs:
        trained.train_network(job, ranks=ranks)
        yield job


def train_on_gpu(jobs: list[Job], listener: Listener) -> Iterator[Job]:
    """Train all networks in this process."""
    from reslab.runs.shared_gpu import run_together
    from reslab.training.execution import hardware
    from reslab.weights import trained

    processes.report_to(listener)
    os.environ.setdefault("RESLAB_DECODERS", str(max(1, (cpu_count() - 1) // jobs[0].at_once)))  # every network decodes its images
    return run_together(trained.train_network, jobs, device=hardware.choose_device(), most=jobs[0].at_once)


def has_gpu() -> bool:
    """Whether the networks train on a GPU; raises UserError for a RESLAB_DEVICE that cannot be used."""
    from reslab.training.execution import hardware

    return hardware.choose_device().type == "cuda"


def networks_at_once(networks: int, *, on_gpu: bool, processes: int = 1) -> int:
    """The largest number of networks that train at once: RESLAB_WORKERS, else one a core, or as many as a GPU has room for.

    Where several processes train a network, those of as many networks as there are cores for; of GPUs, one network has all.
    """
    most = cpu_count() // processes
    if on_gpu:
        from reslab.runs.shared_gpu import MOST

        most = MOST if processes == 1 else 1
    return count_from_environment("RESLAB_WORKERS", max(1, min(networks, most)))


def processes_of_a_network() -> int:
    """The number of processes that train each network: RESLAB_PROCESSES, a number or `gpus` for one a GPU; by default one."""
    if os.environ.get(PROCESSES) != "gpus":
        return count_from_environment(PROCESSES, 1)
    from reslab.runs import spread

    return spread.one_a_gpu()


if __name__ == "__main__":
    run(main)
