"""Assembly: one experiment of the study, its data, model, optimizer and schedule put together for one seed.

Shared by describe (three float64 steps), train and evaluate, so that all three mean the same thing by an experiment.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from reslab.config.schema import bind
from reslab.config.study import Experiment
from reslab.config.train import Evaluation
from reslab.data.batches.held_out import HeldOutBatches, TenCrops
from reslab.data.batches.order import Order
from reslab.data.batches.placement import placed_for_training
from reslab.data.batches.training import TrainingBatches
from reslab.data.normalize import NORMALIZATIONS, Mean, Normalize
from reslab.data.prepared import Prepared
from reslab.data.prepared.splits import Split
from reslab.errors import UserError, located
from reslab.models import MODELS
from reslab.rng import key_of
from reslab.training.batch_norm import BatchNormRule
from reslab.training.ema import WeightAverage
from reslab.training.evaluation import AVERAGES, Average, Loss, ScoringStep
from reslab.training.execution.recompute import recompute_blocks
from reslab.training.losses import LOSSES, cross_entropy
from reslab.training.optim.optimizers import OPTIMIZERS
from reslab.training.optim.rate import base_rate
from reslab.training.precision import PRECISIONS, Precision
from reslab.training.schedule.budget import Budget
from reslab.training.schedule.schedules import SCHEDULES, Schedule
from reslab.training.schedule.warmup import WARMUPS
from reslab.training.step import StepRule, TrainingStep


@dataclass(frozen=True)
class Run:
    """Everything that `fit` and `evaluate` take, for one experiment and one seed."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    loss: Loss
    feed: TrainingBatches
    held_out: dict[str, HeldOutBatches]  # "test", and "validation" if there is one
    budget: Budget
    rule: StepRule
    average: Average  # of what it says of several views of a held-out image

    @property
    def result(self) -> nn.Module:
        """The network that is scored and stored: the averaged one if there is one."""
        return self.rule.average.module if self.rule.average else self.model

    def step(self) -> TrainingStep:
        """The training step that `fit` repeats."""
        return TrainingStep(self.model, self.optimizer, self.loss, self.feed, self.rule)

    def scoring_steps(self) -> dict[str, ScoringStep]:
        """For each held-out split the step that `scoring` repeats: plain cross entropy, whatever the loss of the training."""
        precision, loss = self.rule.precision, cross_entropy()
        options = {"precision": precision, "average": self.average}
        return {name: ScoringStep(self.result, feed, loss, **options) for name, feed in self.held_out.items()}


def build_model(experiment: Experiment, facts: dict, *, seed: int) -> nn.Module:
    """The experiment's network with weights drawn from `seed`."""
    return build_network(experiment.model, facts, seed=seed)


def build_network(model: Mapping, facts: Mapping, *, seed: int) -> nn.Module:
    """The network of a `{name: ..., **options}` for the facts' image_shape and class_names.

    Its weights are drawn from `seed` on the CPU: the same on every device.
    """
    construct = bind(MODELS, model, "model")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key_of(seed, "init") >> 1)
        return construct(facts["image_shape"][0], len(facts["class_names"]))


def normalization(experiment: Experiment, data: Prepared) -> tuple[Mean, list[float]]:
    """Mean, per channel or per pixel, and std per channel."""
    mean, std = bind(NORMALIZATIONS, experiment.normalize, "normalize")(data.facts)
    return data.mean_image().tolist() if mean is None else mean, std


def budget(experiment: Experiment, images: int) -> Budget:
    """The run's length in steps on `images` training images; raises UserError if not one batch is whole."""
    if experiment.train.steps_per_epoch(images) == 0:
        raise UserError(f"train.batch_size: {experiment.train.batch_size} with drop_last leaves no batch; at most {images} images")
    return Budget(experiment.train.steps(images), experiment.train.steps_per_epoch(images))


