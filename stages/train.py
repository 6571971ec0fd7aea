"""Train an experiment, once per seed: `python stages/train.py EXPERIMENT metrics/models/EXPERIMENT.json data/runs/EXPERIMENT`.

On a CPU each seed trains in a process of its own, as many at once as there are cores; on a GPU they train together in this one,
as many as there is room for. RESLAB_WORKERS limits their number. A seed's state is in checkpoints/<identity>/seed<k>: an
interrupted seed resumes, a finished one is not trained again.
"""

import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

import reslab.training
from reslab import config, git
from reslab.data import prepared
from reslab.environment import count_from_environment, cpu_count, project_root
from reslab.errors import run
from reslab.experiment.assemble import Run, assemble
from reslab.experiment.bound import bound
from reslab.runs import processes, records
from reslab.runs.folders import SeedFolder, output_locked
from reslab.runs.identity import identity
from reslab.runs.progress import Display, display
from reslab.runs.shared_gpu import MOST, run_together
from reslab.tracking import BackgroundLog, TrainedNetwork
from reslab.training import checkpoint, loop
from reslab.training.execution import hardware, levels
from reslab.training.execution.executor import Executor, TakeTurn, alone
from reslab.training.log import Log
from reslab.weights.file import save_weights


@dataclass(frozen=True)
class Job:
    """One network to train: what a training process is given."""

    experiment: str
    description: dict
    identity: str
    seed: int
    data: Path
    code: dict  # commit and dirty flag, read when the stage started
    at_once: int  # the largest number of networks that share the machine or the GPU


def train_network(job: Job, take_turn: TakeTurn = alone) -> None:
    """Train one network to the end, from its checkpoint if there is one, and leave the results in its seed folder.

    `take_turn` lets other networks on the same GPU run (runs/shared_gpu.py).
    """
    folder = SeedFolder.of(job.identity, job.seed)
    with folder.locked():
        if folder.finished.exists():
            return
        experiment = bound(config.from_sections(job.experiment, job.description["config"]))
        device = hardware.choose_device()
        hardware.prepare(device, precision=experiment.train.precision, fast=experiment.train.fast)
        data = prepared.load(job.data)
        network = assemble(experiment, data, seed=job.seed, device=device)
        step, log = network.step(), Log()
        if folder.checkpoint.exists():
            log = checkpoint.restore(folder.checkpoint, step, network.schedule)
        reporter = processes.Reporter(job.seed, network.budget.steps)
        reporter.report(log.position.step, "preparing")
        launch, level = levels.choose_level(step, work(job, network))
        loop.train(
            Executor(step, launch, take_turn),
            network.schedule,
            network.budget,
            log,
            scorers={
                split: Executor(scoring, levels.record_scoring(scoring, level), take_turn)
                for split, scoring in network.scoring_steps().items()
            },
            checkpointer=checkpoint.Checkpointer(folder.checkpoint, step, network.schedule, log),
            reporter=reporter,
        )
        mean, std = experiment.normalization(data)
        hardware_facts = hardware.describe(device) | {"engine": asdict(level), "at_once": job.at_once}
        record = publish(job, network, log, folder, hardware_facts=hardware_facts, normalization={"mean": mean, "std": std})
        reporter.report(network.budget.steps, record["status"])


def work(job: Job, network: Run) -> levels.Work:
    """The work of the run, by which its level of execution is chosen."""
    counts = job.description["model"]
    steps = network.budget.steps
    return levels.Work(counts["multiply_adds"], counts["conv_layers"], steps * network.feed.batch_sizes[0], steps)


def publish(job: Job, network: Run, log: Log, folder: SeedFolder, *, hardware_facts: dict, normalization: dict) -> dict:
    """Write weights, history and record into the seed folder, all or nothing; return the record.

    The weights carry their `normalization` in full; a description may have the checksum of a mean image in its place.
    """
    draft = folder.start_draft()
    save_weights(draft / "model.safetensors", network.result, job.description | {"normalization": normalization})
    records.write_history(draft / "history.csv", log.history)
    record = {
        "identity": job.identity,
        "seed": job.seed,
        "status": "diverged" if log.diverged else "finished",
        **log.summary(),
        "config": job.description["config"],
        **job.description["model"],
        "dataset_checksum": job.description["dataset"]["checksum"],
        **hardware_facts,
        "precision": network.rule.precision.name,
        "layout": "channels_last",
        **job.code,
    }
    records.write_record(draft / "record.json", record)
    folder.finish()
    return record


def main(
    experiment: str,
    description: Path,
    output: Path,
    params: Path = Path("params.yaml"),
    data: Path = Path("data/prepared"),
) -> None:
    """Train EXPERIMENT as its DESCRIPTION says for every seed of the study, and put the networks into OUTPUT."""
    study, described = config.load(params), records.read_record(description)
    key = identity(described, Path(reslab.training.__file__).parent)
    code = git.commit_state()
    device, at_once = hardware.choose_device(), networks_at_once(len(study.seeds))
    jobs = [Job(experiment, described, key, seed, data, code, at_once) for seed in study.seeds]
    processes.end_with_dvc()
    log = BackgroundLog(project_root(), study.name)
    with output_locked(output), display(experiment, study.seeds) as shown, log:
        shutil.rmtree(output, ignore_errors=True)
        for job in train_all(jobs, device, shown):
            shutil.copytree(SeedFolder.of(key, job.seed).finished, output / f"seed{job.seed}")
            log.log(TrainedNetwork.read(experiment, output / f"seed{job.seed}"))


def train_all(jobs: list[Job], device: torch.device, shown: Display) -> Iterator[Job]:
    """Train all networks, on a CPU in a process each, on a GPU together in this one; yield each job when it is done."""
    if device.type == "cpu":
        return processes.run_all(train_network, jobs, workers=jobs[0].at_once, display=shown)
    processes.report_to(shown)
    os.environ.setdefault("RESLAB_DECODERS", str(max(1, (cpu_count() - 1) // jobs[0].at_once)))  # every network decodes its images
    return run_together(train_network, jobs, device=device, most=jobs[0].at_once)


def networks_at_once(networks: int) -> int:
    """The number of networks that train at once: RESLAB_WORKERS, else one a core, or as many as a GPU has room for."""
    most = MOST if hardware.choose_device().type == "cuda" else cpu_count()
    return count_from_environment("RESLAB_WORKERS", min(networks, most))


if __name__ == "__main__":
    run(main)
