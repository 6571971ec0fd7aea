"""What the loops that are not ours share: our network, recipe, optimizer and schedule, so that only the loop differs."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from loops.job import Job
from reslab import config
from reslab.config.schema import bind
from reslab.config.study import Experiment
from reslab.config.train import Train
from reslab.data import prepared
from reslab.data.prepared import Prepared
from reslab.environment import count_from_environment
from reslab.errors import UserError
from reslab.experiment.bound import bound
from reslab.rng import NetworkDraws
from reslab.training.losses import LOSSES
from reslab.training.precision import PRECISIONS

ALLOWED = ("float32", "tf32", "bfloat16", "float16")


@dataclass(frozen=True)
class Recipe:
    """A crop after padding with black, a flip, a normalisation per channel: what every loop can do."""

    padding: int  # 0: no crop
    flip: float  # probability
    mean: list[float]
    std: list[float]


def recipe(experiment: Experiment, data: Prepared) -> Recipe:
    """The experiment's recipe; raises UserError for what the loops that are not ours do not know."""
    steps = {step["name"]: step for step in experiment.augment}
    names = [step["name"] for step in experiment.augment]
    if names not in ([], ["pad_crop"], ["flip"], ["pad_crop", "flip"]) or steps.get("pad_crop", {}).get("mode", "zero") != "zero":
        raise UserError(f"augment: {names} cannot be compared: only pad_crop (mode zero), then flip, is known to every loop")
    plain = Train(batch_size=1, epochs=1).model_dump(exclude={"batch_size", "epochs", "iterations", "drop_last", "fast"})
    for key in plain.keys() - {"precision"}:
        if getattr(experiment.train, key) != plain[key]:
            raise UserError(f"train.{key}: cannot be compared: only plain steps are known to every loop")
    if experiment.train.precision not in ALLOWED:
        raise UserError(f"train.precision: {experiment.train.precision} cannot be compared; allowed: {', '.join(ALLOWED)}")
    mean, std = bound(experiment).normalization(data)
    if isinstance(mean[0], list):
        raise UserError("normalize: a mean image cannot be compared: only constants per channel are known to every loop")
    return Recipe(
        steps.get("pad_crop", {}).get("padding", 0), steps.get("flip", {"probability": 0}).get("probability", 0.5), mean, std
    )


class Trainee:
    """Our network and all that trains it, on the device; the numerics of this process are set as public code sets them."""

    def __init__(self, job: Job, layout: torch.memory_format = torch.contiguous_format) -> None:
        self.layout = layout  # before there is an optimizer: a fused one refuses momentum in another layout than the weights
        experiment = config.from_sections("benchmark", job.sections)
        made = bound(experiment)
        self.device, self.train = torch.device(job.device), experiment.train
        public_numerics(self.device, experiment.train.precision)
        self.data = prepared.load(job.data)
        self.recipe = recipe(experiment, self.data)
        self.precision = PRECISIONS[experiment.train.precision]
        self.model = made.network(self.data.facts, seed=job.seeds[0]).to(self.device, memory_format=self.layout)
        self.draws = [module for module in self.model.modules() if isinstance(module, NetworkDraws)]
        self.loss = bind(LOSSES, experiment.loss, "loss")()
        self.optimizer = made.optimizer(self.model)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision.scales_loss)
        self.schedule = made.schedule(made.budget(len(self.data.train)))
        self.steps = 0

    def begin_step(self) -> None:
        """Set this step's rate, give random layers new numbers, forget the gradients."""
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * self.schedule(self.steps)
        for draws in self.draws:
            draws.step.add_(1)
        self.steps += 1
        self.optimizer.zero_grad()

    def update(self, loss: Tensor) -> None:
        """Backward and optimizer, by a loss scale in float16."""
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()


class OfTrainee:
    """A loop around a trainee."""

    trainee: Trainee

    def trained_network(self) -> nn.Module:
        """The network that is trained."""
        return self.trainee.model


def public_numerics(device: torch.device, precision: str) -> None:
    """The threads of ours; else what public training scripts do: benchmark mode, nothing deterministic, torch's allocator."""
    torch.set_num_threads(count_from_environment("RESLAB_THREADS", 1))
    torch.manual_seed(0)
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision != "float32"
