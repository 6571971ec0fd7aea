"""Assembly: one experiment of the study, its data, model, optimizer and schedule put together for one seed.

Shared by describe (three float64 steps), train and evaluate, so that all three mean the same thing by an experiment.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from reslab.config import Experiment
from reslab.data.files import Files
from reslab.data.images import Split
from reslab.data.loader import Batch, Normalize, Resident, evaluation_batches, training_epoch
from reslab.data.normalize import NORMALIZATIONS, Mean
from reslab.data.placement import crop_of, placed, placed_for_training
from reslab.data.prepared import Prepared
from reslab.data.recipe import Recipe, recipe
from reslab.data.views import TenCrops
from reslab.errors import UserError, located
from reslab.hashing import key_of
from reslab.models import MODELS
from reslab.models.count import count
from reslab.schema import Evaluation, bind
from reslab.training.average import weight_average
from reslab.training.batch_norm import BatchNormRule
from reslab.training.budget import Budget
from reslab.training.evaluation import AVERAGES, Loss
from reslab.training.losses import LOSSES
from reslab.training.optim import OPTIMIZERS
from reslab.training.precision import PRECISIONS, Precision
from reslab.training.rate import base_rate
from reslab.training.schedule import SCHEDULES, Schedule
from reslab.training.step import StepRule
from reslab.training.warmup import WARMUPS


@dataclass(frozen=True)
class Run:
    """Everything that `fit` and `evaluate` take, for one experiment and one seed."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    loss: Loss
    training_epoch: Callable[[int], Iterator[Batch]]
    held_out: dict[str, Callable[[], Iterator[Batch]]]  # "test", and "validation" if there is one
    budget: Budget
    rule: StepRule
    average: Callable[[Tensor], Tensor]  # of what it says of several views of a held-out image

    @property
    def result(self) -> nn.Module:
        """The network that is scored and stored: the averaged one if there is one."""
        return self.rule.average.module if self.rule.average else self.model


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
    return StepRule(
        precision=precision,
        ghost_batch_size=train.ghost_batch_size,
        gradient_clip=train.gradient_clip,
        batch_norm=batch_norm,
        scaler=torch.amp.GradScaler(device.type, enabled=precision.scales_loss),
        average=None if train.ema is None else weight_average(model, decay=train.ema),
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
    source, steps = placed_for_training(data.train, device, experiment.augment)
    evaluation = train.evaluation or Evaluation()
    length = budget(experiment, len(data.train))

    def epoch(number: int) -> Iterator[Batch]:
        return training_epoch(
            source,
            number,
            augmentations=steps.augmentations,
            normalize=normalize,
            batch_size=batch_size or train.batch_size,
            drop_last=train.drop_last,
            seed=seed,
            finish=steps.finish,
            replacement=train.replacement,
        )

    return Run(
        model=model,
        optimizer=make_optimizer(experiment, model),
        schedule=make_schedule(experiment.schedule, length),
        loss=bind(LOSSES, experiment.loss, "loss")(),
        training_epoch=epoch,
        held_out={name: held_out_batches(split, normalize, device, evaluation) for name, split in data.held_out().items()},
        budget=length,
        rule=step_rule(experiment, model, numbers, device),
        average=AVERAGES[evaluation.average],
    )


def held_out_batches(
    split: Split | Files, normalize: Normalize, device: torch.device, evaluation: Evaluation
) -> Callable[[], Iterator[Batch]]:
    """A function that starts a pass over a split."""
    source, ten = placed(split, device), TenCrops(evaluation.padding) if evaluation.crops == "ten" else None
    return lambda: evaluation_batches(source, normalize=normalize, ten=ten)


def check(experiment: Experiment, facts: dict) -> None:
    """Build every part of an experiment, the model on the meta device (no memory, no time); raises UserError with the path."""
    with located(f"experiments.{experiment.name}"):
        with torch.device("meta"):
            network = build_model(experiment, facts, seed=0)
        with located("model"):
            count(network, tuple(facts["image_shape"]))  # runs it: the images may be too small
        bind(NORMALIZATIONS, experiment.normalize, "normalize")(facts)
        steps = recipe(experiment.augment)
        try_recipe(steps, facts["image_shape"])
        check_stored(experiment, as_files=facts.get("stored") == "files")
        if experiment.loss["name"] == "dual_cutout" and (steps.finish.mixing is None or steps.finish.mixing[0] != "dual_cutout"):
            raise UserError("loss: dual_cutout compares two views of an image: end augment with {name: dual_cutout, size: ...}")
        bind(LOSSES, experiment.loss, "loss")()
        make_optimizer(experiment, nn.Linear(1, 1))
        make_schedule(experiment.schedule, budget(experiment, facts["train"]))


def check_stored(experiment: Experiment, *, as_files: bool) -> None:
    """Raise UserError for a crop or a padding that images cannot have as they are stored."""
    if as_files:
        crop_of(experiment.augment)
    evaluation = experiment.train.evaluation
    if evaluation is None or evaluation.crops == "single" or (evaluation.padding is None) == as_files:
        return
    if as_files:
        raise UserError("train.evaluation.padding is for images in memory: from files ten crops are cut out of the larger image")
    raise UserError("train.evaluation: ten crops of images in memory need `padding: ...`, such as that of pad_crop")


def try_recipe(steps: Recipe, image_shape: list[int]) -> None:
    """Make a batch of two blank images; raises UserError with the path of the step that cannot work on them."""
    blank = Resident(torch.zeros(2, *image_shape, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64))
    normalize = Normalize([0.0] * image_shape[0], [1.0] * image_shape[0], device=torch.device("cpu"), dtype=torch.float32)
    options = {"batch_size": 2, "drop_last": False, "seed": 0}
    next(training_epoch(blank, 1, augmentations=steps.augmentations, normalize=normalize, finish=steps.finish, **options))
