"""Networks trained here: one of an experiment, from its checkpoint if there is one, to its weights, history and record."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

import reslab
from reslab import config, stop
from reslab.data import prepared
from reslab.errors import UserError
from reslab.experiment.assemble import Run, assemble
from reslab.experiment.bound import bound
from reslab.experiment.own_code import check_as_described
from reslab.runs import checksums, network_files, processes, records, spread
from reslab.runs.folders import SeedFolder
from reslab.runs.jobs import Job
from reslab.runs.ranks import ALONE, Ranks
from reslab.training import checkpoint, loop
from reslab.training.execution import hardware, levels
from reslab.training.execution.executor import Executor, TakeTurn, alone
from reslab.training.log import Log
from reslab.training.step import TrainingStep
from reslab.weights.file import save_weights


def train_network(job: Job, take_turn: TakeTurn = alone, *, ranks: Ranks = ALONE) -> None:
    """Train one network to the end, from its checkpoint if there is one, and leave the results in its seed folder.

    `take_turn` lets other networks on the same GPU run (runs/shared_gpu.py). Several processes may train it: the first of `ranks`
    has the folder, and the others neither read nor write there.
    """
    folder = SeedFolder.of(job.identity, job.seed)
    with folder.locked(take_turn) if ranks.first else nullcontext():
        if ranks.told(folder.finished.exists):
            return
        train_in(folder, job, take_turn, ranks)


def train_in_processes(job: Job) -> None:
    """Train one network by as many processes of this machine as its job says; returns when it is done.

    The folder is held before the others start: what waits for them gives up after a while, and another run may hold it for days.
    """
    folder = SeedFolder.of(job.identity, job.seed)
    with folder.locked():
        if not folder.finished.exists():
            spread.train_over(train_held, job, job.processes)


def train_held(job: Job, *, ranks: Ranks = ALONE) -> None:
    """Train one network, whose folder the first of its processes holds."""
    train_in(SeedFolder.of(job.identity, job.seed), job, alone, ranks)


def train_in(folder: SeedFolder, job: Job, take_turn: TakeTurn, ranks: Ranks) -> None:
    """Train a network whose folder is held."""
    experiment = bound(config.from_sections(job.experiment, job.description["config"]))
    check_as_described(job.description)
    device = hardware.choose_device()
    train = experiment.train
    hardware.prepare(device, precision=train.precision, fast=train.fast, numeric=train.numerics)
    data = data_of(job)
    check_together(job, data, ranks)
    network = assemble(experiment, data, seed=job.seed, device=device, ranks=ranks)
    step, owner = network.step(), f"seed {job.seed} of {job.identity}"
    log = log_of(folder, step, network, owner)
    reporter = reporter_of(job, network, log)
    reporter.report(log.position.step, "preparing")
    launch, level = levels.choose_level(step, run_size(job, network))
    keeping = checkpoint.Checkpointer if ranks.first else checkpoint.Following
    checkpointer = keeping(folder.checkpoint, step, network.schedule, log, owner=owner)

    facts = hardware.describe(device) | {"engine": asdict(level), "at_once": job.at_once}
    recorded = partial(record_of, job, log, precision=network.rule.precision.name, hardware_facts=facts)
    reporter.begin(job.experiment, recorded("running"), log.history)

    def take_turn_of_scoring() -> None:
        checkpointer.save_if_told_to_stop()  # the state of the training stays whole while the network is scored
        take_turn()

    with reported_if_stopped(folder, log, recorded), stop.cooperating():
        loop.train(
            Executor(step, launch, take_turn),
            network.schedule,
            network.budget,
            log,
            scorers={
                split: Executor(scoring, levels.record_scoring(scoring, level), take_turn_of_scoring)
                for split, scoring in network.scoring_steps().items()
            },
            checkpointer=checkpointer,
            reporter=reporter,
        )
    if not ranks.first:
        return
    record = recorded("diverged" if log.diverged else "finished")
    mean, std = experiment.normalization(data)  # in full; a description may have the checksum of a mean image in its place
    description = job.description | {"normalization": {"mean": mean, "std": std}}
    publish(network, log, folder, description=description, record=record)
    reporter.report(network.budget.steps, record["status"])


def data_of(job: Job) -> prepared.Prepared:
    """The dataset that the network was described with; raises UserError if another is there."""
    data = prepared.load(job.data)
    if data.facts["checksum"] != job.description["dataset"]["checksum"]:
        raise UserError(f"{job.data}: not the dataset that {job.experiment} was described with; run `dvc repro describe`")
    return data


def log_of(folder: SeedFolder, step: TrainingStep, network: Run, owner: str) -> Log:
    """The log of a run that begins, or the one of its checkpoint, which is restored."""
    ranks = step.rule.ranks
    log = Log(started=ranks.told(folder.first_start))
    if ranks.told(lambda: checkpoint.exists(folder.checkpoint)):
        log = checkpoint.restore(folder.checkpoint, step, network.schedule, owner=owner)
    log.note_processes(ranks.count)
    return log


def check_together(job: Job, data: prepared.Prepared, ranks: Ranks) -> None:
    """Raise UserError if several processes do not train a network with the same code, data, parameters, libraries and level."""
    if not ranks.alone:
        told = {"code": source_checksum(), "data": data.facts["checksum"], "params": checksums.of_value(job.description)}
        versions = {"torch": str(torch.__version__)} | {name: installed(name) for name in ("numpy", "pillow", "simplejpeg")}
        settings = {"RESLAB_ENGINE": os.environ.get("RESLAB_ENGINE") or "not set"}
        spread.check_agreement(told | versions | settings, ranks)


def installed(name: str) -> str:
    """The version of a library."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def source_checksum() -> str:
    """A checksum of reslab's own code."""
    root = Path(reslab.__path__[0])
    return checksums.of_bytes(b"\0".join(path.read_bytes() for path in sorted(root.rglob("*.py"))))


