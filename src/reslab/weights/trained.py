"""Networks trained here: one of an experiment, from its checkpoint if there is one, to its weights, history and record."""

from dataclasses import asdict

from reslab import config
from reslab.data import prepared
from reslab.experiment.assemble import Run, assemble
from reslab.experiment.bound import bound
from reslab.runs import processes, records
from reslab.runs.folders import SeedFolder
from reslab.runs.jobs import Job
from reslab.training import checkpoint, loop
from reslab.training.execution import hardware, levels
from reslab.training.execution.executor import Executor, TakeTurn, alone
from reslab.training.log import Log
from reslab.weights.file import save_weights


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
        launch, level = levels.choose_level(step, run_size(job, network))
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


def run_size(job: Job, network: Run) -> levels.RunSize:
    """The size of the run, by which its level of execution is chosen."""
    counts = job.description["model"]
    steps = network.budget.steps
    return levels.RunSize(counts["multiply_adds"], counts["conv_layers"], steps * network.batches.batch_sizes[0], steps)


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
