"""Train an experiment, once per seed: `python stages/train.py EXPERIMENT metrics/models/EXPERIMENT.json data/runs/EXPERIMENT`.

Each seed trains in a process of its own, as many at once as there are cores (one on a GPU; RESLAB_WORKERS overrides). Its state
lives in checkpoints/<identity>/seed<k>: an interrupted seed resumes, a finished one is taken as it is.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import torch

import reslab.training
from reslab import config, provenance, records, workers
from reslab.data import prepared
from reslab.errors import run
from reslab.experiment import Run, assemble, normalization
from reslab.progress import display
from reslab.store import SeedFolder, identity, output_locked, project_root
from reslab.tracking import Store, TrainedNetwork, attempt
from reslab.training import checkpoint, hardware
from reslab.training.engine import fit
from reslab.training.evaluation import evaluate
from reslab.training.log import Log
from reslab.training.losses import cross_entropy


@dataclass(frozen=True)
class Job:
    """What a training process is told."""

    experiment: str
    description: dict
    identity: str
    seed: int
    data: Path
    code: dict  # commit and dirty flag, read when the stage started


def train_network(job: Job) -> None:
    """Train one network to the end, from its checkpoint if there is one, and leave the results in its seed folder."""
    folder = SeedFolder.of(job.identity, job.seed)
    with folder.locked():
        if folder.finished.exists():
            return
        experiment = config.from_sections(job.experiment, job.description["config"])
        device = hardware.choose_device()
        hardware.prepare(device, precision=experiment.train.precision, fast=experiment.train.fast)
        data = prepared.load(job.data)
        network = assemble(experiment, data, seed=job.seed, device=device)
        log = Log()
        if folder.checkpoint.exists():
            log = checkpoint.restore(folder.checkpoint, network.model, network.optimizer, network.schedule, network.rule)
        if not log.diverged:  # killed between the last checkpoint and the record, a diverged run has nothing left to do
            train(network, log, folder.checkpoint, job.seed)
        mean, std = normalization(experiment, data)
        publish(job, network, log, folder, device=device, normalization={"mean": mean, "std": std})


def train(network: Run, log: Log, path: Path, seed: int) -> None:
    """Run the epochs that are still to do; score and log each, with a checkpoint now and then."""
    total = network.budget.steps
    epochs = fit(
        network.model,
        network.optimizer,
        network.schedule,
        network.loss,
        lambda epoch: workers.watched(network.training_epoch(epoch), seed, log.step, total),
        total_steps=total,
        first_epoch=log.epoch + 1,
        first_step=log.step,
        rule=network.rule,
    )
    pace = checkpoint.Pace()
    for epoch in epochs:
        scores = {
            split: evaluate(network.result, batches(), cross_entropy(), precision=network.rule.precision, average=network.average)
            for split, batches in network.held_out.items()
        }
        log.add(epoch, scores)
        workers.report(seed, epoch.step, total, f"test error {scores['test'].error:.1%}")
        pace.save_if_due(path, network.model, network.optimizer, network.schedule, log, network.rule)


def publish(job: Job, network: Run, log: Log, folder: SeedFolder, *, device: torch.device, normalization: dict) -> None:
    """Write weights, history and record into the seed folder, all or nothing.

    With the weights goes their `normalization` written out, where the description may have a mean image's checksum.
    """
    draft = folder.start_draft()
    checkpoint.save_weights(draft / "model.safetensors", network.result, job.description | {"normalization": normalization})
    records.write_history(draft / "history.csv", log.history)
    record = {
        "identity": job.identity,
        "seed": job.seed,
        "status": "diverged" if log.diverged else "finished",
        **log.summary(),
        "config": job.description["config"],
        **job.description["model"],
        "dataset_checksum": job.description["dataset"]["checksum"],
        **hardware.describe(device),
        "precision": network.rule.precision.name,
        "layout": "channels_last",
        **job.code,
    }
    records.write_record(draft / "record.json", record)
    folder.finish()
    workers.report(job.seed, network.budget.steps, network.budget.steps, record["status"])


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
    code = provenance.commit_state()
    jobs = [Job(experiment, described, key, seed, data, code) for seed in study.seeds]
    workers.end_with_dvc()
    with output_locked(output), display(experiment, study.seeds) as shown:
        shutil.rmtree(output, ignore_errors=True)
        for job in workers.run_all(train_network, jobs, workers=worker_count(len(jobs)), display=shown):
            shutil.copytree(SeedFolder.of(key, job.seed).finished, output / f"seed{job.seed}")
            trained = TrainedNetwork.read(experiment, output / f"seed{job.seed}")
            attempt(lambda trained=trained: Store(project_root(), study.name).log(trained), trained.name)


def worker_count(networks: int) -> int:
    """How many networks train at once: RESLAB_WORKERS, else one a core, or one on a GPU."""
    on_gpu = hardware.choose_device().type == "cuda"
    return hardware.count_from_environment("RESLAB_WORKERS", 1 if on_gpu else min(networks, hardware.cpu_count()))


if __name__ == "__main__":
    run(main)