def reporter_of(job: Job, network: Run, log: Log) -> processes.Reporter:
    """What reports the progress of a network, which may go on from an earlier run's log."""
    length, images = network.budget, network.batches.batch_sizes[0]
    path = str(SeedFolder.of(job.identity, job.seed).path)
    told = {"epochs": length.epochs, "images_per_step": images, "history": log.history, "network": path}
    return processes.Reporter(job.seed, length.steps, **told)


def run_size(job: Job, network: Run) -> levels.RunSize:
    """The size of the run, by which its level of execution is chosen."""
    counts = job.description["model"]
    steps = network.budget.steps
    return levels.RunSize(counts["multiply_adds"], counts["conv_layers"], steps * network.batches.batch_sizes[0], steps)


@contextmanager
def reported_if_stopped(folder: SeedFolder, log: Log, recorded: Callable[[str], dict]) -> Iterator[None]:
    """Leave a record of how far a network came when it was told to stop, where its results would be drafted: for MLflow."""
    try:
        yield
    except stop.Stopped:
        draft = folder.start_draft()
        write_told(draft, log.history or [{"epoch": 0}], recorded(network_files.KILLED), {})
        raise


def publish(network: Run, log: Log, folder: SeedFolder, *, description: dict, record: dict) -> None:
    """Write weights, their description, history and record into the seed folder, all or nothing."""
    draft = folder.start_draft()
    checksums = {network_files.WEIGHTS: save_weights(draft / network_files.WEIGHTS, network.result, description)}
    write_told(draft, log.history, record, checksums)
    folder.finish()


def write_told(draft: Path, history: list[dict[str, float]], record: dict, checksums: dict[str, str]) -> None:
    """Write history and record, with the checksums of all files beside it."""
    listed = checksums | {network_files.HISTORY: records.write_history(draft / network_files.HISTORY, history)}
    records.write_record(draft / network_files.RECORD, record | {"checksums": listed})


def record_of(job: Job, log: Log, status: str, *, precision: str, hardware_facts: dict) -> dict:
    """The record of a network: which it is, how far it came, what it is, and where it was trained."""
    return {
        "identity": job.identity,
        "seed": job.seed,
        "status": status,
        **log.summary(),
        "config": job.description["config"],
        **job.description["model"],
        "dataset": {key: job.description["dataset"][key] for key in ("name", "train", "validation", "test")},
        "dataset_checksum": job.description["dataset"]["checksum"],
        **hardware_facts,
        "precision": precision,
        "layout": "channels_last",
        **job.code,
    }
