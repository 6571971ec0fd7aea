"""Assembly: one experiment of the study, its data, model, optimizer and schedule put together for one seed.

The stages describe (three float64 steps) and train share it, so that both train the same thing.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from reslab.config import plugins
from reslab.config.train import Evaluation, Train
from reslab.data.batches.held_out import HeldOutBatches, TenCrops
from reslab.data.batches.order import Order
from reslab.data.batches.placement import needs_whole_batch, training_batches
from reslab.data.batches.training import TrainingBatches
from reslab.data.normalize import Normalize
from reslab.data.prepared import Prepared
from reslab.data.prepared.splits import Files, Split
from reslab.errors import UserError
from reslab.experiment.bound import BoundExperiment
from reslab.rng import key_of
from reslab.runs.ranks import ALONE, Ranks
from reslab.training.batch_norm import BatchNormRule
from reslab.training.ema import WeightAverage
from reslab.training.evaluation import AVERAGES, Average, Loss, ScoringStep
from reslab.training.execution.recompute import recompute_blocks
from reslab.training.losses import cross_entropy
from reslab.training.precision import PRECISIONS, Precision
from reslab.training.schedule.budget import Budget
from reslab.training.schedule.schedules import Schedule
from reslab.training.step import StepRule, TrainingStep


@dataclass(frozen=True)
class Run:
    """Everything that the training loop takes, for one experiment and one seed."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    loss: Loss
    batches: TrainingBatches
    held_out: dict[str, HeldOutBatches]  # "test", and "validation" if there is one
    budget: Budget
    rule: StepRule
    average: Average  # over several views of a held-out image

    @property
    def result(self) -> nn.Module:
        """The network that is scored and stored: the averaged one if there is one."""
        return self.rule.average.module if self.rule.average else self.model

    def step(self) -> TrainingStep:
        """The training step that the loop repeats."""
        return TrainingStep(self.model, self.optimizer, self.loss, self.batches, self.rule)

    def scoring_steps(self) -> dict[str, ScoringStep]:
        """For each held-out split the step that scores a batch: plain cross entropy, whatever the loss of the training."""
        precision, loss = self.rule.precision, cross_entropy()
        options = {"precision": precision, "average": self.average, "ranks": self.rule.ranks}
        return {name: ScoringStep(self.result, batches, loss, **options) for name, batches in self.held_out.items()}


def step_rule(train: Train, model: nn.Module, precision: Precision, device: torch.device, ranks: Ranks = ALONE) -> StepRule:
    """How a step is made of a batch; sets the model's batch norm up for it."""
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
        ranks=ranks,
    )


def assemble(
    experiment: BoundExperiment,
    data: Prepared,
    *,
    seed: int,
    device: torch.device,
    precision: str | None = None,
    batch_size: int | None = None,
    ranks: Ranks = ALONE,
) -> Run:
    """Put the experiment together, for one of `ranks` that train it.

    `precision` and `batch_size` replace the experiment's own (for the description's trace).
    """
    train, numbers = experiment.train, PRECISIONS[precision or experiment.train.precision]
    if plugins.is_own(experiment.sections["model"]["name"]):
        torch.manual_seed(key_of(seed, "layers") >> 1)  # of layers that draw from torch's generator, as none of ours does
    model = experiment.network(data.facts, seed=seed).to(device, memory_format=torch.channels_last)
    model = numbers.convert(model)
    mean, std = experiment.normalization(data)
    normalize = Normalize(mean, std, device=device, dtype=numbers.images)
    images, drawn = len(data.train), {"drop_last": train.drop_last, "replacement": train.replacement}
    crop = experiment.crop() if isinstance(data.train, Files) else None
    rule, whole = step_rule(train, model, numbers, device, ranks), needs_whole_batch(experiment.sections["augment"])
    order = Order(images, batch_size or train.batch_size, seed, ranks=ranks, unit=rule.unit, **drawn)
    evaluation, length = train.evaluation or Evaluation(), experiment.budget(images)
    optimizer = experiment.optimizer(model)
    check_update(optimizer)
    return Run(
        model=model,
        optimizer=optimizer,
        schedule=experiment.schedule(length),
        loss=experiment.loss(class_counts(data).to(device)),
        batches=training_batches(data.train, order, device, experiment.recipe, crop, normalize, whole=whole),
        held_out={name: held_out(split, normalize, device, evaluation, ranks) for name, split in data.held_out().items()},
        budget=length,
        rule=rule,
        average=AVERAGES[evaluation.average],
    )


def check_update(optimizer: torch.optim.Optimizer) -> None:
    """Raise UserError if the optimizer leaves weights of 16 bits as they are: on a CPU the fused SGD of torch 2.11 does."""
    group = optimizer.param_groups[0]
    dtype, device = group["params"][0].dtype, group["params"][0].device
    if device.type != "cpu" or dtype.itemsize > 2 or not group.get("fused"):
        return
    weights = nn.Parameter(torch.ones(64, dtype=dtype))
    weights.grad = torch.ones_like(weights)
    type(optimizer)([group | {"params": [weights], "lr": 0.5, "weight_decay": 0.0}], fused=True).step()
    if (weights == 1).all():
        name = type(optimizer).__name__
        raise UserError(f"train.precision: {name} of torch {torch.__version__} does not change weights of 16 bits on a CPU")


def class_counts(data: Prepared) -> torch.Tensor:
    """The number of training images of each class, int64 (K,)."""
    return torch.from_numpy(np.bincount(data.train.labels, minlength=len(data.facts["class_names"])))


def held_out(
    split: Split, normalize: Normalize, device: torch.device, evaluation: Evaluation, ranks: Ranks = ALONE
) -> HeldOutBatches:
    """The batches of a split that is only scored."""
    ten = TenCrops(evaluation.padding) if evaluation.crops == "ten" else None
    return HeldOutBatches(split, normalize, device, ten=ten, ranks=ranks)
