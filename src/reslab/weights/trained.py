"""Networks trained here: one of an experiment, from its checkpoint if there is one, to its weights, history and record."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from reslab import config
from reslab.data import prepared
from reslab.experiment.assemble import Run, assemble
from reslab.experiment.bound import bound
from reslab.runs import processes, records
from reslab.runs.folders import SeedFolder
from reslab.runs.jobs import Job
from reslab.training import checkpoint
from reslab.training.evaluation import ScoringStep, scoring
from reslab.training.execution import hardware, levels
from reslab.training.log import Log
from reslab.training.loop import in_turns
from reslab.training.step import TrainingStep
from reslab.training.turns import finished
from reslab.weights.file import save_weights


def train_network(job: Job) -> Iterator[None]:
    """Train one network to the end, from its checkpoint if there is one, and leave the results in its seed folder.

    A generator: where it yields, other networks on the same device may take their turn.
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
        processes.report(job.seed, log.position.step, network.budget.steps, "preparing")
        execute, level = levels.choose_level(step, work(job, network))
        if not log.diverged:  # killed between the last checkpoint and the record, a diverged run has nothing left to do
            scorings = {name: (scored, levels.record_scoring(scored, level)) for name, scored in network.scoring_steps().items()}
            yield from train(step, execute, network, scorings, log, folder.checkpoint, job.seed)
        mean, std = experiment.normalization(data)
        hardware_facts = hardware.describe(device) | {"engine": asdict(level), "at_once": job.at_once}
        publish(job, network, log, folder, hardware_facts=hardware_facts, normalization={"mean": mean, "std": std})


def work(job: Job, network: Run) -> levels.Work:
    """What the run computes, for the choice of how."""
    counts = job.description["model"]
    steps = network.budget.steps
    return levels.Work(counts["multiply_adds"], counts["conv_layers"], steps * network.feed.batch_sizes[0], steps)


def train(
    step: TrainingStep,
    execute: levels.Execute,
    network: Run,
    scorings: dict[str, tuple[ScoringStep, levels.Execute]],
    log: Log,
    path: Path,
    seed: int,
) -> Iterator[None]:
    """Run the epochs that are still to do; score and log each, with a checkpoint now and then."""
    total, pace = network.budget.steps, checkpoint.Pace()
    for epoch in in_turns(step, network.schedule, total_steps=total, position=log.position, execute=execute):
        processes.heartbeat(seed, log.position.step, total)
        if epoch is not None:
            scores = {}
            for split, scoring_step in scorings.items():
                scores[split] = yield from scoring(*scoring_step)
            log.add(epoch, scores)
            processes.report(seed, epoch.step, total, f"test error {scores['test'].error:.1%}")
        pace.save_if_due(path, step, network.schedule, log, within_epoch=epoch is None)
        yield


def train_alone(job: Job) -> None:
    """Train one network that has the process to itself."""
    finished(train_network(job))


def publish(job: Job, network: Run, log: Log, folder: SeedFolder, *, hardware_facts: dict, normalization: dict) -> None:
    """Write weights, history and record into the seed folder, all or nothing.

    With the weights goes their `normalization` written out, where the description may have a mean image's checksum.
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
    processes.report(job.seed, network.budget.steps, network.budget.steps, record["status"])
