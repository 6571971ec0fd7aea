"""Networks on made-up images of CIFAR's shape, made ready at a level and timed there."""

import statistics
from pathlib import Path

import numpy as np
import torch

from reslab import config
from reslab.data import prepared
from reslab.data.prepared import Prepared
from reslab.data.prepared.splits import Arrays, Dataset
from reslab.experiment.assemble import Run, assemble
from reslab.experiment.bound import bound
from reslab.training.execution import compiler, hardware, levels
from reslab.training.execution.executor import Launch
from reslab.training.loop import set_rate
from reslab.training.optim.optimizers import sgd
from reslab.training.step import TrainingStep

GPU = torch.device("cuda")
SECTIONS = {
    "normalize": {"name": "constants", "mean": [0.5] * 3, "std": [0.25] * 3},
    "model": {"name": "resnet", "depth": 20},
    "augment": [{"name": "pad_crop", "padding": 4}, {"name": "flip"}],
    "loss": {"name": "cross_entropy"},
    "optimizer": {"name": "sgd", "lr": 1e-3, "momentum": 0.9, "weight_decay": 1e-4},  # small: nothing may diverge while it is timed
    "schedule": {"name": "constant"},
    "train": {"epochs": 10**6, "batch_size": 128, "precision": "bfloat16"},
}
NETS = {
    "resnet20": {"name": "resnet", "depth": 20},
    "resnet110": {"name": "resnet", "depth": 110},
    "wrn": {"name": "wrn", "depth": 28, "widening_factor": 10},
}
SMALL_NETS = {"resnet20": {"depth": 8}, "resnet110": {"depth": 14}, "wrn": {"depth": 10, "widening_factor": 1}}  # of a dry run
EPOCH = 50_000 / 128  # steps


def model_of(net: str, *, dry: bool) -> dict:
    """The network by its name; a dry run takes a smaller one."""
    return NETS[net] | (SMALL_NETS[net] if dry else {})


def dataset(images: int, tests: int) -> Dataset:
    """Random pixels and labels."""
    random = np.random.default_rng(0)
    splits = [Arrays(random.integers(0, 256, (n, 3, 32, 32), dtype=np.uint8), np.arange(n) % 10) for n in (images, tests)]
    return Dataset(*splits, class_names=list("abcdefghij"))


def stored(folder: Path, images: int, tests: int) -> Path:
    """The random dataset as prepared data in a folder."""
    if not folder.exists():
        prepared.save(dataset(images, tests), folder, name="made-up", validation=0)
    return folder


def sections(**changes: object) -> dict:
    """The sections of an experiment; a change of a model or an augmentation takes its place, others are laid over it."""
    replaced = ("augment", "model", "optimizer")
    return {key: changes.get(key, value) if key in replaced else value | changes.get(key, {}) for key, value in SECTIONS.items()}


def made(images: int, *, fast: bool = False, **changes: object) -> Run:
    """A run on made-up images, on the device."""
    experiment = bound(config.from_sections("x", sections(**changes)))
    data = dataset(images, 100)
    facts = {"image_shape": [3, 32, 32], "class_names": data.class_names}
    hardware.prepare(GPU, precision=experiment.train.precision, fast=fast)
    return assemble(experiment, Prepared(data.train, None, data.test, facts), seed=0, device=GPU)


class Varied:
    """The compiler's options, changed while this lasts."""

    def __init__(self, **options: bool) -> None:
        self.options, self.before = options, dict(compiler.LEAN)

    def __enter__(self) -> None:
        torch.compiler.reset()  # what is compiled does not know of changed options
        compiler.LEAN.update(self.options)

    def __exit__(self, *_: object) -> None:
        compiler.LEAN.clear()
        compiler.LEAN.update(self.before)


def in_plain_layout(run: Run) -> TrainingStep:
    """The step with weights and batches in torch's plain layout."""
    run.model.to(memory_format=torch.contiguous_format)
    plain = run.batches.make

    def make(*raw: torch.Tensor) -> tuple:
        images, labels = plain(*raw)
        return images.contiguous(), labels

    run.batches.make = make
    optimizer = sgd(run.model, lr=1e-3, momentum=0.9, weight_decay=1e-4)
    return TrainingStep(run.model, optimizer, run.loss, run.batches, run.rule)


def prepared_step(step: TrainingStep, level: str) -> tuple[Launch, dict[str, float]]:
    """What launches the step at a level, and how much its changes differ from the plain step's, whatever the tolerance says."""
    differs: dict[str, float] = {}

    def compare(plain: dict, other: dict, exact: dict | None = None) -> None:
        for kind in plain:
            a, b = (torch.cat([x.double().cpu() for x in side[kind]]) for side in (plain, other))
            differs[kind] = round(((a - b).norm() / max(a.norm().item(), 1e-30)).item(), 4)

    step.rule.batch_norm.train(step.model)
    if level == "eager":
        step.batches.begin(1)
        return step, differs
    before, levels.check_agreement = levels.check_agreement, compare
    try:
        made, error = levels._tried(step, level)
    finally:
        levels.check_agreement = before
    if error is not None:
        raise error
    return made[0], differs


def milliseconds(step: TrainingStep, launch: Launch, *, repeats: int, steps: int) -> tuple[float, float]:
    """The median time of a step, and the slowest repeat over the fastest."""
    size, times = step.batches.batch_sizes[0], []
    whole = sum(each == size for each in step.batches.batch_sizes)
    for _ in range(repeats + 1):
        step.batches.begin(1)
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for number in range(steps):
            if number and number % whole == 0:
                step.batches.begin(1)
            set_rate(step.optimizer, 1.0)
            step.batches.load(size)
            launch(size)
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end) / steps)
    return round(statistics.median(times[1:]), 4), round(max(times[1:]) / max(min(times[1:]), 1e-9), 3)
