"""An experiment whose table entries are all looked up and checked, once; only data, seed and device are still missing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from reslab.config import plugins, schema
from reslab.config.start import InitFrom
from reslab.config.study import Experiment
from reslab.config.train import Train
from reslab.data.augment.recipe import STEPS, Recipe, recipe
from reslab.data.batches.placement import crop_of
from reslab.data.batches.streamed import Crop
from reslab.data.datasets import DATASETS
from reslab.data.normalize import NORMALIZATIONS, Mean
from reslab.data.prepared import Prepared
from reslab.errors import UserError, located
from reslab.experiment import start
from reslab.experiment.losses import LOSSES, bound_loss
from reslab.experiment.networks import INIT_FROM, bind_network, constructed
from reslab.models import MODELS
from reslab.training.losses import Loss
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


@dataclass(frozen=True, kw_only=True)
class BoundExperiment:
    """One experiment of the study, each section bound to what it names."""

    name: str
    sections: dict[str, Any]  # as the user wrote them, merged: what the description carries
    train: Train
    construct: Callable[[int, int], nn.Module]  # image channels, classes
    constants: Callable[[Mapping], tuple[Mean | None, list[float]]]  # of the dataset's facts; no mean stands for the mean image
    recipe: Recipe
    loss: Callable[[Tensor], Loss]  # of the number of training images of each class
    optimizer: Callable[[nn.Module], torch.optim.Optimizer]
    schedule: Callable[[Budget], Schedule]
    init_from: InitFrom | None = None

    def network(self, facts: Mapping, *, seed: int) -> nn.Module:
        """The network for the facts' image_shape and class_names, drawn from `seed` on the CPU; then its `init_from`."""
        network = constructed(self.construct, facts, seed=seed)
        if self.init_from is not None:
            start.put_into(network, start.read(self.init_from), facts["class_names"])
        return network

    def resolved_sections(self) -> dict[str, Any]:
        """The sections, with the checksum of the weights to start from."""
        if self.init_from is None:
            return self.sections
        known = {"path": self.init_from.path, "sha256": start.read(self.init_from).checksum}
        return self.sections | {"model": {**self.sections["model"], INIT_FROM: known}}

    def start_facts(self, facts: Mapping) -> dict[str, Any]:
        """The classes of the weights to start from, and the tensors of them that are not taken; empty if it starts from none."""
        if self.init_from is None:
            return {}
        found = start.read(self.init_from)
        with torch.device("meta"):
            left = start.put_into(constructed(self.construct, facts, seed=0), found, facts["class_names"])
        return {"classes": len(found.class_names), "not_taken": left}

    def start_notes(self, facts: Mapping) -> list[str]:
        """What a reader should know of the weights to start from."""
        if self.init_from is None:
            return []
        return start.notes(start.read(self.init_from), self.start_facts(facts)["not_taken"], *self.constants(facts))

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
            construct=bind_network(experiment.model),
            constants=plugins.bind("normalize", TABLES["normalize"], experiment.normalize, "normalize"),
            recipe=recipe(experiment.augment),
            loss=bound_loss(experiment.loss),
            optimizer=_bound_optimizer(experiment.optimizer, experiment.train.batch_size),
            schedule=_bound_schedule(experiment.schedule),
            init_from=experiment.init_from,
        )


def _bound_optimizer(spec: Mapping, batch_size: int) -> Callable[[nn.Module], torch.optim.Optimizer]:
    """The optimizer, its rate worked out for the batch size."""
    spec = dict(spec)
    if "lr" in spec:
        with located("optimizer.lr"):
            spec["lr"] = base_rate(spec["lr"], batch_size=batch_size)
    made = plugins.bind("optimizer", TABLES["optimizer"], spec, "optimizer")

    def optimizer(model: nn.Module) -> torch.optim.Optimizer:
        found = made(model)
        return found if not plugins.is_own(spec["name"]) else checked_optimizer(found, spec["name"])

    return optimizer


def checked_optimizer(found: Any, name: str) -> torch.optim.Optimizer:
    """An optimizer of one's own, its groups with what ours have; raises UserError for anything else."""
    if not isinstance(found, torch.optim.Optimizer):
        raise UserError(f"optimizer: {name} must return a torch.optim.Optimizer, not a {type(found).__name__}")
    for number, group in enumerate(found.param_groups):
        if "lr" not in group:
            raise UserError(f"optimizer: {name}: its parameter groups have no lr, which the schedule multiplies")
        group.setdefault("name", f"group{number}" if number else "all")
        group.setdefault("initial_lr", float(group["lr"]))
        group.setdefault("weight_decay", 0.0)
    return found


def make_schedule(spec: Mapping, length: Budget) -> Schedule:
    """`{name: multistep, ..., warmup: {name: linear, ...}}` -> Schedule; raises UserError."""
    return _bound_schedule(spec)(length)


def _bound_schedule(spec: Mapping) -> Callable[[Budget], Schedule]:
    warming = None if spec.get("warmup") is None else schema.bind(TABLES["schedule.warmup"], spec["warmup"], "schedule.warmup")
    main = plugins.bind("schedule", TABLES["schedule"], {key: value for key, value in spec.items() if key != "warmup"}, "schedule")

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
