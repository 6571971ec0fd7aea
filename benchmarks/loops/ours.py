"""Our engine. The one place of the benchmark that knows how it is called."""

from collections.abc import Iterator

import torch

from loops.job import Job, Work
from reslab import config
from reslab.data import prepared
from reslab.experiment import Run, assemble
from reslab.training import hardware
from reslab.training.engine import Epoch, fit
from reslab.training.evaluation import evaluate
from reslab.training.losses import cross_entropy

LEVELS = ("eager", "compiled")  # what the engine can do today


class Engine:
    """`assemble` and `fit`, as the train stage uses them; several seeds take turns, epoch by epoch."""

    def __init__(self, job: Job) -> None:
        experiment = config.from_sections("benchmark", job.sections)
        device = torch.device(job.device)
        hardware.prepare(device, precision=experiment.train.precision, fast=experiment.train.fast)
        data = prepared.load(job.data)
        self.runs = [assemble(experiment, data, seed=seed, device=device) for seed in job.seeds]
        self.epochs = [epochs(run, job.level) for run in self.runs]

    def train(self, epochs: int) -> Work:
        """Go on for so many epochs of each seed."""
        return Work(sum(next(records).images for _ in range(epochs) for records in self.epochs))

    def evaluate(self) -> float:
        """The mean test error, as a fraction."""
        return sum(
            evaluate(run.result, run.held_out["test"](), cross_entropy(), precision=run.rule.precision).error for run in self.runs
        ) / len(self.runs)


def epochs(run: Run, level: str) -> Iterator[Epoch]:
    """The run's epochs by today's `fit` at one of LEVELS."""
    model = torch.compile(run.model) if level == "compiled" else run.model
    return fit(model, run.optimizer, run.schedule, run.loss, run.training_epoch, total_steps=run.budget.steps, rule=run.rule)
