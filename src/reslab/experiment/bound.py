"""An experiment whose table entries are all looked up and checked, once; only data, seed and device are still missing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from reslab.config.schema import bind
from reslab.config.study import Experiment
from reslab.config.train import Train
from reslab.data.augment.recipe import STEPS, Recipe, recipe
from reslab.data.batches.placement import crop_of
from reslab.data.batches.streamed import Crop
from reslab.data.datasets import DATASETS
from reslab.data.normalize import NORMALIZATIONS, Mean
from reslab.data.prepared import Prepared
from reslab.environment import memory_bytes
from reslab.errors import UserError, located
from reslab.models import MODELS
from reslab.rng import key_of
from reslab.training.losses import LOSSES, Loss
from reslab.training.optim.optimizers import OPTIMIZERS
from reslab.training.optim.rate import base_rate
from reslab.training.schedule.budget import Budget, budget
from reslab.training.schedule.schedules import SCHEDULES, Schedule
from reslab.training.schedule.warmup import WARMUPS

TABLES: dict[str, Mapping[str, Callable]] = {
    "dataset": DATASETS,
    "normalize": NORMALIZATIONS,
    "model": MODELS,
    "augment": STEPS,
    "loss": LOSSES,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "schedule.warmup": WARMUPS,
}  # section of params.yaml -> what its `name` may be


WEIGHT = 4  # bytes of a parameter in float32


@dataclass(frozen=True, kw_only=True)
class BoundExperiment:
    """One experiment of the study, each section bound to what it names."""

    name: str
    sections: dict[str, Any]  # as the user wrote them, merged: what the description carries
    train: Train
    construct: Callable[[int, int], nn.Module]  # image channels, classes
    constants: Callable[[Mapping], tuple[Mean | None, list[float]]]  # of the dataset's facts; no mean stands for the mean image
    recipe: Recipe
    loss: Callable[[], Loss]
    optimizer: Callable[[nn.Module], torch.optim.Optimizer]
    schedule: Callable[[Budget], Schedule]

    def network(self, facts: Mapping, *, seed: int) -> nn.Module:
        """The network for the facts' image_shape and class_names, its weights drawn from `seed` on the CPU."""
        return constructed(self.construct, facts, seed=seed)

    def normalization(self, data: Prepared) -> tuple[Mean, list[float]]:
        """Mean, per channel or per pixel, and std per channel."""
        mean, std = self.constants(data.facts)
        return data.mean_image().tolist() if mean is None else mean, std

    def budget(self, images: int) -> Budget:
        """The run's length on `images` training images; raises UserError if not one batch is whole."""
        return budget(self.train, images)

    def crop(self) -> Crop | None:
        """The crop that is cut while images are decoded; raises UserError where it is not the first step of `augment`."""
        return crop_of(self.sections["augment"])

    def unreached_milestones(self, length: Budget) -> list[int]:
        """The milestones of the schedule at the end of the run or beyond: the rate never drops there."""
        return unreached_milestones(self.sections["schedule"], length)


def bound(experiment: Experiment) -> BoundExperiment:
    """Look up and check every section of an experiment; raises UserError with the path."""
    with located(f"experiments.{experiment.name}"):
        return BoundExperiment(
            name=experiment.name,
            sections=experiment.sections,
            train=experiment.train,
            construct=bind(TABLES["model"], experiment.model, "model"),
            constants=bind(TABLES["normalize"], experiment.normalize, "normalize"),
            recipe=recipe(experiment.augment),
            loss=bind(TABLES["loss"], experiment.loss, "loss"),
            optimizer=_bound_optimizer(experiment.optimizer, experiment.train.batch_size),
            schedule=_bound_schedule(experiment.schedule),
        )


def build_network(model: Mapping, facts: Mapping, *, seed: int) -> nn.Module:
    """The network of a `{name: ..., **options}` alone, such as a stored one; raises UserError."""
    return constructed(bind(TABLES["model"], model, "model"), facts, seed=seed)


def constructed(construct: Callable[[int, int], nn.Module], facts: Mapping, *, seed: int) -> nn.Module:
    """What `construct` makes for the facts' image_shape and class_names, drawn from `seed` on the CPU: the same on every device.

    Raises UserError if its weights do not fit into memory, before any is made.
    """
    sizes = facts["image_shape"][0], len(facts["class_names"])
    with torch.random.fork_rng(devices=[]):
        if torch.get_default_device().type != "meta":
            with torch.device("meta"):
                check_memory(construct(*sizes), WEIGHT)
        torch.manual_seed(key_of(seed, "init") >> 1)
        return construct(*sizes)


def check_memory(network: nn.Module, each: int) -> None:
    """Raise UserError if `each` bytes for each of a network's parameters are more than this machine's memory."""
    parameters = sum(parameter.numel() for parameter in network.parameters())
    needed, there = parameters * each / 1e9, memory_bytes() / 1e9
    if needed > there:
        raise UserError(
            f"model: {parameters:,} parameters need at least {needed:,.0f} GB of memory, and there are {there:,.0f} GB; "
            "make it narrower or shallower"
        )


def _bound_optimizer(spec: Mapping, batch_size: int) -> Callable[[nn.Module], torch.optim.Optimizer]:
    """The optimizer, its rate worked out for the batch size."""
    spec = dict(spec)
    if "lr" in spec:
        with located("optimizer.lr"):
            spec["lr"] = base_rate(spec["lr"], batch_size=batch_size)
    return bind(TABLES["optimizer"], spec, "optimizer")


def make_schedule(spec: Mapping, length: Budget) -> Schedule:
    """`{name: multistep, ..., warmup: {name: linear, ...}}` -> Schedule; raises UserError."""
    return _bound_schedule(spec)(length)


def _bound_schedule(spec: Mapping) -> Callable[[Budget], Schedule]:
    warming = None if spec.get("warmup") is None else bind(TABLES["schedule.warmup"], spec["warmup"], "schedule.warmup")
    main = bind(TABLES["schedule"], {key: value for key, value in spec.items() if key != "warmup"}, "schedule")

    def schedule(length: Budget) -> Schedule:
        warmup = None if warming is None else warming(length)
        rest = length if warmup is None else Budget(length.steps - warmup.offset, length.steps_per_epoch)
        return Schedule(main(rest), warmup)

    return schedule


def unreached_milestones(spec: Mapping, length: Budget) -> list[int]:
    """The milestones of a schedule at the end of the run or beyond: the rate never drops there."""
    warmup = make_schedule(spec, length).warmup
    last = length.steps - (warmup.offset if warmup else 0)
    return [milestone for milestone in spec.get("milestones", []) if length.to_steps(milestone, spec.get("unit", "epochs")) >= last]
