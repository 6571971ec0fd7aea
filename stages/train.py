"""Train an experiment, once per seed: `python stages/train.py EXPERIMENT metrics/models/EXPERIMENT.json data/runs/EXPERIMENT`.

On a CPU each seed trains in a process of its own, as many at once as there are cores; on a GPU they train together in this one,
as many as fit into its memory. RESLAB_WORKERS limits their number. A seed's state is in checkpoints/<identity>/seed<k>: an
interrupted seed resumes, a finished one is not trained again.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import reslab
from reslab import config, git, stop, storage
from reslab.environment import count_from_environment, cpu_count, may_have_gpu, project_root
from reslab.errors import run
from reslab.runs import network_files, processes, records
from reslab.runs.environments import differing
from reslab.runs.folders import SeedFolder, output_locked
from reslab.runs.identity import identity
from reslab.runs.jobs import Job
from reslab.runs.processes import Listener, Listeners
from reslab.runs.progress import display
from reslab.tracking import BackgroundLog, TrainedNetwork


def main(
    experiment: str,
    description: Path,
    output: Path,
    params: Path = Path("params.yaml"),
    data: Path = Path("data/prepared"),
) -> None:
    """Train EXPERIMENT by its DESCRIPTION for every seed of the study, and put the networks into OUTPUT."""
    study, described = config.load(params), records.read_record(description)
    key = identity(described, Path(reslab.__path__[0], "training"))
    code, on_gpu = git.commit_state(), may_have_gpu() and has_gpu()
    at_once = networks_at_once(len(study.seeds), on_gpu=on_gpu)
    jobs = [Job(experiment, described, key, seed, data, code, at_once) for seed in study.seeds]
    log = BackgroundLog(project_root(), study.name)
    with output_locked(output), display(experiment, study.seeds) as shown, log:
        shutil.rmtree(output, ignore_errors=True)
        try:
            with stop.cooperating():
                for job in train_all(jobs, Listeners(shown, log), on_gpu=on_gpu):
                    take_over(SeedFolder.of(key, job.seed).finished, output / f"seed{job.seed}")
                    log.log(TrainedNetwork.read(experiment, output / f"seed{job.seed}"))
            warn_of_mixed(experiment, output)
        except stop.Stopped:
            for job in jobs:
                if (killed := SeedFolder.of(key, job.seed).draft / "record.json").exists():
                    log.log(TrainedNetwork.read(experiment, killed.parent))
            raise


def warn_of_mixed(experiment: str, output: Path) -> None:
    """Say on stderr if the seeds in OUTPUT were trained on different devices, threads, precisions or versions of torch."""
    differ = differing(records.read_record(path, older=True) for path in sorted(output.glob("seed*/record.json")))
    if differ:
        print(
            f"warning: {experiment}: its seeds differ in {', '.join(differ)}; errors may differ by it, and times are not averaged",
            file=sys.stderr,
        )


def take_over(finished: Path, output: Path) -> None:
    """Copy a finished network to where DVC expects it."""
    with storage.writing(output):
        shutil.copytree(finished, output)


def train_all(jobs: list[Job], listener: Listener, *, on_gpu: bool) -> Iterator[Job]:
    """Train the networks of all jobs, on a CPU in a process each, on a GPU together in this one; yield each as it finishes.

    A network that was finished before is verified and yielded at once: no process is started for it. Raises UserError, before
    anything is trained, if one of its files is damaged.
    """
    finished = [job for job in jobs if SeedFolder.of(job.identity, job.seed).finished.exists()]
    for job in finished:
        network_files.check_finished(SeedFolder.of(job.identity, job.seed).finished, identity=job.identity, seed=job.seed)
    yield from finished
    if remaining := [job for job in jobs if job not in finished]:
        yield from (train_on_gpu(remaining, listener) if on_gpu else train_on_cpu(remaining, listener))


def train_on_cpu(jobs: list[Job], listener: Listener) -> Iterator[Job]:
    """Train each network in a process of its own."""
    return processes.run_all(train_network, jobs, workers=jobs[0].at_once, display=listener)


def train_network(job: Job) -> None:
    """Train one network; torch is loaded here only, in the network's own process."""
    from reslab.weights import trained

    trained.train_network(job)


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


def networks_at_once(networks: int, *, on_gpu: bool) -> int:
    """The largest number of networks that train at once: RESLAB_WORKERS, else one a core, or as many as a GPU has room for."""
    most = cpu_count()
    if on_gpu:
        from reslab.runs.shared_gpu import MOST as most
    return count_from_environment("RESLAB_WORKERS", min(networks, most))


if __name__ == "__main__":
    run(main)
