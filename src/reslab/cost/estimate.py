"""The time of a run on a machine: the work of its steps, times the seconds per unit of work that were measured there."""

import json
import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from reslab.config.study import Experiment, Study
from reslab.config.train import SCORED_AT_ONCE
from reslab.cost import counts
from reslab.cost.counts import ForwardWork
from reslab.cost.machines import Machine, Work
from reslab.training.schedule.budget import budget

PASSES = 3  # the gradients of features and of weights cost about a forward pass each
UPDATE_BYTES = 24  # a parameter's weight, gradient and momentum, each read and written


class Cost(NamedTuple):
    """The size of one experiment and its time on a machine."""

    name: str
    parameters: int
    multiply_adds: float  # of one image
    seconds: float  # of one seed
    wall: float  # of all seeds, trained so many at once


def step_work(experiment: Experiment, facts: Mapping, *, batch_size: int | None = None, shared: bool = False) -> Work:
    """One optimizer step: forward and backward pass of a batch, in its chunks, and the update; `shared` as in `network_work`."""
    forward, train = network_work(experiment, facts, shared=shared), experiment.train
    images = batch_size or train.batch_size
    chunks = math.ceil(images / min(train.ghost_batch_size or images, images))
    passes = _work(forward, images * views(experiment), facts)
    return Work(
        step=1,
        operation=PASSES * (chunks * forward.operations + forward.tensors),
        gflop=PASSES * passes.gflop,
        gbyte=PASSES * passes.gbyte + UPDATE_BYTES * forward.parameters / 1e9,
        megapixel=passes.megapixel,
    )


def evaluation_work(experiment: Experiment, facts: Mapping) -> Work:
    """One forward pass over the held-out images."""
    forward, images = network_work(experiment, facts), facts["test"] + facts["validation"]
    once = _work(forward, images, facts)
    return once._replace(step=0, operation=forward.operations * math.ceil(images / SCORED_AT_ONCE))


def run_work(experiment: Experiment, facts: Mapping) -> Work:
    """A whole run of one seed: its steps, and the evaluation after each epoch."""
    length = budget(experiment.train, facts["train"])
    evaluations = math.ceil(length.steps / length.steps_per_epoch)
    return (
        Work(0, 0, 0, 0, 0).plus(step_work(experiment, facts), length.steps).plus(evaluation_work(experiment, facts), evaluations)
    )


def views(experiment: Experiment) -> int:
    """Dual cutout shows the network two views of each image."""
    return 2 if any(step["name"] == "dual_cutout" for step in experiment.augment) else 1


def network_work(experiment: Experiment, facts: Mapping, *, shared: bool = False) -> ForwardWork:
    """One forward pass of the experiment's network; equal networks are counted once."""
    model, shape = json.dumps(experiment.model, sort_keys=True), tuple(facts["image_shape"])
    return counts.network_work(model, shape, len(facts["class_names"]), shared=shared)


def _work(forward: ForwardWork, images: int, facts: Mapping) -> Work:
    """One forward pass of a number of images."""
    _, height, width = facts["image_shape"]
    return Work(
        step=1,
        operation=forward.operations,
        gflop=2 * forward.multiply_adds * images / 1e9,
        gbyte=forward.bytes * images / 1e9,
        megapixel=images * height * width / 1e6,
    )


def costs(study: Study, facts: Mapping, machine: Machine, *, at_once: int) -> list[Cost]:
    """The cost of every experiment, in the study's order; the seeds of one train `at_once`, and the experiments in turn.

    Start-up of the stages (some seconds each) is not counted, and networks at once are taken not to slow each other.
    """
    found = []
    for experiment in study.experiments.values():
        forward, seconds = network_work(experiment, facts), run_work(experiment, facts).seconds(machine.seconds_per)
        wall = seconds * math.ceil(len(study.seeds) / at_once)
        found.append(Cost(experiment.name, forward.parameters, forward.multiply_adds, seconds, wall))
    return found


def fitting(candidates: Iterable[Cost], seconds: float) -> list[str]:
    """The names of the cheapest experiments that together take at most `seconds`, in the order given."""
    candidates, left, chosen = list(candidates), seconds, set()
    for cost in sorted(candidates, key=lambda cost: cost.wall):
        if cost.wall > left:
            break
        left -= cost.wall
        chosen.add(cost.name)
    return [cost.name for cost in candidates if cost.name in chosen]