def make_schedule(spec: Mapping, length: Budget) -> Schedule:
    """`{name: multistep, ..., warmup: {name: linear, ...}}` -> Schedule; raises UserError."""
    warmup = None if spec.get("warmup") is None else bind(WARMUPS, spec["warmup"], "schedule.warmup")(length)
    rest = length if warmup is None else Budget(length.steps - warmup.offset, length.steps_per_epoch)
    main = bind(SCHEDULES, {key: value for key, value in spec.items() if key != "warmup"}, "schedule")(rest)
    return Schedule(main, warmup)


def unreached_milestones(spec: Mapping, length: Budget) -> list[int]:
    """The milestones of a schedule that lie at the end of the run or beyond: the rate never drops there."""
    warmup = make_schedule(spec, length).warmup
    last = length.steps - (warmup.offset if warmup else 0)
    return [milestone for milestone in spec.get("milestones", []) if length.to_steps(milestone, spec.get("unit", "epochs")) >= last]


def make_optimizer(experiment: Experiment, model: nn.Module) -> torch.optim.Optimizer:
    """The experiment's optimizer, its rate worked out for the batch size; raises UserError."""
    spec = dict(experiment.optimizer)
    if "lr" in spec:
        with located("optimizer.lr"):
            spec["lr"] = base_rate(spec["lr"], batch_size=experiment.train.batch_size)
    return bind(OPTIMIZERS, spec, "optimizer")(model)


def step_rule(experiment: Experiment, model: nn.Module, precision: Precision, device: torch.device) -> StepRule:
    """How the experiment makes a step of a batch; sets the model's batch norm up for it."""
    train = experiment.train
    batch_norm = BatchNormRule(**train.batch_norm.model_dump()) if train.batch_norm else BatchNormRule()
    if train.batch_norm and not any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        raise UserError("train.batch_norm: this network has no batch norm")
    batch_norm.prepare(model)
    average = None if train.ema is None else WeightAverage(model, decay=train.ema)
    if train.recompute:
        recompute_blocks(model)
    return StepRule(
        precision=precision,
        ghost_batch_size=train.ghost_batch_size,
        gradient_clip=train.gradient_clip,
        batch_norm=batch_norm,
        scaler=torch.amp.GradScaler(device.type, enabled=precision.scales_loss),
        average=average,
        recomputes=train.recompute,
    )


def assemble(
    experiment: Experiment,
    data: Prepared,
    *,
    seed: int,
    device: torch.device,
    precision: str | None = None,
    batch_size: int | None = None,
) -> Run:
    """Put the experiment together; `precision` and `batch_size` replace the experiment's own (for the description's trace)."""
    train, numbers = experiment.train, PRECISIONS[precision or experiment.train.precision]
    model = build_model(experiment, data.facts, seed=seed).to(device, memory_format=torch.channels_last)
    model = numbers.convert(model)
    mean, std = normalization(experiment, data)
    normalize = Normalize(mean, std, device=device, dtype=numbers.images)
    images, drawn = len(data.train), {"drop_last": train.drop_last, "replacement": train.replacement}
    order = Order(images, batch_size or train.batch_size, seed, **drawn)
    raw, steps = placed_for_training(data.train, order, device, experiment.augment)
    evaluation, length = train.evaluation or Evaluation(), budget(experiment, images)
    return Run(
        model=model,
        optimizer=make_optimizer(experiment, model),
        schedule=make_schedule(experiment.schedule, length),
        loss=bind(LOSSES, experiment.loss, "loss")(),
        feed=TrainingBatches(raw, steps, normalize),
        held_out={name: held_out(split, normalize, device, evaluation) for name, split in data.held_out().items()},
        budget=length,
        rule=step_rule(experiment, model, numbers, device),
        average=AVERAGES[evaluation.average],
    )


def held_out(split: Split, normalize: Normalize, device: torch.device, evaluation: Evaluation) -> HeldOutBatches:
    """The batches of a split that is only scored."""
    return HeldOutBatches(split, normalize, device, ten=TenCrops(evaluation.padding) if evaluation.crops == "ten" else None)
